//! What the module has stored moves in: rows of both tables of "Data Models", through the program.

use std::collections::BTreeSet;

use credvault_domain::Clock as _;
use credvault_proto::v1;
use serde_json::{Value, json};

use super::listed;
use crate::harness::{VaultBuilder, by_id, by_provider};
use crate::on_both;

on_both![the_stored_rows_move_in];

/// "IntegrationAccount": a row with all columns of the document.
fn row(number: u32, kind: &str, region: &str, status: &str, credentials: Value) -> Value {
    let (marketplace, integration_type) = kind.split_once('/').unwrap();
    json!({
        "id": format!("00000000-0000-4000-8000-{number:012}"),
        "organization_id": "acme",
        "marketplace": marketplace,
        "integration_type": integration_type,
        "account_name": format!("Account {number}"),
        "region": region,
        "status": status,
        "credentials": credentials,
        "oauth_state": "CANARY-state",
        "connected_at": "2026-01-31",
    })
}

/// "GlobalIntegration": a row with all columns of the document.
fn global_row() -> Value {
    json!({
        "id": "00000000-0000-4000-8000-000000000100",
        "organization_id": "beta",
        "service_name": "slack",
        "status": "CONNECTED",
        "config": { "channel": "#alerts" },
        "credentials": { "bot_token": "xoxb-1-CANARY", "team_id": "T012" },
        "connected_at": "2026-01-31",
    })
}

/// A day in seconds.
const DAY: i64 = 24 * 3600;

/// The rows of both tables as JSON lines. The tokens end at `end`, and the consent of account 3 was 400 days before that.
fn rows(end: i64) -> String {
    let tokens = |access: &str, refresh: &str| {
        json!({
            "access_token": access,
            "refresh_token": refresh,
            "token_type": "bearer",
            "expires_at": end,
        })
    };
    let mut own_app = tokens("Atza|CANARY-sc", "Atzr|CANARY-sc");
    own_app["client_id"] = json!("amzn1.application-oa2-client.0123456789abcdef0123456789abcdef");
    own_app["client_secret"] = json!("CANARY-lwa");
    own_app["seller_id"] = json!("A2SELLER01");
    let walmart = json!({
        "client_id": "of-the-seller",
        "client_secret": "CANARY-w",
        "access_token": "CANARY-wt",
        "expires_at": end,
    });
    let mut ads = row(3, "AMAZON/ADS_API", "NA", "ERROR", tokens("Atza|CANARY-ads", "Atzr|CANARY-ads"));
    ads["connected_at"] = json!(end - 400 * DAY);
    let all = [
        row(1, "AMAZON/SP_API_SC", "NA", "CONNECTED", own_app),
        row(2, "AMAZON/SP_API_VC", "EU", "DISCONNECTED", Value::Null),
        ads,
        row(4, "AMAZON/ADS_API", "FE", "CONNECTING", Value::Null),
        row(5, "WALMART/SP_API_SC", "US", "CONNECTED", walmart),
        // Neither has a use: a type that Walmart does not have, and tokens that were never checked.
        row(6, "WALMART/ADS_API", "US", "CONNECTED", tokens("CANARY", "CANARY")),
        row(7, "AMAZON/ADS_API", "NA", "CONNECTED", tokens("CANARY", "CANARY")),
        global_row(),
    ];
    all.map(|row| format!("{row}\n")).concat()
}

async fn the_stored_rows_move_in(builder: VaultBuilder) {
    let vault = builder.start().await;
    let (acme, beta) = (vault.app("acme").await, vault.app("beta").await);
    let end = vault.clock.now().seconds() + 3600;
    vault.write("rows.jsonl", &rows(end));
    let arguments = ["integrations", "--from", "rows.jsonl"];
    let runs: [(&[&str], &str, i64); 3] =
        [(&["--dry-run"], "created", 0), (&[], "created", 6), (&[], "unchanged", 6)];
    for (more, expected, stored) in runs {
        let run = vault.import("app", &[], &[&arguments[..], more].concat()).await;
        assert_eq!((run.code, run.counted(expected), run.counted("refused")), (7, 6, 2), "{}", run.shown);
        assert_eq!(vault.count("connections").await, stored);
        for problem in ["no kind has the name WALMART/ADS_API", "FIELDS_INVALID"] {
            assert!(run.shown.contains(problem), "{}", run.shown);
        }
    }

    // "IntegrationAccount": `marketplace`, `integration_type`, `account_name` and `status`, each where it belongs.
    let all = listed(&acme).await;
    let mut shown: Vec<_> = all
        .iter()
        .map(|one| {
            let former = one.labels["former_status"].as_str();
            (one.account_name.as_str(), one.provider.as_str(), one.state(), former)
        })
        .collect();
    shown.sort_by_key(|(name, ..)| *name);
    let (on, off) = (v1::ConnectionState::Connected, v1::ConnectionState::Disconnected);
    let expected = [
        ("Account 1", "amazon_sp_seller", on, "connected"),
        ("Account 2", "amazon_sp_vendor", off, "disconnected"),
        ("Account 3", "amazon_ads", on, "error"),
        ("Account 4", "amazon_ads", off, "connecting"),
        ("Account 5", "walmart_marketplace", on, "connected"),
    ];
    assert_eq!(shown, expected);
    // "connected_at": a consent lasts for 365 days at Amazon, and this one is over.
    let ads = all.iter().find(|one| one.account_name == "Account 3").unwrap().health.as_ref().unwrap();
    let ended = ads.grant_end_time.as_ref().unwrap().seconds;
    assert_eq!((ads.state(), ended), (v1::HealthState::Ended, end - 400 * DAY + 365 * DAY));
    let seller = all.iter().find(|one| one.provider == "amazon_sp_seller").unwrap();
    let auth = acme.fetch(by_id(&seller.id)).await.unwrap().request_auth.unwrap();
    assert_eq!(auth.base_url, "https://sellingpartnerapi-na.amazon.com", "`region` came along");
    assert_eq!(auth.headers["x-amz-access-token"], "Atza|CANARY-sc");

    // "GlobalIntegration": `service_name`, `config` and `credentials`, for the organisation that had it.
    let slack = beta.fetch(by_provider("slack")).await.unwrap();
    assert_eq!(slack.fields["access_token"], "xoxb-1-CANARY");
    assert_eq!(slack.config.unwrap().fields["default_channel"], prost_types::Value::from("#alerts"));
    // What stood in plain text before is sealed, `oauth_state` was left behind, and each row that moved in is on record.
    assert_eq!(vault.found_in("CANARY").await, None);
    let events = acme.events().await;
    let moved = events.iter().filter(|event| event.action == "ImportConnections");
    let moved: BTreeSet<_> = moved.map(|event| event.connection_id.as_str()).collect();
    assert!(all.iter().all(|one| moved.contains(one.id.as_str())), "{moved:?}");
}
