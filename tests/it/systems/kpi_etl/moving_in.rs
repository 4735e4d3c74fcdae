//! "Database Files": the rows of "migrations/credential-system-v2.sql" move in, out of the keys that PBKDF2 made of
//! user ids.

use credvault_domain::Clock as _;
use credvault_proto::v1;
use serde_json::json;

use super::{Etl, ROBOT, key_file, listed, verified};
use crate::harness::{
    Client, Process, TestVault, VaultBuilder, by_id, by_provider, eventually, generic, get, refusal,
};
use crate::on_both;

on_both![what_the_platform_stored_moves_in, the_program_is_installed_and_configured];

macro_rules! rows {
    ($name:literal) => {
        include_str!(concat!("../../../../crates/credvault-import/tests/vectors/", $name, ".jsonl"))
    };
}

/// The rows: those that are sealed, and some whose tokens the provider knows.
fn prepare(etl: &Etl) {
    let vault = &etl.connected.vault;
    vault.write("sealed.jsonl", rows!("kpi-etl"));
    vault.write("sha512.jsonl", rows!("kpi-etl-sha512"));
    let end = vault.clock.now().seconds() + 30 * 24 * 3600;
    let ga4 = etl.connected.provider.issue("property-1", &["read"]).refresh_token;
    let rows = [
        json!({ "id": 11, "user_id": "user_1", "service_name": "google_sheets", "credential_name": "reports",
            "encrypted_data": key_file() }),
        json!({ "id": 12, "user_id": "user_2", "service_name": "ga4",
            "encrypted_data": { "refresh_token": ga4, "client_id": "x", "property_id": 123 } }),
        json!({ "id": 13, "user_id": "user_2", "service_name": "meta", "credential_name": "Ads",
            "encrypted_data": { "accessToken": etl.issued("ads-1"), "expires_at": end } }),
    ];
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    vault.write("opened.jsonl", &lines);
}

/// Runs `credvault import kpi-etl`, and gives how many rows had each of these outcomes. Nothing shows a secret.
async fn import<const N: usize>(vault: &TestVault, arguments: &[&str], outcomes: [&str; N]) -> [u64; N] {
    let salt = [("ENCRYPTION_KEY_SALT", "salt-of-the-platform")];
    let all = [&["kpi-etl", "--tenant", "acme", "--from"], arguments].concat();
    let run = vault.import("app", &salt, &all).await;
    assert_eq!(run.code, 0, "{}", run.shown);
    outcomes.map(|name| run.counted(name))
}

async fn what_the_platform_stored_moves_in(builder: VaultBuilder) {
    let etl = Etl::start(builder).await;
    let vault = &etl.connected.vault;
    prepare(&etl);
    // "PBKDF2 key derivation (100k iterations)", "User-specific encryption keys": each row is opened with its user's
    // key. What was deleted softly there is left out.
    for (mode, outcome) in [("--dry-run", "created"), ("--update", "created"), ("--update", "unchanged")] {
        let counts = import(vault, &["sealed.jsonl", mode], [outcome, "left_out", "refused"]).await;
        assert_eq!(counts, [2, 1, 0], "{mode}");
    }
    let with_sha512 = import(vault, &["sha512.jsonl", "--kdf-hash", "sha512"], ["created"]).await;
    assert_eq!(with_sha512, [1]);
    assert_eq!(import(vault, &["opened.jsonl"], ["created", "refused"]).await, [3, 0]);
    // "No encryption keys stored", "Credentials encrypted (AES-256-GCM)"
    for secret in ["CANARY", "salt-of-the-platform"] {
        assert_eq!(vault.found_in(secret).await, None);
    }

    // "Summary": the users find their credentials again, each its own, under Clerk's ids.
    let (one, two) = (etl.user("user_1"), etl.user("user_2"));
    assert_eq!(accounts(&one).await, ["google_analytics/default", "google_sheets/reports", "shopify/Main"]);
    assert_eq!(accounts(&two).await, ["google_analytics/default", "meta/Ads", "meta/default"]);
    they_work_as_before(&etl, &one, &two).await;
}

