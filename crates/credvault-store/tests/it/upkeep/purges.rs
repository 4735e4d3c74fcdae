//! What is purged or forgotten when its time has come.

use std::time::Duration;

use credvault_domain::{Action, ConnectionId, ConnectionState, TenantScope};
use credvault_store::{AuditFilter, Error, NewAuthorization, Page};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

use super::{mark, of_users};
use crate::events::{new_endpoint, put};
use crate::fixture::{Fixture, beginner, new_connection, repeatable, write};
use crate::on_both;

on_both![
    what_was_deleted_long_enough_ago_is_purged_and_on_record,
    a_request_id_is_forgotten_after_a_day,
    a_consent_that_did_not_come_in_time_leaves_a_record_and_the_connection_as_before,
    the_webhooks_of_what_is_purged_go_in_pieces,
    a_consent_that_cannot_be_ended_is_not_forgotten,
    what_cannot_be_counted_or_forgotten_does_not_stop_the_rest,
    nothing_is_destroyed_by_a_clock_that_is_not_trusted,
    several_replicas_may_do_it_at_once,
];

async fn what_was_deleted_long_enough_ago_is_purged_and_on_record(fixture: &Fixture) {
    let mut ids = Vec::new();
    for tenant in ["acme", "other"] {
        let scope = fixture.tenant(tenant).await;
        let id = fixture.connection(&scope, "a").await.id;
        fixture.put(&scope, id, "CANARY").await;
        fixture
            .store
            .connections()
            .delete(&scope, id, None, &write(&scope, Action::DeleteConnection))
            .await
            .unwrap()
            .into_inner();
        ids.push((scope, id));
    }
    let kept = fixture.connection(&ids[0].0, "kept").await.id;
    assert_eq!(fixture.store.upkeep().await.unwrap(), 0, "not yet");
    fixture.clock.advance(fixture.settings.undelete_period);
    assert_eq!(fixture.store.upkeep().await.unwrap(), 2);
    for (scope, id) in &ids {
        assert!(matches!(fixture.store.connections().get(scope, *id).await, Err(Error::ConnectionNotFound)));
        let page = Page { size: 1, token: String::new(), query: Vec::new() };
        let newest =
            fixture.store.audit().list(scope, &AuditFilter::default(), &page).await.unwrap().items.remove(0);
        assert_eq!(newest.action.as_str(), "PurgeConnection");
        assert_eq!(newest.connection, Some(*id));
        assert_eq!(newest.service, Some("vault".to_owned()));
    }
    assert!(fixture.store.connections().get(&ids[0].0, kept).await.is_ok());
    assert_eq!(fixture.store.upkeep().await.unwrap(), 0);
}

async fn a_request_id_is_forgotten_after_a_day(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let create = repeatable(&scope, Action::CreateConnection, Uuid::from_u128(1), "p");
    fixture
        .store
        .connections()
        .create(&scope, &new_connection("a"), None, &create)
        .await
        .unwrap()
        .into_inner();
    fixture.clock.advance(Duration::from_secs(24 * 3600));
    fixture.store.upkeep().await.unwrap();
    assert!(
        fixture.store.connections().create(&scope, &new_connection("a"), None, &create).await.is_ok(),
        "still known"
    );
    fixture.clock.advance(Duration::from_secs(1));
    fixture.store.upkeep().await.unwrap();
    let again = fixture.store.connections().create(&scope, &new_connection("a"), None, &create).await;
    assert!(matches!(again, Err(Error::ConnectionExists)), "a new request now");
}

