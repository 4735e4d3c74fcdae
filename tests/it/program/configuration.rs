//! `config`, `migrate` and `serve`: exit codes and messages for wrong settings, keys and databases.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use super::text;
use crate::harness::{Process, VaultBuilder};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_is_checked_and_shown_without_secrets() {
    let vault = VaultBuilder::sqlite().prepare().await;
    let run = |arguments: &[&str]| {
        let path = vault.folder.path().join("credvault.toml").display().to_string();
        text(&Process::run(vault.folder.path(), &[arguments, &["--config", &path]].concat()))
    };
    let (code, sound) = run(&["config", "check"]);
    assert_eq!(code, 0);
    assert_eq!(sound.trim_end(), "the configuration is sound");
    let (code, shown) = run(&["config", "show", "--set", "store.url=postgres://app:CANARY@h/db"]);
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("(secret)"), "{shown}");
    assert!(!shown.contains("CANARY"), "{shown}");
    let (code, schema) = run(&["config", "show", "--policy-schema"]);
    assert_eq!(code, 0, "{schema}");
    assert!(schema.contains("action FetchCredential in [VaultService, Fetching]"), "{schema}");

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
    assert_eq!(code, 2, "{word}");
    assert!(word.contains("must be one of error, warn, info"), "{word}");
    assert!(!word.contains("loud"), "{word}");
    // PostgreSQL needs a second role to be migrated; nothing listens at this port.
    let (code, missing) = run(&["migrate", "--set", "store.url=postgres://app@127.0.0.1:1/db"]);
    assert_eq!(code, 2, "{missing}");
    assert!(missing.contains("store.migrate_url"), "{missing}");
    let (code, unknown) = run(&["serve", "--set", "limits.speed=1"]);
    assert_eq!(code, 2, "{unknown}");
    assert!(unknown.contains("speed"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_wrong_file_is_reported_under_the_key_that_names_it() {
    let vault = VaultBuilder::sqlite().prepare().await;
    vault.write("server.pem", "CANARY");
    vault.write("jwks.json", "CANARY");
    let wrong = [
        "identity.policies[0]=missing-1.cedar",
        "identity.policies[1]=missing-2.cedar",
        "identity.trust_domains.one=missing-1.pem",
        "identity.trust_domains.two=missing-2.pem",
        "identity.issuers[0].name=login",
        "identity.issuers[0].issuer=https://login.test.local",
        "identity.issuers[0].audiences[0]=credvault",
        "identity.issuers[0].jwks_file=jwks.json",
        "root_key.file=missing.key",
    ];
    let mut arguments = vec!["config", "check", "--config", "credvault.toml"];
    arguments.extend(wrong.iter().flat_map(|setting| ["--set", setting]));
    let (code, told) = text(&Process::run(vault.folder.path(), &arguments));
    assert_eq!(code, 2, "{told}");
    let keys = [
        "server.certificate",
        "identity.policies[0]",
        "identity.policies[1]",
        "identity.trust_domains.one",
        "identity.trust_domains.two",
        "identity.issuers[0].jwks_file",
        "root_key.file",
    ];
    for key in keys {
        assert_eq!(told.matches(&format!("error: {key}: ")).count(), 1, "{key}: {told}");
    }
    assert_eq!(told.matches("error: ").count(), keys.len(), "{told}");
    assert!(!told.contains("CANARY"), "{told}");
}

#[test]
fn a_variable_that_is_not_utf_8_is_refused_by_its_name() {
    let mut command = Process::command();
    command.args(["config", "show"]).env("OTHER", OsStr::from_bytes(b"CANARY\xff"));
    assert_eq!(text(&command.output().unwrap()).0, 0);
    command.env("CREDVAULT__STORE__URL", OsStr::from_bytes(b"CANARY\xff"));
    let (code, told) = text(&command.output().unwrap());
    assert_eq!(code, 2, "{told}");
    assert!(told.contains("CREDVAULT__STORE__URL") && !told.contains("CANARY"), "{told}");
}

#[test]
fn a_file_that_cannot_be_read_is_the_only_problem() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("broken.toml"), "[store]\nurl = \"CANARY\n").unwrap();
    for file in ["missing.toml", "broken.toml", "credvault.json"] {
        for command in [&["serve"][..], &["migrate"], &["config", "check"], &["config", "show"]] {
            let (code, error) = text(&Process::run(folder.path(), &[command, &["--config", file]].concat()));
            assert_eq!(code, 2, "{command:?}: {error}");
            assert_eq!(error.matches("error: ").count(), 1, "{command:?}: {error}");
            assert!(error.contains(file) && !error.contains("CANARY"), "{command:?}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_root_key_and_a_broken_catalog_stop_the_start_and_a_newer_database_does_not() {
    for builder in [VaultBuilder::sqlite(), VaultBuilder::postgres()] {
        let mut vault = builder.start().await;
        vault.tenant("acme").await;
        vault.stop().await;
        let folder = vault.folder.path();
        let tables = ["root_keys", "tenants", "tenant_keys"];
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
        assert!(error.contains("broken.toml, line 3"), "{error}");
        assert!(error.contains("modes"), "{error}");
        for (table, before) in tables.iter().zip(before) {
            assert_eq!(vault.count(table).await, before, "{table}");
        }
        let up_to_date = text(&Process::run(folder, &["migrate", "--config", "credvault.toml"]));
        assert_eq!(up_to_date, (0, "the database is up to date\n".to_owned()));
        vault.sql("INSERT INTO schema_migrations (version, applied_at) VALUES ('m9999_later', 0)").await;
        let (code, error) = text(&Process::run(folder, &["migrate", "--config", "credvault.toml"]));
        assert_eq!(code, 1, "{error}");
        assert!(error.contains("newer release"), "{error}");
        assert!(error.contains("m9999_later"), "{error}");
        // Migrations only expand, so the release before serves on, and starts again, until the new one has taken over.
        Process::serve(folder, &[]).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_not_served_as_a_superuser() {
    let vault = VaultBuilder::postgres().prepare().await;
    let url = format!("store.url={}", vault.database.as_ref().unwrap().migrate_url);
    let error = Process::serve(vault.folder.path(), &[&url]).err().unwrap();
    assert!(error.contains("superuser"), "{error}");
}
