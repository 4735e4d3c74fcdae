//! The program: its commands, what they print, and with which code they end.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Output, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Process, TestVault, postgres_database};

fn text(output: &Output) -> (i32, String) {
    let printed = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(printed).unwrap())
}

/// `credvault dev`, ready.
struct Dev {
    child: Child,
    printed: String,
}

impl Dev {
    fn start(folder: &Path) -> Self {
        let mut command = Process::command();
        let addresses = ["--address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0"];
        let mut child =
            command.current_dir(folder).arg("dev").args(addresses).stdout(Stdio::piped()).spawn().unwrap();
        let mut printed = String::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            printed.push_str(&format!("{line}\n"));
            if line.contains("VaultService/FetchCredential") {
                break;
            }
        }
        Self { child, printed }
    }

    /// The port, which the guide names.
    fn port(&self) -> u16 {
        let after = self.printed.split("Serving on localhost:").nth(1).unwrap();
        after.split(' ').next().unwrap().parse().unwrap()
    }

    fn stop(mut self, signal: Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files = files.filter(|file| !file.file_name().to_string_lossy().starts_with("vault.db"));
    files.map(|file| (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap())).collect()
}

const OUTCOMES: [&str; 4] = [
    "1. Stored for the tenant demo",
    "shopify, version 1: https://demo-store.myshopify.com/admin/api/2026-10 with header X-Shopify-Access-Token",
    "PERMISSION_DENIED POLICY_DENIED",
    "NOT_FOUND CONNECTION_NOT_FOUND",
];

