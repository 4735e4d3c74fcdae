//! "Security Implementation" has two ways to store; what was stored in either moves in through the program. With it
//! come "Environment Variables" and "Deployment Instructions".

use credvault_proto::v1;
use credvault_simulator::Tokens;
use serde_json::json;

use super::{LWA, read, started, tested, works};
use crate::harness::provider::Connected;
use crate::harness::{Client, Imported, TestVault, VaultBuilder, by_provider, eventually, get};
use crate::on_both;

on_both![both_ways_to_store_move_in, what_does_not_fit_is_refused_by_name];

/// The variable `ENCRYPTION_KEY` under which these rows were sealed with AES-256-GCM:
/// "your_32_char_encryption_key_here".
const ENCRYPTION_KEY: &str = "0123456789abcdef0123456789abcdef";
/// Two connections in "Encrypted Database Storage", and one whose row has the reference of a secret.
const ROWS: &str = include_str!("../../../../crates/credvault-import/tests/vectors/fluxori.jsonl");
/// One whose value is of another layout, which the document leaves open.
const JOINED: &str = include_str!("../../../../crates/credvault-import/tests/vectors/fluxori-joined.jsonl");
/// "Each connection gets a unique Secret": the one of a private app at Amazon.
const REFERENCE: &str = "projects/your-gcp-project-id/secrets/amazon-u2/versions/3";

/// Runs `credvault import fluxori` with the profile of a service and this `ENCRYPTION_KEY`.
async fn import(vault: &TestVault, service: &str, key: &str, arguments: &[&str]) -> Imported {
    vault.import(service, &[("ENCRYPTION_KEY", key)], &[&["fluxori"], arguments].concat()).await
}

/// A vault with the organisations `acme` and `globex`, and in its folder what Fluxori stored.
async fn with_rows(builder: VaultBuilder) -> (Connected, Tokens) {
    let connected = started(builder).await;
    let vault = &connected.vault;
    vault.tenant("acme").await;
    vault.tenant("globex").await;
    // "Credentials are stored in GCP Secret Manager", "Only the secret reference ID is stored in the database".
    let amazon = json!({
        "id": "c5", "organization_id": "acme", "user_id": "u2", "marketplace_id": "amazon", "status": "ERROR",
        "secret_id": REFERENCE,
    });
    vault.write("rows.jsonl", &format!("{ROWS}{amazon}\n"));
    vault.write("joined.jsonl", JOINED);
    let tokens = connected.provider.issue("organisation-1", &["accounting.invoices.read"]);
    // What `gcloud secrets versions access` gave, by name or by whole reference.
    let exported = json!({
        "xero-u2": {"accessToken": tokens.access_token, "refreshToken": tokens.refresh_token},
        REFERENCE: {
            "clientId": LWA, "clientSecret": "amzn1.oa2-cs.v1.CANARY", "refreshToken": "Atzr|CANARY",
            "accessToken": "Atza|CANARY", "region": "eu-west-1", "sellerId": "A1SELLER",
        },
    });
    vault.write("exported.json", &exported.to_string());
    vault.write("input", &exported.to_string());
    (connected, tokens)
}

const WITH_SECRETS: [&str; 4] = ["--from", "rows.jsonl", "--secrets", "exported.json"];

async fn both_ways_to_store_move_in(builder: VaultBuilder) {
    let (connected, tokens) = with_rows(builder).await;
    let vault = &connected.vault;
    // "Deployment Instructions": "Run database migrations" was done before the vault started, and it is ready.
    let admin = vault.instance.as_ref().unwrap().admin_address;
    eventually("readiness", || async { get(admin, "/readyz").await.0 == 200 }).await;
    // "1. Google Cloud Secret Manager (Recommended)" and "2. Encrypted Database Storage (Fallback)", in one run: rows
    // say themselves which of the two `USE_SECRET_MANAGER` was. Tried first, then done, then done once more. What was
    // exported comes through a pipe, and touches no disk.
    let piped = ["--from", "rows.jsonl", "--secrets", "-"];
    for (mode, outcome, stored) in
        [("--dry-run", [4, 0, 0], 0), ("--update", [4, 0, 0], 4), ("--update", [0, 4, 0], 4)]
    {
        let run = import(vault, "app", ENCRYPTION_KEY, &[&piped[..], &[mode]].concat()).await;
        assert_eq!(run.outcome(), (0, outcome), "{}", run.shown);
        assert!(!run.shown.contains(&tokens.access_token) && !run.shown.contains(&tokens.refresh_token));
        assert_eq!(vault.count("connections").await, stored);
    }
    // The layout of a sealed value is an option, and so is the organisation of all rows: a row that names another one moves
    // there only if that is said, too.
    let layout = ["--layout", "base64:iv12+ciphertext+tag", "--from", "joined.jsonl", "--tenant", "globex"];
    let run = import(vault, "app", ENCRYPTION_KEY, &layout).await;
    assert_eq!(run.outcome(), (7, [0, 0, 1]), "{}", run.shown);
    assert!(run.shown.contains("another tenant") && run.shown.contains("--merge-tenants"), "{}", run.shown);
    let run = import(vault, "app", ENCRYPTION_KEY, &[&layout[..], &["--merge-tenants"]].concat()).await;
    assert_eq!(run.outcome(), (0, [1, 0, 0]), "{}", run.shown);
    for secret in ["CANARY", &tokens.refresh_token, ENCRYPTION_KEY, REFERENCE] {
        assert_eq!(vault.found_in(secret).await, None, "sealed, and no key or reference of theirs is needed");
    }
    let app = vault.client("app").await;
    adapters_go_on(&app, &tokens).await;
    what_moved_in_lives(&connected, &app.acting_for("acme", None)).await;
}

