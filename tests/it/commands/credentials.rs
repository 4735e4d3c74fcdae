//! The commands for credentials: where secrets come from, versions, and many fetches at once.

use super::Shell;
use crate::harness::{VaultBuilder, generic};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_is_replaced_brought_back_and_destroyed() {
    let vault = VaultBuilder::sqlite().start().await;
    let shell = Shell::of(&vault).await;
    for number in 1..=2 {
        vault.write(&format!("{number}.json"), &format!(r#"{{"token": "CANARY token {number}"}}"#));
    }
    vault.write("token.txt", "CANARY token 3");
    let create = ["connections", "create", "generic", "--account", "mail", "--auth-mode", "bearer"];
    shell.app(0, &[&create[..], &["--secrets", "1.json"]].concat());
    let put =
        |code: i32, more: &[&str]| shell.app(code, &[&["connections", "put", "generic/mail"], more].concat());
    let token = || shell.revealed(&["fetch", "generic", "--account", "mail", "--field", "token"]);
    assert!(put(0, &["--secrets", "2.json", "--expected-version", "1"]).contains("live, current"));
    assert_eq!(token(), "CANARY token 2\n");
    put(0, &["--secret-file", "token=token.txt", "--expires", "2099-01-01"]);
    assert_eq!(token(), "CANARY token 3\n");
    let stale = put(5, &["--secrets", "1.json", "--expected-version", "1"]);
    assert!(stale.contains("VERSION_MISMATCH"), "{stale}");
    let nothing = put(2, &[]);
    assert!(nothing.contains("--prompt") && nothing.contains("--secrets FILE"), "{nothing}");
    let twice = put(2, &["--secrets", "-", "--secret-file", "token=-"]);
    assert!(twice.contains("only once"), "{twice}");
    let nameless = put(2, &["--reference", "vault"]);
    assert!(nameless.contains("STORE/NAME"), "{nameless}");
    let both = put(2, &["--reference", "vault/a", "--secrets", "1.json"]);
    assert!(both.contains("cannot be used with"), "{both}");

    let back = shell.app(0, &["connections", "rollback", "generic/mail", "1"]);
    assert!(back.contains("repeats version 1"), "{back}");
    assert_eq!(token(), "CANARY token 1\n");
    let gone = shell.json("app", &["connections", "destroy-version", "generic/mail", "2", "--yes"]);
    assert_eq!(gone["state"], "CREDENTIAL_VERSION_STATE_DESTROYED");
    shell.app(4, &["connections", "rollback", "generic/mail", "9"]);
    let versions = shell.app(0, &["connections", "versions", "generic/mail"]);
    for row in ["4", "2099-01-01T00:00:00Z", "destroyed", "live, current"] {
        assert!(versions.contains(row), "{row}: {versions}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_credentials_are_fetched_and_shown_only_on_demand() {
    let vault = VaultBuilder::sqlite().start().await;
    let shell = Shell::of(&vault).await;
    let id = vault.app("acme").await.create(generic("main", "CANARY token")).await.unwrap().id;
    let fetch = ["fetch-many", &id, "generic/main", "slack"];
    let table = shell.app(7, &fetch);
    assert!(table.contains(&id) && table.contains("CREDENTIAL_NOT_CONFIGURED"), "{table}");
    assert!(table.contains("1 of the credentials were refused"), "{table}");
    let hidden = shell.json("app", &["fetch-many", "generic/main"]);
    let hidden = &hidden["results"][0]["credential"]["fields"]["token"];
    assert!(hidden.as_str().unwrap().starts_with("(hidden"), "{hidden}");
    let shown = shell.revealed(&["fetch-many", "generic/main", &id, "--output", "json", "--reveal"]);
    assert_eq!(shown.matches("CANARY token").count(), 2, "{shown}");
    shell.app(2, &["fetch-many"]);
    let other = shell.app(4, &["fetch", "generic", "--account", "other"]);
    assert!(
        other.contains("no account of this name") && other.contains("credvault connections list"),
        "{other}"
    );
    shell.app(0, &["connections", "update", "generic/main", "--disable"]);
    let disabled = shell.app(5, &["fetch", "generic/main"]);
    assert!(disabled.contains("`credvault connections update --enable` ends that"), "{disabled}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_asked_for_secrets_that_the_terminal_does_not_show() {
    let vault = VaultBuilder::sqlite().start().await;
    let shell = Shell::of(&vault).await;
    let create =
        ["connections", "create", "generic", "--account", "mail", "--auth-mode", "bearer", "--prompt"];
    let shown = shell.typed("CANARY typed", &create);
    assert!(shown.contains("Token (token): ") && !shown.contains("CANARY"), "{shown}");
    let token = || shell.revealed(&["fetch", "generic", "--account", "mail", "--field", "token"]);
    assert_eq!(token(), "CANARY typed\n");
    let shown = shell.typed("CANARY typed again", &["connections", "put", "generic/mail", "--prompt"]);
    assert!(shown.contains("live, current") && !shown.contains("CANARY"), "{shown}");
    assert_eq!(token(), "CANARY typed again\n");
    let unclear = shell.app(2, &["connections", "create", "generic", "--prompt"]);
    assert!(unclear.contains("--auth-mode: one of basic, bearer"), "{unclear}");
    // The same person is asked before a deletion.
    let asked = shell.typed("y", &["connections", "delete", "generic/mail"]);
    assert!(asked.contains("[y/N]") && asked.contains("credvault connections undelete"), "{asked}");
    shell.app(4, &["connections", "get", "generic/mail"]);
}
