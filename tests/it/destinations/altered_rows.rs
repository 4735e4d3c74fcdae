//! Rows that were altered in the database: nothing is sent to where they point.

use credvault_proto::v1;
use tonic::Status;

use super::{Shop, settings};
use crate::harness::provider::{STRICT, state};
use crate::harness::{VaultBuilder, by_id, eventually, refusal};
use crate::on_both;

fn lost<T: std::fmt::Debug>(answer: Result<T, Status>) -> bool {
    refusal(&answer.unwrap_err()) == "DataLoss INTEGRITY_FAILURE"
}

on_both![an_altered_row_sends_nothing_anywhere, a_refresh_of_an_altered_row_is_told_as_one];

async fn an_altered_row_sends_nothing_anywhere(builder: VaultBuilder) {
    let shop = Shop::start(builder).await;
    let honest = format!("config = '{{\"host\":\"{}\",\"note\":\"one\"}}'", shop.honest);
    let evil = format!("config = '{{\"host\":\"{}\",\"note\":\"one\"}}'", shop.evil_host);
    let cases = [
        (evil.as_str(), honest.as_str()),
        ("owner_user = 'mallory'", "owner_user = ''"),
        ("provider = 'simulator', auth_mode = 'api_key'", "provider = 'shop', auth_mode = 'key'"),
    ];
    for (change, back) in cases {
        shop.altered(change).await;
        let mallory = shop.connected.vault.client("app").await.acting_for("acme", Some("mallory"));
        for caller in [&shop.app, &mallory] {
            let answer = caller.fetch(by_id(&shop.id)).await;
            // A caller without a user may not reach what is a user's now.
            let hidden = matches!(&answer, Err(status) if status.code() == tonic::Code::NotFound);
            assert!(hidden || lost(answer), "{change}");
        }
        if !change.contains("owner") {
            assert!(lost(shop.test().await), "{change}");
            assert!(lost(shop.put("sim_key_shop-2", None, true).await), "{change}");
            assert!(lost(shop.put("sim_key_shop-2", None, false).await), "{change}");
        }
        shop.altered(back).await;
    }
    // The vault's own test, in the background: no call, a record, and it shows.
    shop.altered(&format!("{evil}, test_time = 1")).await;
    eventually("the connection shows it", || async {
        state(&shop.app, &shop.id).await == (v1::ConnectionState::Error, "INTEGRITY_FAILURE".into())
    })
    .await;
    let events = shop.app.events().await;
    let own =
        events.iter().find(|event| event.action == "TestConnection" && event.service == "vault").unwrap();
    assert_eq!(own.reason, "INTEGRITY_FAILURE");
    let metrics = shop.connected.vault.metrics().await;
    assert!(metrics.contains("credvault_integrity_failures_total{what=\"credential\"}"), "{metrics}");
    assert_eq!(shop.evil.count(), 0, "nothing was sent there");
    // Who names every setting relies on none of the row's.
    shop.put("sim_key_shop-3", Some(settings(&[("host", &shop.honest)])), true).await.unwrap();
    assert_eq!(shop.app.fetch(by_id(&shop.id)).await.unwrap().fields["key"], "sim_key_shop-3");
    assert_eq!(shop.evil.count(), 0);
}

async fn a_refresh_of_an_altered_row_is_told_as_one(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let refreshable = connected.granted(&app, "shop-1", -60).await;
    let healthy = connected.granted(&app, "shop-2", 3600).await;
    let refresh = async |id: &str| {
        app.connections()
            .refresh_connection(v1::RefreshConnectionRequest { connection_id: id.to_owned() })
            .await
    };
    // The app's sealed secret: no refresh is sent without it, and no connection is blamed.
    connected.vault.sql("UPDATE oauth_apps SET redirect_uri = redirect_uri || '/x'").await;
    assert!(lost(refresh(&refreshable).await));
    assert!(lost(app.fetch(by_id(&refreshable)).await));
    assert_eq!(state(&app, &refreshable).await.0, v1::ConnectionState::Connected);
    connected.vault.sql("UPDATE oauth_apps SET redirect_uri = 'http://127.0.0.1:9/back'").await;
    refresh(&refreshable).await.unwrap();
    assert!(app.fetch(by_id(&healthy)).await.is_ok());
    // A connection's own row, met by the search for what is due: once, and then it has an hour's rest.
    connected.vault.sql("UPDATE connections SET auth_mode = 'api_key' WHERE account_name = 'shop-2'").await;
    connected.vault.sql("UPDATE refreshes SET due_time = 1").await;
    eventually("the search meets it", || async {
        state(&app, &healthy).await == (v1::ConnectionState::Error, "INTEGRITY_FAILURE".into())
    })
    .await;
    let met = async || {
        let events = app.events().await;
        let own = |event: &&v1::AuditEvent| {
            event.connection_id == healthy && event.reason == "INTEGRITY_FAILURE" && event.service == "vault"
        };
        events.iter().filter(own).count()
    };
    assert!(met().await >= 1);
    assert!(lost(refresh(&healthy).await));
    connected
        .vault
        .sql("UPDATE connections SET auth_mode = 'oauth2_code' WHERE account_name = 'shop-2'")
        .await;
    refresh(&healthy).await.unwrap();
    assert_eq!(state(&app, &healthy).await.0, v1::ConnectionState::Connected, "a good row heals");
}
