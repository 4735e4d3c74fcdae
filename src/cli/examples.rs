//! An example or two for every command, at the end of its help. A test reads each of them as the program would.

use clap::Command;

/// How wide the help is, also on a wider terminal.
pub(super) const WIDTH: usize = 80;

/// What follows the name of the program, in the order of the commands.
pub(super) const EXAMPLES: &[&str] = &[
    #[cfg(feature = "dev")]
    "dev --simulator",
    #[cfg(feature = "dev")]
    "demo",
    "serve --config credvault.toml",
    "migrate --config credvault.toml",
    "backup --config credvault.toml --to vault.backup",
    "backup verify vault.backup --config credvault.toml",
    "backup rewrap vault.backup --to rewrapped.backup --config credvault.toml",
    "restore --config credvault.toml --from vault.backup --erasures erased.json",
    "config check --config credvault.toml",
    "config show --config credvault.toml",
    "config show --policy-schema",
    "policy explain spiffe://dev.local/app FetchCredential --tenant demo --provider shopify --owner tenant",
    "policy explain spiffe://dev.local/app FetchCredential --tenant demo --connection 0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e",
    "policy explain spiffe://dev.local/app CreateTenant --tenant acme --policies policies.cedar",
    "policy reach spiffe://dev.local/app --tenant acme --days 90",
    "providers list",
    "providers list --named shop --auth-mode oauth2_code",
    "providers get shopify",
    "connections access shopify/main --tenant acme --days 90",
    "connections create generic --account mail --auth-mode bearer --secrets secrets.json",
    "connections create shopify --config shop=my-store.myshopify.com --auth-mode access_token --prompt",
    "connections connect xero --account main",
    "connections connect-page --user u1 --provider xero --action add --action test",
    "connections list --provider shopify",
    "connections list --health error --output json",
    "connections list --watch --every 5s",
    "connections get 0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e",
    "connections update 0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e --disable",
    "connections update shopify/main --account-name outlet --label team=sales --remove-label trial",
    "connections update 0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e --rotation-days 90",
    "connections rotate 0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e --revoke-now",
    "connections delete 0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e --revoke",
    "connections undelete shopify/main",
    "connections purge 0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e",
    "connections test shopify/main",
    "connections refresh xero/main",
    "connections disconnect shopify/main",
    "connections set-default shopify/main",
    "connections put shopify/main --prompt --verify",
    "connections put generic/mail --secrets secrets.json",
    "connections versions shopify/main",
    "connections rollback shopify/main 3",
    "connections destroy-version shopify/main 2",
    "consents begin xero/main --session 5f1c",
    "consents complete --callback callback.txt --session 5f1c",
    "webhook verify shopify/main --headers headers.txt --body body.json",
    "tenants create acme --display-name 'Acme Ltd'",
    "tenants get acme",
    "tenants list --state suspended",
    "tenants suspend acme",
    "tenants resume acme",
    "tenants connections acme --health error",
    "tenants connections acme --unused-days 90",
    "tenants counts",
    "tenants counts acme",
    "tenants change acme disable --provider shopify --dry-run",
    "tenants change acme disconnect --provider shopify --yes",
    "tenants change-all test --provider xero",
    "tenants erase acme",
    "tenants erasures acme --statement statement.json",
    "users list --tenant acme",
    "users delete acme u1 --revoke",
    "apps put xero --client-id 4f2a --client-secret secret.txt",
    "apps put xero --redirect-uri https://app.test/back",
    "apps rotate-secret xero --client-secret new.txt --keep-previous-secret",
    "apps list",
    "apps list --tenant acme",
    "apps delete xero --tenant acme",
    "events endpoints --tenant acme",
    "events endpoints --failing",
    "events put-endpoint --url https://app.test/events --tenant acme",
    "events put-endpoint --endpoint 0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e --url https://app.test/events --rotate-secret",
    "events delete-endpoint 0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e",
    "events test-endpoint 0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e",
    "events deliveries --state dead --tenant acme",
    "events deliveries --state dead --watch --output json",
    "events retry-delivery 0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e 0193a5b2-8d51-7aa2-8e4f-2a3b4c5d6e7f",
    "events retry-delivery 0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e --all-dead",
    "audit list --outcome denied --since 2026-11-21",
    "audit list --since 90m --connection shopify/main",
    "audit list --connection 0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e --output json",
    "audit list --trace-id 0af7651916cd43dd8448eb211c80319c",
    "audit list --reason POLICY_DENIED --source-address 192.0.2.7 --since 1d",
    "audit summary --by service,action,outcome --since 2026-11-21",
    "audit summary --by purpose,tenant-source --owner-user u1 --since 7d",
    "audit checkpoint",
    "audit checkpoint --cosigned > acme.checkpoint",
    "audit prove 0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e > record.tlog-proof",
    "audit prove-consistency 1204",
    "audit export --since 2026-11-01 --until 2026-12-01 > november.jsonl",
    "audit tail --outcome denied",
    "audit tail --from 0 --output jsonl > audit.jsonl",
    "audit export --format csv --outcome denied > denied.csv",
    "audit export --format proved --tenant acme --output acme.jsonl",
    "audit export --format ocsf --first 4096 --output next.ocsf",
    "audit verify acme.jsonl --key acme.key",
    "audit verify acme.jsonl --key acme.key --earlier january.checkpoint --witness witness.key",
    "audit verify-record fetch.tlog-proof --key acme.key",
    "rates show --tenant acme --days 7 --by-day",
    "services list --switched on",
    "services set kpi-report on --connection shopify/main --setting sheet=Orders",
    "services delete kpi-report",
    "requirements check shopify@oauth2_code:read_orders",
    "requirements check --tool kpi-report",
    "tools put kpi-report --requires shopify:read_orders --uses slack",
    "tools list",
    "tools delete kpi-report",
    "usage show --by provider,day --from 7d",
    "usage report 0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e orders.list --calls 20 --errors 1",
    "fetch shopify --account main",
    "fetch shopify --account main --field access_token",
    "fetch-many shopify xero/main --output json --reveal",
    "limits show acme",
    "limits set acme connections=500 refreshes_per_minute=default",
    "sources show acme",
    "sources set acme --allow 10.1.0.0/16",
    "sync report 0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e orders --status ok --cursor 2026-11-21 --synced 120",
    "sync show 0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e",
    "keys status",
    "keys status --all",
    "keys status --tenant acme --watch",
    "keys rotate --tenant acme",
    "keys rotate --platform",
    "keys rotate --all",
    "keys rotate-root --new-version",
    "keys destroy-older-versions",
    "keys signing-key",
    "keys rotate-signing-key",
    "keys rotate-signer",
    "keys verify-statement statement.json --public-key MCowBQYDK2VwAyEA",
    "secrets places acme",
    "secrets move acme --to eu",
    "secrets check eu",
    "secrets write-off eu",
    "secrets own",
    "dependants --provider shopify",
    "console --no-browser",
    "import env --from legacy.env --dry-run",
];

