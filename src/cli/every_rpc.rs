//! Every RPC has its command, and every command its examples.

use std::collections::BTreeSet;

use clap::{Command, CommandFactory as _, FromArgMatches as _};
use credvault_proto::DESCRIPTORS;
use prost_reflect::DescriptorPool;

use super::Cli;
use super::examples::{EXAMPLES, with_examples};

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

/// The words of every command that does something: of those that other commands are below, only the ones that work alone.
fn commands(above: &str, command: &Command, found: &mut BTreeSet<String>) {
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        let words = format!("{above} {}", below.get_name()).trim_start().to_owned();
        commands(&words, below, found);
        if !below.has_subcommands() || !below.is_subcommand_required_set() {
            found.insert(words);
        }
    }
}

fn all_commands() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    commands("", &Cli::command(), &mut found);
    found
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
    let commands = all_commands();
    let missing: Vec<_> = COMMANDS.iter().filter(|(_, command)| !commands.contains(*command)).collect();
    assert!(missing.is_empty(), "{missing:?} are not among {commands:?}");
}

/// The words of an example as a shell would pass them on: what is in quotes is one, and what follows `>` is none of them.
fn words(example: &str) -> Vec<String> {
    let command = example.split(" > ").next().unwrap_or_default();
    let quoted = command.split('\'').enumerate();
    let parts = quoted.flat_map(|(number, part)| match number % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
        _ => vec![part.to_owned()],
    });
    ["credvault".to_owned()].into_iter().chain(parts).collect()
}

#[test]
fn every_command_has_an_example_that_is_right() {
    let mut shown = BTreeSet::new();
    for example in EXAMPLES {
        let found = Cli::command().try_get_matches_from(words(example));
        let parsed = found.and_then(|found| Cli::from_arg_matches(&found));
        assert!(parsed.is_ok(), "{example}: {:?}", parsed.err().map(|error| error.to_string()));
        let named = all_commands()
            .into_iter()
            .filter(|command| format!("{example} ").starts_with(&format!("{command} ")));
        shown.extend(named.max_by_key(String::len));
    }
    assert_eq!(shown, all_commands());
}

#[test]
fn the_help_of_a_command_ends_with_its_examples() {
    let mut program = with_examples(Cli::command());
    let put = program.find_subcommand_mut("connections").and_then(|one| one.find_subcommand_mut("put"));
    let help = put.expect("a command").render_help().to_string();
    let examples = help.split("Examples:\n").nth(1).expect("examples").trim_end();
    assert_eq!(examples.lines().count(), 2, "{examples}");
    assert!(examples.lines().all(|line| line.starts_with("  credvault connections put ")), "{examples}");
    let whole = program.render_help().to_string();
    assert!(whole.trim_end().ends_with("or with a finding."), "the program's own end stays: {whole}");
}