#[test]
fn demo_shows_the_four_outcomes_and_leaves_nothing_behind() {
    // A folder whose name means something in a URL.
    let folder = tempfile::Builder::new().prefix("100% of a? &+").tempdir().unwrap();
    let output = Process::command().arg("demo").env("TMPDIR", folder.path()).output().unwrap();
    let (code, printed) = text(&output);
    assert_eq!(code, 0, "{printed}");
    assert!(OUTCOMES.iter().all(|outcome| printed.contains(outcome)), "{printed}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn dev_makes_a_private_folder_once_and_serves_the_program() {
    let place = tempfile::tempdir().unwrap();
    let dev = Dev::start(place.path());
    assert!(OUTCOMES.iter().all(|outcome| dev.printed.contains(outcome)), "{}", dev.printed);
    let folder = place.path().join("credvault-dev");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for file in std::fs::read_dir(&folder).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    // The profile names the port that was asked for; this one was chosen by the system, and the guide says how to
    // reach it.
    let address = format!("--address https://localhost:{}", dev.port());
    assert!(dev.printed.contains(&format!("credvault connections list {address}\n")), "{}", dev.printed);
    let run = |arguments: &[&str]| {
        let address: Vec<&str> = address.split(' ').collect();
        text(&Process::run(place.path(), &[arguments, &address].concat()))
    };

    let (code, table) = run(&["connections", "list"]);
    assert!(code == 0 && table.starts_with("ID ") && table.contains("woocommerce"), "{table}");
    let (code, listed) = run(&["connections", "list", "--provider", "shopify", "--output", "json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    assert_eq!((code, listed[0]["state"].as_str()), (0, Some("CONNECTION_STATE_CONNECTED")));
    let (code, hidden) = run(&["fetch", "shopify"]);
    assert!(code == 0 && hidden.contains("hidden") && !hidden.contains("shpat_"), "{hidden}");
    let (_, field) = run(&["fetch", &id, "--field", "access_token"]);
    assert!(field.starts_with("shpat_") && field.trim_end().len() == 38, "{field}");
    let (_, json) = run(&["fetch", &id, "--output", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["fields"]["access_token"], field.trim_end());

    // A consent that cannot begin leaves nothing behind.
    let (code, printed) = run(&["connections", "connect", "hubspot"]);
    assert!(code == 5 && printed.contains("PutOAuthApp"), "{printed}");
    let (code, listed) = run(&["connections", "list", "--provider", "hubspot", "--output", "json"]);
    assert!(code == 0 && listed.trim() == "[]", "{listed}");

    // Secrets come from files, and a repeated name is refused with the code for that.
    std::fs::write(place.path().join("secrets.json"), r#"{"token": "CANARY"}"#).unwrap();
    let create = [
        "connections",
        "create",
        "generic",
        "--account",
        "mail",
        "--auth-mode",
        "bearer",
        "--secrets",
        "secrets.json",
    ];
    let (code, created) = run(&[create.as_slice(), &["--output", "json"]].concat());
    assert_eq!(code, 0, "{created}");
    let created: Value = serde_json::from_str(&created).unwrap();
    let (code, taken) = run(&create);
    assert!(code == 5 && taken.contains("CONNECTION_EXISTS"), "{taken}");
    let (code, _) = run(&["connections", "get", created["id"].as_str().unwrap()]);
    assert_eq!(code, 0);
    let (code, deleted) = run(&["connections", "delete", created["id"].as_str().unwrap()]);
    assert!(code == 0 && deleted.contains("deleted"), "{deleted}");
    let (code, missing) = run(&["fetch", "slack"]);
    assert!(code == 4 && missing.contains("CREDENTIAL_NOT_CONFIGURED"), "{missing}");
    let (code, foreign) = run(&["fetch", &id, "--tenant", "globex"]);
    assert!(code == 4 && foreign.contains("CONNECTION_NOT_FOUND"), "{foreign}");
    let (code, denied) = run(&["fetch", &id, "--tenant", "not a tenant"]);
    assert!(code == 5 && denied.contains("x-tenant-id"), "{denied}");

    // The second start uses what is there.
    let before = contents(&folder);
    dev.stop(Signal::INT);
    let again = Dev::start(place.path());
    assert_eq!(contents(&folder), before);
    assert!(again.printed.contains(&id), "the same connections");
    // Its terminal was closed.
    again.stop(Signal::HUP);
    let unreachable = text(&Process::run(place.path(), &["connections", "list"]));
    assert_eq!(unreachable.0, 6, "{}", unreachable.1);
}

#[test]
fn completions_help_and_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let (code, script) = text(&Process::run(folder.path(), &["completions", shell]));
        assert!(code == 0 && script.contains("connections"));
    }
    let (code, help) = text(&Process::run(folder.path(), &["--help"]));
    assert!(code == 0 && help.contains("Exit codes"));
    assert_eq!(text(&Process::run(folder.path(), &["nothing"])).0, 2);
    let (code, advice) = text(&Process::run(folder.path(), &["fetch", "shopify"]));
    assert!(code == 2 && advice.contains("credvault dev"), "{advice}");
    let (code, error) = text(&Process::run(folder.path(), &["serve", "--set", "CANARY"]));
    assert!(code == 2 && error.contains("KEY=VALUE") && !error.contains("CANARY"), "{error}");
    // A value that slipped out of its place is not shown, a misspelt name is.
    for slipped in [
        &["serve", "--set", "store.url", "postgres://app:CANARY@h/db"][..],
        &["serve", "--store.url=CANARY"],
        &["serve", "--set"],
        &["postgres://app:CANARY@h/db"],
        &["fetch", "shopify", "--output", "CANARY"],
        &["completions", "CANARY"],
    ] {
        let (code, error) = text(&Process::run(folder.path(), slipped));
        assert!(code == 2 && !error.contains("CANARY"), "{error}");
    }
    let (code, error) = text(&Process::run(folder.path(), &["sevre"]));
    assert!(code == 2 && error.contains("sevre"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_is_checked_and_shown_without_secrets() {
    let vault = TestVault::prepared(None).await;
    let run = |arguments: &[&str]| {
        let path = vault.folder.path().join("credvault.toml").display().to_string();
        text(&Process::run(vault.folder.path(), &[arguments, &["--config", &path]].concat()))
    };
    let (code, sound) = run(&["config", "check"]);
    assert_eq!((code, sound.trim_end()), (0, "the configuration is sound"));
    let (code, shown) = run(&["config", "show", "--set", "store.url=postgres://app:CANARY@h/db"]);
    assert!(code == 0 && shown.contains("(secret)") && !shown.contains("CANARY"), "{shown}");
    let (code, schema) = run(&["config", "show", "--policy-schema"]);
    assert!(code == 0 && schema.contains("action FetchCredential in [VaultService, Fetching]"), "{schema}");

    // Everything that is wrong is said at once.
    vault.write("policies.cedar", "permit (principal, action == Action::\"Fly\", resource);");
    vault.write("server.key", "no key");
    let (code, wrong) = run(&[
        "config",
        "check",
        "--set",
        "root_key.file=/nowhere",
        "--set",
        "store.url=mysql://h",
        "--set",
        "telemetry.otlp_endpoint=collector",
    ]);
    assert_eq!(code, 2);
    for part in
        ["policies.cedar", "Fly", "/nowhere", "store.url", "no PEM private key", "telemetry.otlp_endpoint"]
    {
        assert!(wrong.contains(part), "{part}: {wrong}");
    }
    let (code, word) = run(&["config", "show", "--set", "telemetry.log_level=loud"]);
    assert!(
        code == 2 && word.contains("must be one of error, warn, info") && !word.contains("loud"),
        "{word}"
    );
    // PostgreSQL needs a second role to be migrated; nothing listens at this port.
    let (code, missing) = run(&["migrate", "--set", "store.url=postgres://app@127.0.0.1:1/db"]);
    assert!(code == 2 && missing.contains("store.migrate_url"), "{missing}");
    let (code, unknown) = run(&["serve", "--set", "limits.speed=1"]);
    assert!(code == 2 && unknown.contains("speed"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_root_key_and_a_broken_catalog_stop_the_start_and_a_newer_database_does_not() {
    for database in [None, Some(postgres_database().await)] {
        let mut vault = TestVault::prepared(database).await;
        vault.start().await;
        vault.tenant("acme").await;
        vault.stop().await;
        let folder = vault.folder.path();
        let tables = ["root_keys", "tenants", "tenant_keys", "audit_events"];
        let mut before = Vec::new();
        for table in tables {
            before.push(vault.count(table).await);
        }
        vault.write("other.key", &format!("{}00", "a5".repeat(31)));
        let error =
            Process::serve(folder, &[&format!("root_key.file={}", folder.join("other.key").display())])
                .err()
                .unwrap();
        assert!(error.contains("root key"), "{error}");
        std::fs::create_dir_all(folder.join("catalog")).unwrap();
        vault.write("catalog/broken.toml", "id = 'broken'\ndisplay_name = 'x'\nmodes = 5\n");
        let error =
            Process::serve(folder, &[&format!("catalog.folder={}", folder.join("catalog").display())])
                .err()
                .unwrap();
        assert!(error.contains("broken.toml, line 3") && error.contains("modes"), "{error}");
        for (table, before) in tables.iter().zip(before) {
            assert_eq!(vault.count(table).await, before, "{table}");
        }
        let up_to_date = text(&Process::run(folder, &["migrate", "--config", "credvault.toml"]));
        assert_eq!(up_to_date, (0, "the database is up to date\n".to_owned()));
        vault.sql("INSERT INTO schema_migrations (version, applied_at) VALUES ('m9999_later', 0)").await;
        let (code, error) = text(&Process::run(folder, &["migrate", "--config", "credvault.toml"]));
        assert!(code == 1 && error.contains("newer release") && error.contains("m9999_later"), "{error}");
        // Migrations only expand, so the release before serves on, and starts again, until the new one has taken over.
        Process::serve(folder, &[]).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_not_served_as_a_superuser() {
    let vault = TestVault::prepared(Some(postgres_database().await)).await;
    let url = format!("store.url={}", vault.database.as_ref().unwrap().migrate_url);
    let error = Process::serve(vault.folder.path(), &[&url]).err().unwrap();
    assert!(error.contains("superuser"), "{error}");
}
