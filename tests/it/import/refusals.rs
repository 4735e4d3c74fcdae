//! What `credvault import` refuses, mostly before it calls a vault, and what it says. It repeats no secret.

use std::path::Path;

use super::started;
use crate::harness::{Process, VaultBuilder};
use crate::on_both;

on_both![a_run_says_what_it_left];

const ROW: &str =
    r#"{"id":1,"integrationType":"amazon","credentials":{"clientId":"x","clientSecret":"CANARY"}}"#;

/// Runs `credvault import` in a folder, and gives its exit code and all that it printed.
fn run(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let mut command = Process::command();
    command.current_dir(folder).env_remove("ENCRYPTION_KEY").envs(variables.iter().copied());
    let output = command.arg("import").args(arguments).output().unwrap();
    let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(!printed.contains("CANARY"), "{printed}");
    (output.status.code().unwrap(), printed)
}

/// A folder with a source, a map that is none, and a profile without a tenant.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let profile =
        "address = 'https://localhost:1'\nauthority = 'a.pem'\ncertificate = 'c.pem'\nkey = 'k.pem'\n";
    let files = [
        ("rows.jsonl", ROW),
        ("rows.csv", "id;userId\n1;7\n"),
        ("map.toml", "key = 'CANARY\n"),
        ("profile.toml", profile),
    ];
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn wrong_usage_is_refused_before_anything_is_called() {
    let folder = folder();
    let cases: [(&[&str], &str); 16] = [
        (&["pixelpim", "--from", "rows.jsonl", "--plain"], "leave --key-file, --key-env and --plain out"),
        (&["integrations", "--from", "rows.jsonl", "--key-file", "map.toml"], "is not sealed"),
        (&["kustomer", "--from", "rows.jsonl"], "--plain if nothing is sealed"),
        (&["fluxori", "--from", "rows.jsonl", "--plain"], "leave --plain out"),
        (&["kpi-etl", "--from", "rows.jsonl", "--plain"], "leave --plain out"),
        (
            &["pixelpim", "--from", "rows.jsonl", "--report", "./rows.jsonl"],
            "--report and --from name the same",
        ),
        (
            &["pixelpim", "--from", "rows.jsonl", "--journal", "rows.jsonl"],
            "--journal and --from name the same",
        ),
        (&["pixelpim", "--from", "rows.jsonl", "--journal", "a", "--report", "./a"], "name the same file"),
        (&["fluxori", "--from", "-", "--secrets", "-"], "--from and --secrets both read standard input"),
        (&["pixelpim", "--from", "rows.jsonl", "--report", "-"], "--report must name a file"),
        (&["pixelpim", "--from", " 'MySQL://a:CANARY@host/b'"], "the address must be like postgres://"),
        (&["env", "--from", "postgres://a:CANARY@host/b"], "no database"),
        (&["pixelpim", "--from", "rows.jsonl", "--map", "map.toml"], "the map map.toml, line 1, is not TOML"),
        (&["fluxori", "--from", "rows.jsonl", "--key-env", "CANARY="], "the name of a variable"),
        (&["pixelpim", "--from", "rows.csv"], "the separator must be a comma"),
        (&["pixelpim", "--from", "rows.jsonl", "--profile", "profile.toml"], "give --tenant"),
    ];
    for (arguments, expected) in cases {
        let (code, printed) = run(folder.path(), arguments, &[]);
        assert!(code == 2 && printed.contains(expected), "{arguments:?}: {code} {printed}");
    }
    // The variable with an address is for imports from databases.
    let address = [("CREDVAULT_IMPORT_FROM", "postgres://a:CANARY@host/b")];
    let (_, printed) = run(folder.path(), &["env", "--profile", "none.toml"], &address);
    assert!(printed.contains("the profile none.toml cannot be read"), "{printed}");
    assert_eq!(std::fs::read_to_string(folder.path().join("rows.jsonl")).unwrap(), ROW);
}

/// The last words of a run name the file that says more, and the journal is about one tenant.
async fn a_run_says_what_it_left(builder: VaultBuilder) {
    let vault = started(builder).await;
    vault.tenant("acme").await;
    vault.write("empty.jsonl", "");
    vault.write("row.jsonl", ROW);
    let run = |arguments: &[&str]| {
        let arguments = [&["pixelpim", "--profile", "app.toml", "--from"][..], arguments].concat();
        tokio::task::block_in_place(|| run(vault.folder.path(), &arguments, &[]))
    };
    let (code, printed) = run(&["empty.jsonl", "--tenant", "acme", "--journal", "journal"]);
    assert!(code == 0 && printed.contains("the source has no rows"), "{code} {printed}");
    let (code, printed) = run(&["empty.jsonl", "--tenant", "beta", "--journal", "journal"]);
    assert!(code == 2 && printed.contains("tenant or owner"), "{code} {printed}");
    let (code, printed) = run(&["row.jsonl", "--tenant", "acme", "--report", "report.jsonl"]);
    let told = ["pixelpim/1: the row has no user", "1 row was refused; report.jsonl says which and why"];
    assert!(code == 7 && told.iter().all(|told| printed.contains(told)), "{code} {printed}");

    // Two tenants that are not there, of which one cannot be, and an account that is not connected.
    let slack = r#""service_name":"slack","credentials":{"bot_token":"xoxb-1-CANARY"}"#;
    let vendor = r#""marketplace":"AMAZON","integration_type":"SP_API_VC","region":"EU","credentials":null"#;
    let row = |(id, organisation, more): (u32, &str, &str)| {
        format!("{{\"id\":{id},\"organization_id\":\"{organisation}\",{more}}}\n")
    };
    let rows = [(1, "acme.co", slack), (2, "globex", slack), (3, "acme", vendor)].map(row).concat();
    vault.write("organisations.jsonl", &rows);
    let arguments = ["integrations", "--profile", "app.toml", "--from", "organisations.jsonl"];
    let (code, printed) = tokio::task::block_in_place(|| self::run(vault.folder.path(), &arguments, &[]));
    for told in [
        "integrations/1: the column organization_id names no tenant as tenants are called here",
        "integrations/2: TENANT_NOT_FOUND",
        "; the row's column organization_id names the tenant",
        "rows without a credential: 1",
    ] {
        assert!(code == 7 && printed.contains(told), "{told}: {code} {printed}");
    }

    let zeros = "0".repeat(40);
    let shop = format!(
        "WC_API_URL=https://example.com\nWC_CONSUMER_KEY=ck_{zeros}\nWC_CONSUMER_SECRET=cs_{zeros}\n"
    );
    vault.write("shop.env", &shop);
    let arguments = ["env", "--from", "shop.env", "--profile", "app.toml"];
    let (code, printed) = tokio::task::block_in_place(|| self::run(vault.folder.path(), &arguments, &[]));
    assert!(code != 0 && printed.contains("policy permits ActForPlatform"), "{code} {printed}");
}
