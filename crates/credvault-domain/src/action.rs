//! The exhaustive table of RPCs and permissions. Policies, audit records and metrics use its names.

/// The effect of an action on its target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ActionKind {
    /// The RPC returns secrets.
    Fetch,
    /// The RPC returns no secret and changes nothing.
    Read,
    /// The RPC changes stored data.
    Change,
    /// Not an RPC: a permission that widens what an RPC may do.
    Permission,
}

/// The place in which an action finds its target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ActionTarget {
    /// One connection in the namespace of the caller's verified tenant, or in the platform's own.
    Connection,
    /// That namespace as a whole.
    Namespace,
    /// The tenant that the request names, for administrators.
    NamedTenant,
    /// All tenants, for administrators.
    Platform,
    /// The catalog, which belongs to no tenant.
    Catalog,
}

macro_rules! actions {
    (commands { $($command:ident,)* } $($service:ident { $($name:ident: $kind:ident $target:ident,)* })*) => {
        /// An RPC, a permission, or a command that works on the database itself. The names are the RPCs' own; a test holds
        /// this table against the descriptors.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum Action {
            $($(
                #[doc = concat!("`", stringify!($service), ".", stringify!($name), "`")]
                $name,
            )*)*
            $(
                #[doc = concat!("The command `", stringify!($command), "`, which audit records name and no policy decides")]
                $command,
            )*
        }

        impl Action {
            /// Every action that policies decide, in the order of the table.
            pub const ALL: &'static [Self] = &[$($(Self::$name,)*)*];

            /// The commands, which audit records alone name.
            pub const COMMANDS: &'static [Self] = &[$(Self::$command,)*];

            /// The action's name in policies and audit records.
            pub const fn as_str(self) -> &'static str {
                match self { $($(Self::$name => stringify!($name),)*)* $(Self::$command => stringify!($command),)* }
            }

            /// The gRPC service of the RPC, without package; `Permission` for permissions, `Command` for commands.
            pub const fn service(self) -> &'static str {
                match self { $($(Self::$name => stringify!($service),)*)* $(Self::$command => "Command",)* }
            }

            /// Whether it is for administrators; refusals then go into the platform's own audit log.
            pub const fn administers(self) -> bool {
                matches!(self.target(), ActionTarget::NamedTenant | ActionTarget::Platform)
            }

            /// The effect on the target.
            pub const fn kind(self) -> ActionKind {
                match self { $($(Self::$name => ActionKind::$kind,)*)* $(Self::$command => ActionKind::Change,)* }
            }

            /// The place of the target.
            pub const fn target(self) -> ActionTarget {
                match self {
                    $($(Self::$name => ActionTarget::$target,)*)*
                    $(Self::$command => ActionTarget::Platform,)*
                }
            }
        }
    };
}

