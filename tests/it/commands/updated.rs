//! The command that changes what is known of a connection: its name, settings and labels.

use serde_json::json;

use super::Shell;
use crate::harness::VaultBuilder;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn name_settings_and_labels_of_a_connection_change() {
    let vault = VaultBuilder::sqlite().start().await;
    let shell = Shell::of(&vault).await;
    vault.write("token.json", r#"{"access_token": "shpat_CANARY_token_of_the_shop"}"#);
    let create = ["connections", "create", "shopify", "--account", "main", "--auth-mode", "access_token"];
    let config = ["--config", "shop=a.myshopify.com", "--secrets", "token.json"];
    let id = shell.json("app", &[&create[..], &config].concat())["id"].as_str().unwrap().to_owned();
    let update =
        |code: i32, more: &[&str]| shell.app(code, &[&["connections", "update", &id], more].concat());

    let updated = update(0, &["--account-name", "outlet", "--label", "team=sales", "--label", "tier=1"]);
    assert!(updated.contains("outlet") && updated.contains("team=sales tier=1"), "{updated}");
    let updated = update(0, &["--label", "team=ops", "--remove-label", "tier"]);
    assert!(updated.contains("team=ops") && !updated.contains("tier="), "{updated}");
    // What is not named stays: the shop, and the labels.
    let updated = update(0, &["--config", "api_version=2026-01"]);
    assert!(updated.contains("api_version=2026-01 shop=a.myshopify.com"), "{updated}");
    assert!(updated.contains("team=ops"), "{updated}");

    let etag =
        shell.json("app", &["connections", "get", "shopify/outlet"])["etag"].as_str().unwrap().to_owned();
    update(0, &["--account-name", "second", "--etag", &etag]);
    let stale = update(5, &["--label", "team=none", "--etag", &etag]);
    assert!(stale.contains("ETAG_MISMATCH"), "{stale}");
    let changed = ["connections", "update", "shopify/second", "--disable", "--remove-label", "team"];
    let changed = shell.json("app", &changed)["connection"].clone();
    assert_eq!((&changed["enabled"], &changed["labels"]), (&json!(false), &json!({})));
    update(5, &["--config", "shop=elsewhere.example.com"]);
    let nothing = update(2, &[]);
    assert!(nothing.contains("--account-name"), "{nothing}");
}
