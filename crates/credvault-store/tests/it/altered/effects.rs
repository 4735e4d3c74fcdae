//! What a writer of the database can reach: each effect that SECURITY.md admits, shown.

use std::time::Duration;

use credvault_domain::{Action, Destinations, Timestamp};
use credvault_store::{
    Bringer, Error, NewAuthorization, NewSettings, Page, Pause, RefreshFailure, RepeatRisk,
};
use secrecy::ExposeSecret as _;

use super::{config, open};
use crate::events::{new_endpoint, put};
use crate::fixture::{Fixture, beginner, credential, write};
use crate::on_both;
use crate::refreshes::{claimed, for_a_week, record, refreshable};

on_both![
    the_settings_of_a_connection_without_a_credential_are_what_its_first_is_bound_to,
    a_consent_can_be_led_to_another_connection,
    a_refresh_under_way_can_be_begun_again,
    an_event_that_never_happened_is_sent,
    what_is_due_at_a_broken_endpoint_rests_for_an_hour,
    a_connection_whose_tenants_key_was_altered_shows_that_and_rests_for_an_hour,
];

async fn the_settings_of_a_connection_without_a_credential_are_what_its_first_is_bound_to(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let id = fixture.connection(&scope, "a").await.id;
    fixture
        .execute(&format!(
            "UPDATE connections SET config = '{{\"store_url\":\"https://evil.example\"}}' WHERE id = {}",
            fixture.id(id)
        ))
        .await;
    fixture.put(&scope, id, "CANARY").await;
    open(fixture, &scope, id).await.expect("the row is what the secret was stored with");
    // From then on it is not altered again.
    fixture.execute(&format!("UPDATE connections SET config = '{{}}' WHERE id = {}", fixture.id(id))).await;
    assert!(matches!(open(fixture, &scope, id).await, Err(Error::Integrity)));
    let put = write(&scope, Action::PutCredential);
    let refused = fixture.store.credentials().put(&scope, id, &credential("CANARY new"), None, &put).await;
    assert!(matches!(refused, Err(Error::Integrity)), "a new secret is not bound to an altered row");
    let settings =
        NewSettings { config: config("https://shop.example"), destinations: Destinations::default() };
    let mended = fixture
        .store
        .credentials()
        .put_with_settings(&scope, id, &credential("CANARY new"), &settings, None, &put)
        .await;
    mended.unwrap().into_inner();
    open(fixture, &scope, id).await.unwrap();
}

async fn a_consent_can_be_led_to_another_connection(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let own = fixture.connection(&scope, "a").await.id;
    let other = fixture.connection(&scope, "b").await.id;
    let new = NewAuthorization {
        beginner: beginner(),
        session: None,
        public: false,
        return_origin: None,
        return_url: None,
        redirect_uri: "https://app.example/back".to_owned(),
        exchange_url: None,
        client_id: "client".to_owned(),
        scopes: Vec::new(),
    };
    let begin = write(&scope, Action::BeginAuthorization);
    let begun = fixture.store.authorizations().begin(&scope, own, &new, &begin).await.unwrap().into_inner();
    fixture.execute(&format!("UPDATE authorizations SET connection_id = {}", fixture.id(other))).await;
    // And elsewhere: what is asked for, and where browser and result go.
    fixture
        .execute(
            "UPDATE authorizations SET scopes = '[\"all\"]', redirect_uri = 'https://evil.example/',
                 return_origin = 'https://evil.example', return_url = 'https://evil.example/'",
        )
        .await;
    let awaited = fixture.store.authorizations().find(begun.state.expose_secret()).await.unwrap();
    let evil = |url: Option<&str>| url.is_some_and(|url| url.starts_with("https://evil.example"));
    assert!(evil(awaited.return_origin.as_deref()));
    assert!(evil(awaited.return_url.as_deref()));
    assert!(evil(Some(&awaited.redirect_uri)));
    assert_eq!(awaited.scopes, ["all"]);
    let bringer = Bringer { user: None, session: None, public: false };
    let taken =
        fixture.store.authorizations().take(&scope, begun.state.expose_secret(), bringer).await.unwrap();
    assert_eq!(taken.key.connection(), other);
}

async fn a_refresh_under_way_can_be_begun_again(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (key, seen) = refreshable(fixture, &scope, "a").await;
    let first = claimed(&fixture.store, &key, seen).await;
    fixture
        .execute("UPDATE refreshes SET state = 'IDLE', process_id = NULL, claim_id = NULL, lease_time = NULL")
        .await;
    let second = claimed(&fixture.store, &key, seen).await;
    assert_eq!(first.key, second.key, "the same token is sent twice");
}

