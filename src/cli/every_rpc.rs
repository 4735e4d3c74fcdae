//! Every RPC has its command.

use std::collections::BTreeSet;

use clap::{Command, CommandFactory as _};
use credvault_proto::DESCRIPTORS;
use prost_reflect::DescriptorPool;

use super::Cli;

/// Each RPC with the command that calls it. Where several do, the one that does nothing else.
const COMMANDS: &[(&str, &str)] = &[
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
    ("ListUsers", "users list"),
    ("DeleteUser", "users delete"),
    ("ListTenantConnections", "tenants connections"),
    ("ChangeTenantConnections", "tenants change"),
    ("GetSuccessRates", "rates show"),
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
    ("ListAuditEvents", "audit list"),
    ("SummarizeAuditEvents", "audit summary"),
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
    ("BeginAuthorization", "consents begin"),
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
];

/// The words of each command that does something by itself, and of those below it.
fn words(above: &str, command: &Command, found: &mut BTreeSet<String>) {
    for below in command.get_subcommands() {
        let named = format!("{above} {}", below.get_name()).trim_start().to_owned();
        words(&named, below, found);
        if !below.is_subcommand_required_set() {
            found.insert(named);
        }
    }
}

#[test]
fn every_rpc_has_a_command() {
    let pool = DescriptorPool::decode(DESCRIPTORS).expect("descriptors");
    let services: Vec<_> = pool.services().collect();
    let rpcs: BTreeSet<_> =
        services.iter().flat_map(|service| service.methods()).map(|rpc| rpc.name().to_owned()).collect();
    let listed: BTreeSet<_> = COMMANDS.iter().map(|(rpc, _)| (*rpc).to_owned()).collect();
    assert_eq!(rpcs, listed);
    assert_eq!(listed.len(), COMMANDS.len(), "an RPC is listed twice");
    let mut commands = BTreeSet::new();
    words("", &Cli::command(), &mut commands);
    let missing: Vec<_> = COMMANDS.iter().filter(|(_, command)| !commands.contains(*command)).collect();
    assert!(missing.is_empty(), "{missing:?} are not among {commands:?}");
}