/// The credential of a user, as an adapter asks for it.
async fn of(app: &Client, organisation: &str, user: &str, marketplace: &str) -> v1::Credential {
    let request = v1::FetchCredentialRequest { user_id: user.to_owned(), ..by_provider(marketplace) };
    app.acting_for(organisation, None).fetch(request).await.unwrap()
}

/// "Integration with Marketplace Adapters": the adapters get what they got before.
async fn adapters_go_on(app: &Client, tokens: &Tokens) {
    for (organisation, user, marketplace, field, value) in [
        ("acme", "u1", "takealot", "api_key", "CANARY takealot key"),
        ("acme", "u1", "shopify", "access_token", "shpat_CANARY"),
        ("acme", "u2", "xero", "access_token", tokens.access_token.as_str()),
        ("acme", "u2", "amazon_sp_seller", "access_token", "Atza|CANARY"),
        ("globex", "u1", "takealot", "api_key", "CANARY takealot key"),
    ] {
        let credential = of(app, organisation, user, marketplace).await;
        assert_eq!(credential.fields[field], value, "{organisation} {user} {marketplace}");
        assert_eq!(credential.owner.unwrap().user_id, user);
    }
    let amazon = of(app, "acme", "u2", "amazon_sp_seller").await.request_auth.unwrap();
    assert_eq!(amazon.base_url, "https://sellingpartnerapi-eu.amazon.com");
    assert_eq!(amazon.headers["x-amz-access-token"], "Atza|CANARY");
}

/// What moved in is tested and renewed from now on, and says where it comes from.
async fn what_moved_in_lives(connected: &Connected, app: &Client) {
    let xero = of(app, "acme", "u2", "xero").await;
    assert!(works(&xero).await);
    assert_eq!(tested(app, &xero.connection_id).await.unwrap().outcome(), v1::TestOutcome::Works);
    connected.chain_lives(app, &xero.connection_id).await;
    // "Stores status": what it was there is a label; what it is, the vault finds out.
    let takealot = of(app, "acme", "u1", "takealot").await;
    let labels = read(app, &takealot.connection_id).await.unwrap().labels;
    assert_eq!(
        (labels["former_status"].as_str(), labels["imported_from"].as_str()),
        ("connected", "fluxori/c1")
    );
    let events = app.events().await;
    let imported = events.iter().filter(|event| event.action == "ImportConnections");
    assert!(imported.filter(|event| !event.connection_id.is_empty()).count() >= 4, "a record of each");
}

async fn what_does_not_fit_is_refused_by_name(builder: VaultBuilder) {
    let (connected, _) = with_rows(builder).await;
    let vault = &connected.vault;
    // A reference alone is not enough: "Ensure GCP Secret Manager API is enabled in your project", and export.
    let run = import(vault, "app", ENCRYPTION_KEY, &["--from", "rows.jsonl", "--dry-run"]).await;
    assert_eq!(run.outcome(), (7, [2, 0, 2]), "{}", run.shown);
    assert!(run.shown.contains("fluxori/c3") && run.shown.contains("--secrets"), "{}", run.shown);
    // "Environment Variables": another `ENCRYPTION_KEY` opens nothing, and one that has not 32 characters is no key.
    let dry = [&WITH_SECRETS[..], &["--dry-run"]].concat();
    let run = import(vault, "app", &"f".repeat(32), &dry).await;
    assert_eq!(run.outcome(), (7, [2, 0, 2]), "{}", run.shown);
    assert!(run.shown.contains("fluxori/c1") && run.shown.contains("fluxori/c2"), "{}", run.shown);
    let run = import(vault, "app", "your_encryption_key_here", &dry).await;
    assert_eq!(run.code, 2, "{}", run.shown);
    assert!(run.shown.contains("--key-form"), "{}", run.shown);
    // A value of another layout is refused, and the option that would read it named.
    let joined = ["--from", "joined.jsonl", "--dry-run", "--tenant", "globex", "--merge-tenants"];
    let run = import(vault, "app", ENCRYPTION_KEY, &joined).await;
    assert_eq!(run.outcome(), (7, [0, 0, 1]), "{}", run.shown);
    assert!(run.shown.contains("--layout"), "{}", run.shown);
    // "Configure appropriate service account permissions": a policy must let the importing service do it.
    let run = import(vault, "reader", ENCRYPTION_KEY, &WITH_SECRETS).await;
    assert_ne!(run.code, 0);
    assert!(run.shown.contains("POLICY_DENIED"), "{}", run.shown);
    assert_eq!(vault.count("connections").await, 0, "none of this stored anything");
}