async fn an_event_that_never_happened_is_sent(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    put(fixture, &scope, &new_endpoint(&[])).await.unwrap();
    let id = fixture.connection(&scope, "a").await.id;
    fixture.put(&scope, id, "CANARY").await;
    fixture.execute("UPDATE event_deliveries SET body = 'forged'").await;
    let key = fixture.store.event_deliveries().due(None).await.unwrap().keys.remove(0);
    let (target, events) = fixture.store.event_deliveries().claim(&key).await.unwrap().unwrap();
    assert!(events.iter().all(|event| event.body == "forged"));
    // But to the URL that was stored with the secret, whatever the row says.
    assert_eq!(target.url, "https://app.test/events");
}

async fn what_is_due_at_a_broken_endpoint_rests_for_an_hour(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (endpoint, _) = put(fixture, &scope, &new_endpoint(&[])).await.unwrap();
    let id = fixture.connection(&scope, "a").await.id;
    fixture.put(&scope, id, "CANARY").await;
    fixture.execute("UPDATE event_endpoints SET generation = generation + 1").await;
    let deliveries = fixture.store.event_deliveries();
    let key = deliveries.due(None).await.unwrap().keys.remove(0);
    assert!(matches!(deliveries.claim(&key).await, Err(Error::Integrity)));
    assert!(deliveries.due(None).await.unwrap().keys.is_empty(), "it rests");
    fixture.clock.advance(Duration::from_secs(3601));
    assert_eq!(deliveries.due(None).await.unwrap().keys.len(), 1);
    let page = Page { size: 10, token: String::new(), query: Vec::new() };
    let listed = fixture.store.event_endpoints().list(&scope, &page).await.unwrap().items;
    assert_eq!(listed[0].id, endpoint, "its host shows");
    assert_eq!(listed[0].url.as_str(), "https://app.test", "its host shows");
    assert!(listed[0].failure.as_ref().unwrap().contains("do not open"));
    let records = fixture
        .text("SELECT CAST(count(*) AS TEXT) AS v FROM audit_events WHERE reason = 'INTEGRITY_FAILURE'")
        .await;
    assert_eq!(records, "1");
}

async fn a_connection_whose_tenants_key_was_altered_shows_that_and_rests_for_an_hour(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (key, seen) = refreshable(fixture, &scope, "a").await;
    let refreshes = fixture.store.refreshes();
    // Once this process could claim, it can again. The connection stays due.
    let ours = claimed(&fixture.store, &key, seen).await;
    let failure =
        RefreshFailure::Temporary { retry_time: Timestamp::from_micros(0), pause: Pause::Unavailable };
    refreshes.fail(&ours, &failure, &record(&key)).await.unwrap();
    drop(ours);
    let due = async || refreshes.due(10, &[], None).await.unwrap().due.len();
    assert_eq!(due().await, 1);
    let zeroes = match fixture.postgres {
        Some(_) => "decode(repeat('00', octet_length(wrapped)), 'hex')",
        None => "zeroblob(length(wrapped))",
    };
    let hex = if fixture.postgres.is_some() { "encode(wrapped, 'hex')" } else { "hex(wrapped)" };
    let wrapped = fixture.text(&format!("SELECT {hex} AS v FROM tenant_keys WHERE tenant_id = 'acme'")).await;
    let set = async |value: &str| {
        let sql = format!("UPDATE tenant_keys SET wrapped = {value} WHERE tenant_id = 'acme'");
        fixture.execute(&sql).await;
    };
    set(zeroes).await;
    let refused = refreshes.claim(&key, seen, for_a_week(RepeatRisk::Consent), false).await;
    assert!(matches!(refused, Err(Error::Integrity)), "{refused:?}");
    fixture.store.broken(&key, &record(&key)).await.unwrap();
    // A call of this tenant cannot read it.
    let shown = fixture.text("SELECT state || ' ' || error_reason AS v FROM connections").await;
    assert_eq!(shown, "ERROR INTEGRITY_FAILURE");
    assert_eq!(due().await, 0, "it rests");
    fixture.clock.advance(Duration::from_secs(3601));
    assert_eq!(due().await, 1);
    // The record waited for the key that opens the log.
    set(&fixture.bytes(&wrapped)).await;
    let records = "SELECT CAST(count(*) AS TEXT) AS v FROM audit_events WHERE reason = 'INTEGRITY_FAILURE'";
    assert_eq!(fixture.text(records).await, "1");
}

/// PostgreSQL checks JSON itself; in SQLite's file it is a text like any other.
#[tokio::test]
async fn a_text_that_is_not_json_any_more_is_an_altered_value_and_no_outage() {
    let fixture = Fixture::sqlite().await;
    let scope = fixture.tenant("acme").await;
    let id = fixture.connection(&scope, "a").await.id;
    fixture
        .execute(&format!("UPDATE connections SET labels = 'no JSON' WHERE id = {}", fixture.id(id)))
        .await;
    assert!(matches!(fixture.store.connections().get(&scope, id).await, Err(Error::Integrity)));
}
