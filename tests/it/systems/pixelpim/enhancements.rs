//! "Future Enhancements": what they put off is here.

use credvault_proto::v1;

use super::{
    TENANT, account, connect, connections, fields, get, hook, keys_of, put, request_of, settings, start,
    verified,
};
use crate::harness::browser::Browser;
use crate::harness::provider::{Connected, app_request, begin, complete, decide};
use crate::harness::{Client, VaultBuilder, by_id, by_provider};
use crate::on_both;

on_both![what_they_put_off_is_here];

async fn what_they_put_off_is_here(builder: VaultBuilder) {
    // "Future Enhancements"
    let connected = start(builder).await;
    let seven = request_of(&connected.vault, "7").await;
    let shop = keys_are_delivered(&connected, &seven).await;
    let seller = amazon_is_connected_by_consent(&connected, &seven).await;
    credentials_are_rotated(&connected, &seven, &shop, &seller).await;
    accesses_are_on_record(&seven, &shop).await;
    a_user_has_many_accounts(&connected, &seven, &shop).await;
}

/// "OAuth Integration": the shop makes the keys and delivers them, so that no person copies them.
async fn keys_are_delivered(connected: &Connected, seven: &Client) -> String {
    let empty =
        v1::CreateConnectionRequest { credential: None, ..connect("shop-7", "main", &Default::default()) };
    let id = seven.create(empty).await.unwrap().id;
    let begun = begin(seven, &id, "").await;
    let mut browser = Browser::of(connected);
    let started = browser.start(&begun).await;
    let address = browser.url.trim_start_matches("http://").replace(':', "%3A");
    let page = started.headers["location"].to_str().unwrap().replace("localhost%3A7480", &address);
    let back = decide(&page, "shop-7", "allow").await;
    let page = browser.get("/oauth/callback/woocommerce", &back).await;
    assert!(page.body.contains(&begun.confirmation_code), "{}", page.body);
    assert_eq!(browser.confirm(&page).await.title(), "Connected");
    let delivered = seven.fetch(by_id(&id)).await.unwrap();
    assert_eq!(account(&delivered).await.as_deref(), Some("shop-7"));
    // "Credential Encryption": "database-level encryption".
    let key = &delivered.fields["consumer_key"];
    assert_eq!(connected.vault.found_in(key).await, None);
    id
}

/// "OAuth Integration": Login with Amazon, with the app of the platform.
async fn amazon_is_connected_by_consent(connected: &Connected, seven: &Client) -> String {
    let application = ("application_id".to_owned(), "amzn1.sellerapps.app.pixelpim".to_owned());
    let app = v1::PutOAuthAppRequest {
        provider: "amazon_sp_seller".into(),
        settings: [application].into(),
        ..app_request()
    };
    connected.vault.client("operator").await.admin().put_o_auth_app(app).await.unwrap();
    let create = v1::CreateConnectionRequest {
        provider: "amazon_sp_seller".into(),
        auth_mode: "oauth2_code".into(),
        config: settings(&[("region", "na"), ("country", "us")]),
        ..Default::default()
    };
    let id = seven.create(create).await.unwrap().id;
    let begun = begin(seven, &id, "session of user 7").await;
    let back = decide(&begun.authorization_url, "A7SELLER", "allow").await;
    assert!(back.contains_key("spapi_oauth_code"), "{:?}", back.keys());
    // What another session brings back is refused, and ends nothing that the right one cannot begin again.
    complete(seven, &back, "another session").await.unwrap_err();
    let begun = begin(seven, &id, "session of user 7").await;
    let back = decide(&begun.authorization_url, "A7SELLER", "allow").await;
    let done = complete(seven, &back, "session of user 7").await.unwrap();
    assert_eq!(
        (done.state(), done.external_account_id.as_str()),
        (v1::ConnectionState::Connected, "A7SELLER")
    );
    let fetched = seven.fetch(by_id(&id)).await.unwrap();
    assert_eq!(account(&fetched).await.as_deref(), Some("A7SELLER"));
    assert!(!fetched.fields.contains_key("refresh_token"));
    id
}