async fn a_consent_that_did_not_come_in_time_leaves_a_record_and_the_connection_as_before(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let id = fixture.connection(&scope, "a").await.id;
    let new = NewAuthorization {
        beginner: beginner(),
        session: None,
        public: false,
        return_origin: None,
        return_url: None,
        redirect_uri: "https://app.test/back".to_owned(),
        exchange_url: None,
        client_id: "id".to_owned(),
        scopes: Vec::new(),
    };
    let begin = write(&scope, Action::BeginAuthorization);
    let authorizations = fixture.store.authorizations();
    let begun = authorizations.begin(&scope, id, &new, &begin).await.unwrap().into_inner();
    let awaited = authorizations.find(begun.state.expose_secret()).await.unwrap();
    authorizations.start(&awaited, "browser").await.unwrap();
    let awaited = authorizations.find(begun.state.expose_secret()).await.unwrap();
    let brought = [("state".to_owned(), begun.state.expose_secret().to_owned())].into();
    authorizations.arrive(&awaited, Some("browser"), Some(&brought)).await.unwrap();
    let kept = async || fixture.text("SELECT CAST(count(*) AS text) AS v FROM callbacks").await;
    let state = async || fixture.store.connections().get(&scope, id).await.unwrap().state;
    fixture.clock.advance(Duration::from_secs(599));
    fixture.store.upkeep().await.unwrap();
    assert_eq!(state().await, ConnectionState::Connecting);
    assert_eq!(kept().await.as_str(), "1");
    fixture.clock.advance(Duration::from_secs(2));
    fixture.store.upkeep().await.unwrap();
    fixture.store.upkeep().await.unwrap();
    assert_eq!(state().await, ConnectionState::Disconnected);
    assert_eq!(kept().await.as_str(), "0");
    let late = "SELECT CAST(count(*) AS text) AS v FROM audit_events WHERE action = 'CompleteAuthorization' AND reason = 'STATE_EXPIRED'";
    assert_eq!(fixture.text(late).await, "1");
}

async fn the_webhooks_of_what_is_purged_go_in_pieces(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    fixture.only_pieces_of(&["webhook_replays", "connections"]).await;
    let mut ids = Vec::new();
    for account in ["a", "b", "kept"] {
        let id = fixture.connection(&scope, account).await.id;
        ids.push(id);
        let key = if fixture.postgres.is_some() {
            "decode(lpad(i::text, 64, '0'), 'hex')"
        } else {
            "randomblob(32)"
        };
        let seen = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 700)
                 INSERT INTO webhook_replays (tenant_id, connection_id, replay_key, expire_time)
                 SELECT 'acme', {}, {key}, {} FROM n",
            fixture.id(id),
            i64::MAX
        );
        fixture.execute(&seen).await;
    }
    for id in &ids[..2] {
        fixture
            .store
            .connections()
            .delete(&scope, *id, None, &write(&scope, Action::DeleteConnection))
            .await
            .unwrap()
            .into_inner();
    }
    let purge = write(&scope, Action::PurgeConnection);
    fixture.store.connections().purge(&scope, ids[0], None, &purge).await.unwrap().into_inner();
    assert_eq!(fixture.count("connections").await, 2);
    assert_eq!(fixture.count("webhook_replays").await, 1_400);
    fixture.clock.advance(fixture.settings.undelete_period);
    assert_eq!(fixture.store.upkeep().await.unwrap(), 1);
    assert_eq!(fixture.count("connections").await, 1);
    assert_eq!(fixture.count("webhook_replays").await, 700);
}

async fn a_consent_that_cannot_be_ended_is_not_forgotten(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let id = fixture.connection(&scope, "a").await.id;
    begin(fixture, &scope, id).await;
    fixture.clock.advance(Duration::from_secs(2 * 3600));
    fixture.refuse_updates("connections").await;
    fixture.store.upkeep().await.unwrap();
    assert_eq!(fixture.count("authorizations").await, 1);
    fixture.permit_updates("connections").await;
    fixture.store.upkeep().await.unwrap();
    assert_eq!(fixture.count("authorizations").await, 0);
    assert_eq!(
        fixture.store.connections().get(&scope, id).await.unwrap().state,
        ConnectionState::Disconnected
    );
}