actions! {
    commands {
        BackUp,
        Restore,
    }
    VaultService {
        PutCredential: Change Connection,
        FetchCredential: Fetch Connection,
        BatchFetchCredentials: Fetch Namespace,
        ListCredentialVersions: Read Connection,
        RollbackCredential: Change Connection,
        DestroyCredentialVersion: Change Connection,
        VerifyWebhook: Read Connection,
    }
    ConnectionService {
        ListProviders: Read Catalog,
        GetProvider: Read Catalog,
        CreateConnection: Change Connection,
        ImportConnections: Change Namespace,
        GetConnection: Read Connection,
        ListConnections: Read Namespace,
        UpdateConnection: Change Connection,
        DeleteConnection: Change Connection,
        UndeleteConnection: Change Connection,
        PurgeConnection: Change Connection,
        SetDefaultConnection: Change Connection,
        BeginAuthorization: Change Connection,
        CompleteAuthorization: Change Connection,
        CreateConnectSession: Change Namespace,
        RefreshConnection: Change Connection,
        RotateCredential: Change Connection,
        TestConnection: Change Connection,
        DisconnectConnection: Change Connection,
        SetServiceConfig: Change Namespace,
        ListServiceConfigs: Read Namespace,
        DeleteServiceConfig: Change Namespace,
        CheckRequirements: Read Namespace,
        ReportUsage: Change Namespace,
        GetUsage: Read Namespace,
        ReportSync: Change Connection,
    }
    AuditService {
        ListAuditEvents: Read Namespace,
        SummarizeAuditEvents: Read Namespace,
        TailAuditEvents: Read Namespace,
        ExportAuditEvents: Read Namespace,
        GetCheckpoint: Read Namespace,
        ProveInclusion: Read Namespace,
        ProveConsistency: Read Namespace,
    }
    AdminService {
        CreateTenant: Change NamedTenant,
        GetTenant: Read NamedTenant,
        ListTenants: Read Platform,
        ListPlatformDependants: Read Platform,
        SuspendTenant: Change NamedTenant,
        ResumeTenant: Change NamedTenant,
        EraseTenant: Change NamedTenant,
        GetErasure: Read NamedTenant,
        ListErasures: Read Platform,
        GetSigningKey: Read Platform,
        RotateSigningKey: Change Platform,
        RotateAuditSigner: Change Platform,
        ListUsers: Read NamedTenant,
        DeleteUser: Change NamedTenant,
        ListTenantConnections: Read NamedTenant,
        ChangeTenantConnections: Change NamedTenant,
        CountConnections: Read NamedTenant,
        GetSuccessRates: Read NamedTenant,
        ExplainPolicy: Read NamedTenant,
        GetAccessReport: Read NamedTenant,
        GetKeyStatus: Read NamedTenant,
        RotateTenantKey: Change NamedTenant,
        RotateRootKey: Change Platform,
        DestroyOlderRootKeyVersions: Change Platform,
        MoveSecrets: Change NamedTenant,
        GetSecretPlaces: Read NamedTenant,
        CheckSecretStore: Change Platform,
        WriteOffSecretStore: Change Platform,
        OwnSecretStores: Change Platform,
        PutOAuthApp: Change NamedTenant,
        ListOAuthApps: Read NamedTenant,
        DeleteOAuthApp: Change NamedTenant,
        PutEventEndpoint: Change NamedTenant,
        ListEventEndpoints: Read NamedTenant,
        DeleteEventEndpoint: Change NamedTenant,
        TestEventEndpoint: Change NamedTenant,
        ListEventDeliveries: Read NamedTenant,
        RetryEventDelivery: Change NamedTenant,
        PutTool: Change Platform,
        ListTools: Read Platform,
        DeleteTool: Change Platform,
        GetTenantLimits: Read NamedTenant,
        SetTenantLimits: Change NamedTenant,
        GetSourceRules: Read NamedTenant,
        SetSourceRules: Change NamedTenant,
    }
    Permission {
        AssertTenant: Permission Namespace,
        ActForPlatform: Permission Platform,
        AccessOtherUsers: Permission Namespace,
        FetchRefreshToken: Permission Connection,
        ReferToSecret: Permission Connection,
    }
}

impl Action {
    /// The action of a gRPC path such as `/credvault.v1.VaultService/FetchCredential`.
    pub fn from_path(path: &str) -> Option<Self> {
        let (service, rpc) = path.strip_prefix("/credvault.v1.")?.split_once('/')?;
        let is_rpc = |action: &Self| action.kind() != ActionKind::Permission;
        Self::ALL.iter().copied().filter(is_rpc).find(|a| a.as_str() == rpc && a.service() == service)
    }

    /// Reads what [`Action::as_str`] wrote.
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.iter().chain(Self::COMMANDS).copied().find(|action| action.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_their_action_and_permissions_have_none() {
        assert_eq!(
            Action::from_path("/credvault.v1.VaultService/FetchCredential"),
            Some(Action::FetchCredential)
        );
        for path in [
            "",
            "/",
            "/credvault.v1.VaultService/GetTenant",
            "/credvault.v1.Permission/AssertTenant",
            "/credvault.v1.Command/Restore",
            "/credvault.v2.VaultService/FetchCredential",
            "credvault.v1.VaultService/FetchCredential",
        ] {
            assert_eq!(Action::from_path(path), None, "{path}");
        }
    }
}