async fn accounts(user: &Client) -> Vec<String> {
    let all = listed(user, false).await;
    let mut names: Vec<_> = all.iter().map(|one| format!("{}/{}", one.provider, one.account_name)).collect();
    names.sort();
    assert!(all.iter().all(|one| one.labels["imported_from"].starts_with("kpi-etl/")));
    names
}

/// "Supported Services": Service Account JSON, OAuth 2.0 access and refresh tokens, API access token.
async fn they_work_as_before(etl: &Etl, one: &Client, two: &Client) {
    let shop = one.fetch(by_provider("shopify")).await.unwrap();
    assert_eq!((shop.account_name.as_str(), shop.fields["access_token"].as_str()), ("Main", "shpat_CANARY"));
    assert_eq!(shop.request_auth.unwrap().base_url, "https://acme.myshopify.com/admin/api/2026-10");
    let meta = two.fetch(by_provider("meta")).await.unwrap();
    assert_eq!(meta.fields["access_token"], "EAACANARY");
    let ads = v1::FetchCredentialRequest { account_name: "Ads".into(), ..by_provider("meta") };
    for (user, fetch) in
        [(one, by_provider("google_sheets")), (two, by_provider("google_analytics")), (two, ads)]
    {
        eventually("a token of the provider's", || async { user.fetch(fetch.clone()).await.is_ok() }).await;
        let credential = user.fetch(fetch.clone()).await.unwrap();
        assert!(etl.connected.accepts(&credential).await, "{}", credential.provider);
    }
    let sheets = one.fetch(by_provider("google_sheets")).await.unwrap().connection_id;
    assert_eq!(verified(one, &sheets).await.unwrap().external_account_id, ROBOT);
    // A token of the platform's that died unnoticed is known as dead from the first try on.
    let refused = verified(one, &shop.connection_id).await.unwrap();
    assert_eq!(refused.outcome(), v1::TestOutcome::Refused);
    assert_eq!(refused.connection.unwrap().error.unwrap().reason, "REAUTHORIZATION_REQUIRED");
    // No user has another one's: the salt of the platform was all that kept them apart.
    let foreign = two.fetch(by_id(&shop.connection_id)).await.unwrap_err();
    assert_eq!(refusal(&foreign), "NotFound CONNECTION_NOT_FOUND");
}

async fn the_program_is_installed_and_configured(builder: VaultBuilder) {
    let mut vault = builder.start().await;
    let run = |arguments: &[&str]| {
        let config = ["--config", "credvault.toml"];
        let output = Process::run(vault.folder.path(), &[arguments, &config].concat());
        let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(0), "{printed}");
        printed
    };
    // "CREDENTIAL_SETUP_GUIDE.md", "Configuration Files", ".env.example": the configuration is checked, and shown
    // without secrets.
    assert_eq!(run(&["config", "check"]).trim_end(), "the configuration is sound");
    assert!(!run(&["config", "show"]).contains("CANARY"));
    // "Installation", "Required Dependencies", "Run migration": one program, whose migration is done and on record.
    assert!(vault.count("schema_migrations").await > 0);
    // "src/lib/database.ts", "Health check functionality"
    let admin = vault.instance.as_ref().unwrap().admin_address;
    eventually("readiness", || async { get(admin, "/readyz").await.0 == 200 }).await;
    // "Performance", "Database connection pooling": more calls at once than there are connections.
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    let calls = (0..40).map(|_| app.token(by_id(&id)));
    let tokens = futures::future::join_all(calls).await;
    assert!(tokens.iter().all(|token| token.as_ref().is_ok_and(|token| token == "CANARY")));
    // "Updated graceful shutdown", "Next Steps", "Deploy": what was stored is there after another start.
    vault.stop().await;
    vault.start().await;
    assert_eq!(vault.app("acme").await.token(by_id(&id)).await.unwrap(), "CANARY");
}