async fn what_cannot_be_counted_or_forgotten_does_not_stop_the_rest(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let id = fixture.connection(&scope, "a").await.id;
    fixture
        .store
        .connections()
        .delete(&scope, id, None, &write(&scope, Action::DeleteConnection))
        .await
        .unwrap()
        .into_inner();
    fixture.clock.advance(fixture.settings.undelete_period);
    fixture.execute("ALTER TABLE requests RENAME TO elsewhere").await;
    assert!(fixture.store.upkeep().await.is_err(), "it is told");
    assert_eq!(fixture.count("connections").await, 0);
    fixture.clock.advance(Duration::from_secs(8 * 24 * 3600));
    fixture.store.upkeep().await.unwrap_err();
    assert_eq!(fixture.count("changes").await, 0, "nor a kind before it those behind it");
}

async fn nothing_is_destroyed_by_a_clock_that_is_not_trusted(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    put(fixture, &scope, &new_endpoint(&[])).await.unwrap();
    let ids = of_users(fixture, &scope).await;
    let waiting = fixture.connection(&scope, "waiting").await.id;
    begin(fixture, &scope, waiting).await;
    fixture
        .store
        .connections()
        .delete(&scope, ids[0], None, &write(&scope, Action::DeleteConnection))
        .await
        .unwrap()
        .into_inner();
    fixture.clock.advance(60 * fixture.settings.undelete_period);
    fixture.clock.trust(false);
    let all = async || {
        let dead = "SELECT CAST(count(*) AS TEXT) AS v FROM event_deliveries WHERE state = 'DEAD'";
        let counts = [
            fixture.count("connections").await,
            fixture.count("changes").await,
            fixture.count("authorizations").await,
            fixture.count("event_deliveries").await,
        ];
        (counts, fixture.text(dead).await)
    };
    let before = all().await;
    assert_eq!(fixture.store.upkeep().await.unwrap(), 0);
    assert_eq!(all().await, before);
    // A deletion that a caller asked for is done all the same.
    mark(fixture, "u2").await;
    fixture.store.upkeep().await.unwrap();
    assert_eq!(fixture.count("user_deletions").await, 0);
    assert!(matches!(fixture.fetch(&scope, ids[1]).await, Err(Error::ConnectionNotFound)));
    fixture.clock.trust(true);
    assert_eq!(fixture.store.upkeep().await.unwrap(), 2);
    assert_ne!(all().await, before);
}

async fn several_replicas_may_do_it_at_once(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    for i in 0..10 {
        let id = fixture.connection(&scope, &format!("a{i}")).await.id;
        fixture
            .store
            .connections()
            .delete(&scope, id, None, &write(&scope, Action::DeleteConnection))
            .await
            .unwrap()
            .into_inner();
    }
    fixture.clock.advance(fixture.settings.undelete_period);
    let (a, b, c) = tokio::join!(fixture.store.upkeep(), fixture.store.upkeep(), fixture.store.upkeep());
    assert_eq!(a.unwrap() + b.unwrap() + c.unwrap(), 10);
}

/// Begins a consent for a connection.
async fn begin(fixture: &Fixture, scope: &TenantScope, id: ConnectionId) {
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
    let begin = write(scope, Action::BeginAuthorization);
    fixture.store.authorizations().begin(scope, id, &new, &begin).await.unwrap().into_inner();
}

#[tokio::test]
async fn sqlites_log_defends_itself() {
    let fixture = Fixture::sqlite().await;
    let scope = fixture.tenant("acme").await;
    fixture.connection(&scope, "a").await;
    fixture.sequence().await;
    fixture.connection(&scope, "b").await;
    for sql in [
        "UPDATE audit_bundles SET records = 2",
        "UPDATE audit_bundles SET sealed = x'00'",
        "UPDATE audit_journal SET body = x'00'",
    ] {
        let refused = fixture.try_execute(sql).await.expect_err(sql);
        assert!(refused.contains("audit records are never changed"), "{refused}");
    }
}