/// The command line, with the examples at the end of each command's help.
pub(super) fn with_examples(mut program: Command) -> Command {
    for example in EXAMPLES {
        let command = meant_by(example, &mut program);
        let before = command.get_after_help().map_or_else(|| "Examples:".to_owned(), ToString::to_string);
        *command = std::mem::take(command).after_help(format!("{before}\n{}", in_lines(example)));
    }
    program
}

/// An example in lines that the help does not wrap, and that a shell takes as one.
fn in_lines(example: &str) -> String {
    let (mut text, mut length) = ("  credvault".to_owned(), "  credvault".len());
    for word in example.split(' ') {
        let end = " \\".len();
        if length + 1 + word.len() + end > WIDTH {
            text.push_str(" \\\n     ");
            length = "     ".len();
        }
        text.push(' ');
        text.push_str(word);
        length += 1 + word.len();
    }
    text
}

/// The command that an example is of: the one that its first words lead to.
fn meant_by<'a>(example: &str, program: &'a mut Command) -> &'a mut Command {
    let mut command = program;
    for word in example.split(' ') {
        if command.find_subcommand(word).is_none() {
            break;
        }
        command = command.find_subcommand_mut(word).expect("it was found a moment ago");
    }
    command
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    /// What an example passes to the program: what is in quotes is one word, and what follows `>` is none.
    fn words(example: &str) -> Vec<String> {
        let command = example.split(" > ").next().unwrap_or_default();
        let parts = command.split('\'').enumerate().flat_map(|(number, part)| match number % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
            _ => vec![part.to_owned()],
        });
        parts.collect()
    }

    /// Checks the help of each command that does something, and of those below it.
    fn check(above: &str, command: &Command, checked: &mut usize) {
        for below in command.get_subcommands() {
            let named = format!("{above} {}", below.get_name());
            check(&named, below, checked);
            if below.is_subcommand_required_set() {
                continue;
            }
            let help = below.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.lines().all(|line| line.chars().count() <= WIDTH), "{named}: {help}");
            let help = help.replace(" \\\n     ", "");
            let examples: Vec<&str> = help.lines().filter(|line| line.starts_with("  credvault ")).collect();
            assert!(help.contains("Examples:") && !examples.is_empty(), "{named} has no example");
            for example in examples {
                let parsed = Cli::command().try_get_matches_from(words(example));
                assert!(parsed.is_ok(), "{example}: {:?}", parsed.err().map(|error| error.to_string()));
                assert!(format!("{example} ").starts_with(&format!("  {named} ")), "{named} has {example}");
                *checked += 1;
            }
        }
    }

    #[test]
    fn the_help_of_every_command_ends_with_examples_that_are_right() {
        let (program, mut checked) = (with_examples(Cli::command()), 0);
        check("credvault", &program, &mut checked);
        assert!(checked >= EXAMPLES.len(), "{checked} of {}: one is of no command", EXAMPLES.len());
        let own = program.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(own.starts_with("Exit codes:") && !own.contains("  credvault "), "{own}");
    }
}
