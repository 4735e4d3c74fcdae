//! The command behind each RPC. The vault's messages name RPCs, for every kind of client; a person at the terminal needs the
//! command.

/// Every RPC with the command that calls it.
pub(super) const COMMANDS: [(&str, &str); 84] = [
    ("ListProviders", "providers list"),
    ("GetProvider", "providers get"),
    ("CreateConnection", "connections create"),
    ("ImportConnections", "import"),
    ("GetConnection", "connections get"),
    ("ListConnections", "connections list"),
    ("UpdateConnection", "connections update"),
    ("DeleteConnection", "connections delete"),
    ("UndeleteConnection", "connections undelete"),
    ("PurgeConnection", "connections purge"),
    ("SetDefaultConnection", "connections set-default"),
    ("BeginAuthorization", "connections connect"),
    ("CompleteAuthorization", "consents complete"),
    ("CreateConnectSession", "connections connect-page"),
    ("RefreshConnection", "connections refresh"),
    ("TestConnection", "connections test"),
    ("RotateCredential", "connections rotate"),
    ("DisconnectConnection", "connections disconnect"),
    ("SetServiceConfig", "services set"),
    ("ListServiceConfigs", "services list"),
    ("DeleteServiceConfig", "services delete"),
    ("CheckRequirements", "requirements check"),
    ("ReportUsage", "usage report"),
    ("GetUsage", "usage show"),
    ("ReportSync", "sync report"),
    ("PutCredential", "connections put"),
    ("FetchCredential", "fetch"),
    ("BatchFetchCredentials", "fetch-many"),
    ("ListCredentialVersions", "connections versions"),
    ("RollbackCredential", "connections rollback"),
    ("DestroyCredentialVersion", "connections destroy-version"),
    ("VerifyWebhook", "webhook verify"),
    ("ListAuditEvents", "audit list"),
    ("SummarizeAuditEvents", "audit summary"),
    ("TailAuditEvents", "audit tail"),
    ("ExportAuditEvents", "audit export"),
    ("GetCheckpoint", "audit checkpoint"),
    ("ProveInclusion", "audit prove"),
    ("ProveConsistency", "audit prove-consistency"),
    ("CreateTenant", "tenants create"),
    ("GetTenant", "tenants get"),
    ("ListTenants", "tenants list"),
    ("ListPlatformDependants", "dependants"),
    ("SuspendTenant", "tenants suspend"),
    ("ResumeTenant", "tenants resume"),
    ("EraseTenant", "tenants erase"),
    ("GetErasure", "tenants erasures"),
    ("ListErasures", "tenants erasures"),
    ("GetSigningKey", "keys signing-key"),
    ("RotateSigningKey", "keys rotate-signing-key"),
    ("RotateAuditSigner", "keys rotate-signer"),
    ("ListUsers", "users list"),
    ("DeleteUser", "users delete"),
    ("ListTenantConnections", "tenants connections"),
    ("ChangeTenantConnections", "tenants change"),
    ("CountConnections", "tenants counts"),
    ("GetSuccessRates", "rates show"),
    ("ExplainPolicy", "policy explain"),
    ("GetAccessReport", "connections access"),
    ("GetKeyStatus", "keys status"),
    ("RotateTenantKey", "keys rotate"),
    ("RotateRootKey", "keys rotate-root"),
    ("DestroyOlderRootKeyVersions", "keys destroy-older-versions"),
    ("MoveSecrets", "secrets move"),
    ("GetSecretPlaces", "secrets places"),
    ("CheckSecretStore", "secrets check"),
    ("WriteOffSecretStore", "secrets write-off"),
    ("OwnSecretStores", "secrets own"),
    ("PutOAuthApp", "apps put"),
    ("ListOAuthApps", "apps list"),
    ("DeleteOAuthApp", "apps delete"),
    ("PutEventEndpoint", "events put-endpoint"),
    ("ListEventEndpoints", "events endpoints"),
    ("DeleteEventEndpoint", "events delete-endpoint"),
    ("TestEventEndpoint", "events test-endpoint"),
    ("ListEventDeliveries", "events deliveries"),
    ("RetryEventDelivery", "events retry-delivery"),
    ("PutTool", "tools put"),
    ("ListTools", "tools list"),
    ("DeleteTool", "tools delete"),
    ("GetTenantLimits", "limits show"),
    ("SetTenantLimits", "limits set"),
    ("GetSourceRules", "sources show"),
    ("SetSourceRules", "sources set"),
];

/// What requests say with a field, and commands with an option.
const PHRASES: [(&str, &str); 4] = [
    ("UpdateConnection with enabled = true", "`credvault connections update --enable`"),
    ("PurgeConnection with `revoke`", "`credvault connections purge --revoke`"),
    ("DeleteConnection with `revoke`", "`credvault connections delete --revoke`"),
    ("PutCredential with config", "`credvault connections put --config`"),
];

/// A text of the vault with commands in place of RPCs.
pub(super) fn in_commands(text: &str) -> String {
    let mut text = text.to_owned();
    for (phrase, command) in PHRASES {
        text = text.replace(phrase, command);
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut translated = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let end = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let quoted = translated.ends_with('`');
        match COMMANDS.iter().find(|(rpc, _)| *rpc == word) {
            Some((_, command)) if quoted => translated.push_str(&format!("credvault {command}")),
            Some((_, command)) => translated.push_str(&format!("`credvault {command}`")),
            None => translated.push_str(word),
        }
        let begin = after.find(is_part).unwrap_or(after.len());
        let (between, next) = after.split_at(begin);
        translated.push_str(between);
        rest = next;
    }
    translated
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost_reflect::DescriptorPool;

    use super::*;

    #[test]
    fn every_rpc_has_one_row() {
        let pool = DescriptorPool::decode(credvault_proto::DESCRIPTORS).expect("descriptors");
        let services = pool.services().filter(|service| service.package_name() == "credvault.v1");
        let methods: Vec<String> = services
            .flat_map(|service| service.methods().map(|method| method.name().to_owned()).collect::<Vec<_>>())
            .collect();
        let named: BTreeSet<&str> = COMMANDS.iter().map(|(rpc, _)| *rpc).collect();
        assert_eq!(named.len(), COMMANDS.len(), "an RPC has two rows");
        assert_eq!(named, methods.iter().map(String::as_str).collect());
    }

    #[test]
    fn texts_name_commands_and_nothing_else_changes() {
        let told = "shopfy is unknown; ListProviders shows all, and `GetProvider` one. GetProviders is no RPC: GetUsage";
        let expected = "shopfy is unknown; `credvault providers list` shows all, and `credvault providers get` one. \
                        GetProviders is no RPC: `credvault usage show`";
        assert_eq!(in_commands(told), expected);
        let told = "the connection is disabled; UpdateConnection with enabled = true ends that, or PurgeConnection with `revoke`";
        let expected = "the connection is disabled; `credvault connections update --enable` ends that, or `credvault \
                        connections purge --revoke`";
        assert_eq!(in_commands(told), expected);
        for same in ["", "no RPC: REAUTHORIZATION_REQUIRED (expired)", "übrig…"] {
            assert_eq!(in_commands(same), same);
        }
    }
}