/// "Credential Rotation": "automated credential refresh/rotation".
async fn credentials_are_rotated(connected: &Connected, seven: &Client, shop: &str, seller: &str) {
    // Access tokens are renewed without their owner; that a consent of Amazon ends after a year, the connection shows.
    let before = seven.fetch(by_id(seller)).await.unwrap();
    let refresh = v1::RefreshConnectionRequest { connection_id: seller.to_owned() };
    seven.connections().refresh_connection(refresh).await.unwrap();
    let after = seven.fetch(by_id(seller)).await.unwrap();
    assert_ne!(before.fields["access_token"], after.fields["access_token"]);
    assert_eq!(account(&after).await.as_deref(), Some("A7SELLER"));
    let health = get(seven, seller).await.health.unwrap();
    assert_eq!((health.renewal(), health.grant_end_time.is_some()), (v1::Renewal::Ends, true));
    // A caller that was refused the old token gets the new one at once.
    let report = v1::FetchCredentialRequest { rejected_tag: before.tag, ..by_id(seller) };
    let newer = seven.fetch(report).await.unwrap();
    assert_eq!(newer.rejection.unwrap().outcome(), v1::RejectionOutcome::Superseded);
    // Keys of a shop are replaced as a new version, unless another caller was faster.
    let keys = keys_of(connected, "shop-7").await;
    let current = get(seven, shop).await.current_version;
    let rotate = v1::PutCredentialRequest {
        connection_id: shop.to_owned(),
        credential: Some(fields("shop-7", &keys)),
        expected_version: Some(current),
        verify: true,
        ..Default::default()
    };
    assert_eq!(put(seven, rotate.clone()).await.unwrap(), current + 1);
    put(seven, rotate).await.unwrap_err();
    assert_eq!(seven.fetch(by_id(shop)).await.unwrap().fields["consumer_key"], keys[0]);
}

/// "Audit Logging": "track credential access and modifications".
async fn accesses_are_on_record(seven: &Client, shop: &str) {
    let filter = v1::AuditFilter { connection_id: shop.to_owned(), ..Default::default() };
    let request = v1::ListAuditEventsRequest { filter: Some(filter.clone()), ..Default::default() };
    let records = seven.audit().list_audit_events(request).await.unwrap().into_inner().events;
    for action in ["CreateConnection", "BeginAuthorization", "FetchCredential", "PutCredential"] {
        let record = records.iter().find(|record| record.action == action);
        assert_eq!(record.map(|record| record.user_id.as_str()), Some("7"), "{action}");
    }
    assert!(!format!("{records:?}").contains("CANARY"), "{records:?}");
    let request = v1::SummarizeAuditEventsRequest {
        filter: Some(filter),
        group_by: vec![v1::AuditGroup::Action.into(), v1::AuditGroup::Outcome.into()],
    };
    let rows = seven.audit().summarize_audit_events(request).await.unwrap().into_inner().summaries;
    let refused = rows.iter().find(|row| row.keys == ["PutCredential", "FAILED"]);
    assert_eq!(refused.map(|row| row.count), Some(1), "{rows:?}");
}

/// "Multi-Account Support": "multiple accounts per integration type".
async fn a_user_has_many_accounts(connected: &Connected, seven: &Client, main: &str) {
    let keys = keys_of(connected, "outlet-7").await;
    let outlet = seven.create(connect("outlet-7", "outlet", &keys)).await.unwrap();
    assert!(!outlet.default, "the first one stays the default");
    let named = v1::FetchCredentialRequest { account_name: "outlet".into(), ..by_provider("woocommerce") };
    let second = seven.fetch(named).await.unwrap();
    assert_eq!(account(&second).await.as_deref(), Some("outlet-7"));
    let first = seven.fetch(by_provider("woocommerce")).await.unwrap();
    assert_eq!((first.connection_id.as_str(), account(&first).await.as_deref()), (main, Some("shop-7")));
    let switch = v1::SetDefaultConnectionRequest { connection_id: outlet.id.clone(), ..Default::default() };
    seven.connections().set_default_connection(switch).await.unwrap();
    assert_eq!(seven.fetch(by_provider("woocommerce")).await.unwrap().connection_id, outlet.id);
    // Each account has a webhook secret of its own.
    let delivery = r#"{"id": 5}"#;
    let own = verified(seven, &outlet.id, &hook("outlet-7"), delivery).await;
    assert_eq!(own.verdict(), v1::WebhookVerdict::Valid, "{own:?}");
    let other = verified(seven, &outlet.id, &hook("shop-7"), delivery).await;
    assert_eq!(other.verdict(), v1::WebhookVerdict::Invalid);
    let app = connected.vault.client("app").await.acting_for(TENANT, None);
    assert_eq!(connections(&app, "7").await.len(), 3);
}
