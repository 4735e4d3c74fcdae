//! Background work.

use std::time::Duration;

use credvault_domain::{Action, Clock as _, ConnectionId, ConnectionState, TenantScope, UserId};
use credvault_store::{AuditFilter, Error, NewAuthorization, Page};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

use crate::events::{new_endpoint, put};
use crate::fixture::*;
use crate::on_both;

on_both! {
    async fn what_was_deleted_long_enough_ago_is_purged_and_on_record(fixture: &Fixture) {
        let mut ids = Vec::new();
        for tenant in ["acme", "other"] {
            let scope = fixture.tenant(tenant).await;
            let id = fixture.connection(&scope, "a").await.id;
            fixture.put(&scope, id, "CANARY").await;
            fixture.store.connections().delete(&scope, id, None, &write(&scope, Action::DeleteConnection)).await.unwrap().into_inner();
            ids.push((scope, id));
        }
        let kept = fixture.connection(&ids[0].0, "kept").await.id;
        assert_eq!(fixture.store.upkeep().await.unwrap(), 0, "not yet");
        fixture.clock.advance(fixture.settings.undelete_period);
        assert_eq!(fixture.store.upkeep().await.unwrap(), 2);
        for (scope, id) in &ids {
            assert!(matches!(fixture.store.connections().get(scope, *id).await, Err(Error::ConnectionNotFound)));
            let page = Page { size: 1, token: String::new(), query: Vec::new() };
            let newest = fixture.store.audit().list(scope, &AuditFilter::default(), &page).await.unwrap().items.remove(0);
            assert_eq!((newest.action.as_str(), newest.connection, newest.service), ("PurgeConnection", Some(*id), Some("vault".to_owned())));
        }
        assert!(fixture.store.connections().get(&ids[0].0, kept).await.is_ok());
        assert_eq!(fixture.store.upkeep().await.unwrap(), 0);
    }

    async fn a_request_id_is_forgotten_after_a_day(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let create = repeatable(&scope, Action::CreateConnection, Uuid::from_u128(1), "p");
        fixture.store.connections().create(&scope, &new_connection("a"), None, &create).await.unwrap().into_inner();
        fixture.clock.advance(Duration::from_secs(24 * 3600));
        fixture.store.upkeep().await.unwrap();
        assert!(fixture.store.connections().create(&scope, &new_connection("a"), None, &create).await.is_ok(), "still known");
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
        assert_eq!((state().await, kept().await.as_str()), (ConnectionState::Connecting, "1"));
        fixture.clock.advance(Duration::from_secs(2));
        fixture.store.upkeep().await.unwrap();
        fixture.store.upkeep().await.unwrap();
        assert_eq!((state().await, kept().await.as_str()), (ConnectionState::Disconnected, "0"));
        let late = "SELECT CAST(count(*) AS text) AS v FROM audit_events WHERE action = 'CompleteAuthorization' AND reason = 'STATE_EXPIRED'";
        assert_eq!(fixture.text(late).await, "1");
    }

    async fn a_user_with_thousands_of_connections_goes_in_pieces_and_no_others_do(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let ids = of_users(fixture, &scope).await;
        fixture.multiply(ids[0], 2_500).await;
        fixture.multiply(ids[1], 10).await;
        let delete = write(&scope, Action::DeleteUser);
        let removed = fixture.store.users().delete(&scope, &user("u1"), &delete, soon()).await.unwrap().into_inner();
        assert_eq!(removed, 2_501);
        assert_eq!((fixture.count("connections").await, fixture.count("user_deletions").await), (11, 0));
        assert_eq!(fixture.fetch(&scope, ids[1]).await.unwrap(), "CANARY");
        assert_pieces(fixture).await;
        // The same of what any number of deletions has left to be purged.
        for id in &ids[1..] {
            fixture.store.connections().delete(&scope, *id, None, &write(&scope, Action::DeleteConnection)).await.unwrap().into_inner();
        }
        fixture.multiply(ids[1], 2_000).await;
        fixture.clock.advance(fixture.settings.undelete_period);
        assert_eq!(fixture.store.upkeep().await.unwrap(), 2_001);
        assert_pieces(fixture).await;
        fixture.clock.advance(Duration::from_secs(8 * 24 * 3600));
        fixture.store.upkeep().await.unwrap();
        assert_eq!(fixture.count("changes").await, 0, "all forgotten");
    }

    async fn a_deletion_that_was_cut_off_is_finished_and_nothing_is_served_meanwhile(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let ids = of_users(fixture, &scope).await;
        fixture.multiply(ids[0], 300).await;
        let delete = write(&scope, Action::DeleteUser);
        let users = fixture.store.users();
        // No time to purge: what is left of that is not served, and does not come back.
        let now = std::time::Instant::now();
        assert_eq!(users.delete(&scope, &user("u1"), &delete, now).await.unwrap().into_inner(), 301);
        assert!(matches!(fixture.fetch(&scope, ids[0]).await, Err(Error::ConnectionNotFound)));
        let undelete = write(&scope, Action::UndeleteConnection);
        let back = fixture.store.connections().undelete(&scope, ids[0], None, &undelete).await;
        assert!(matches!(back, Err(Error::State(_))), "{back:?}");
        assert_eq!(fixture.store.upkeep().await.unwrap(), 301);
        // Killed right after the call had made it durable.
        mark(fixture, "u2").await;
        fixture.store.upkeep().await.unwrap();
        assert_eq!((fixture.count("connections").await, fixture.count("user_deletions").await), (0, 0));
    }

    async fn a_repeated_deletion_touches_nothing_that_was_created_since(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        of_users(fixture, &scope).await;
        let delete = repeatable(&scope, Action::DeleteUser, Uuid::from_u128(1), "u1");
        let removed = async || fixture.store.users().delete(&scope, &user("u1"), &delete, soon()).await.unwrap().into_inner();
        assert_eq!(removed().await, 1);
        // The user is back, and then the answer to the first request was lost, or a queue has it twice.
        let again = of_user(fixture, &scope, "u1").await;
        assert_eq!(removed().await, 0);
        fixture.store.upkeep().await.unwrap();
        assert_eq!(fixture.fetch(&scope, again).await.unwrap(), "CANARY");
        // Another request is another matter.
        let other = repeatable(&scope, Action::DeleteUser, Uuid::from_u128(2), "u1");
        assert_eq!(fixture.store.users().delete(&scope, &user("u1"), &other, soon()).await.unwrap().into_inner(), 1);
        assert!(matches!(fixture.fetch(&scope, again).await, Err(Error::ConnectionNotFound)));
    }

    async fn a_deletion_under_way_leaves_what_was_created_since(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let endpoint = put(fixture, &scope, &new_endpoint(&[])).await.unwrap().0;
        let ids = of_users(fixture, &scope).await;
        mark(fixture, "u1").await;
        fixture.clock.advance(Duration::from_secs(1));
        let later = of_user(fixture, &scope, "u1").await;
        let settle = "UPDATE event_deliveries SET state = 'DELIVERED', due_time = NULL";
        fixture.execute(settle).await;
        fixture.store.upkeep().await.unwrap();
        assert!(matches!(fixture.fetch(&scope, ids[0]).await, Err(Error::ConnectionNotFound)));
        assert_eq!(fixture.fetch(&scope, later).await.unwrap(), "CANARY");
        assert_eq!(fixture.count("user_deletions").await, 0);
        let page = Page { size: 500, token: String::new(), query: Vec::new() };
        let told = fixture.store.event_deliveries().list(&scope, Some(endpoint), None, &page).await.unwrap().items;
        let about = |id: ConnectionId| told.iter().filter(|one| one.body.contains(&id.to_string())).count();
        assert_eq!((about(ids[0]), about(later), about(ids[1])), (1, 2, 2), "its end, and what is about others");
        // A second request means all that is there when it comes.
        mark(fixture, "u1").await;
        fixture.clock.advance(Duration::from_secs(1));
        let newest = of_user(fixture, &scope, "u1").await;
        let delete = write(&scope, Action::DeleteUser);
        assert_eq!(fixture.store.users().delete(&scope, &user("u1"), &delete, soon()).await.unwrap().into_inner(), 2);
        assert!(matches!(fixture.fetch(&scope, newest).await, Err(Error::ConnectionNotFound)));
    }

    async fn a_deletion_takes_what_a_replica_with_a_faster_clock_has_created(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let ids = of_users(fixture, &scope).await;
        let ahead = format!("UPDATE connections SET create_time = create_time + 5000000 WHERE id = {}", fixture.id(ids[0]));
        fixture.execute(&ahead).await;
        let delete = write(&scope, Action::DeleteUser);
        assert_eq!(fixture.store.users().delete(&scope, &user("u1"), &delete, soon()).await.unwrap().into_inner(), 1);
        assert_eq!((fixture.count("connections").await, fixture.count("user_deletions").await), (1, 0));
    }

    async fn the_webhooks_of_what_is_purged_go_in_pieces(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        fixture.only_pieces_of(&["webhook_replays", "connections"]).await;
        let mut ids = Vec::new();
        for account in ["a", "b", "kept"] {
            let id = fixture.connection(&scope, account).await.id;
            ids.push(id);
            let key = if fixture.postgres.is_some() { "decode(lpad(i::text, 64, '0'), 'hex')" } else { "randomblob(32)" };
            let seen = format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 700)
                 INSERT INTO webhook_replays (tenant_id, connection_id, replay_key, expire_time)
                 SELECT 'acme', {}, {key}, {} FROM n",
                fixture.id(id), i64::MAX
            );
            fixture.execute(&seen).await;
        }
        for id in &ids[..2] {
            fixture.store.connections().delete(&scope, *id, None, &write(&scope, Action::DeleteConnection)).await.unwrap().into_inner();
        }
        let purge = write(&scope, Action::PurgeConnection);
        fixture.store.connections().purge(&scope, ids[0], None, &purge).await.unwrap().into_inner();
        assert_eq!((fixture.count("connections").await, fixture.count("webhook_replays").await), (2, 1_400));
        fixture.clock.advance(fixture.settings.undelete_period);
        assert_eq!(fixture.store.upkeep().await.unwrap(), 1);
        assert_eq!((fixture.count("connections").await, fixture.count("webhook_replays").await), (1, 700));
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
        assert_eq!(fixture.store.connections().get(&scope, id).await.unwrap().state, ConnectionState::Disconnected);
    }

    async fn what_cannot_be_counted_or_forgotten_does_not_stop_the_rest(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let id = fixture.connection(&scope, "a").await.id;
        fixture.store.connections().delete(&scope, id, None, &write(&scope, Action::DeleteConnection)).await.unwrap().into_inner();
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
        fixture.store.connections().delete(&scope, ids[0], None, &write(&scope, Action::DeleteConnection)).await.unwrap().into_inner();
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
        // What somebody has asked for is done all the same.
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
            fixture.store.connections().delete(&scope, id, None, &write(&scope, Action::DeleteConnection)).await.unwrap().into_inner();
        }
        fixture.clock.advance(fixture.settings.undelete_period);
        let (a, b, c) = tokio::join!(fixture.store.upkeep(), fixture.store.upkeep(), fixture.store.upkeep());
        assert_eq!(a.unwrap() + b.unwrap() + c.unwrap(), 10);
    }
}

fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

/// A connection with a credential of each of two users.
async fn of_users(fixture: &Fixture, scope: &TenantScope) -> Vec<ConnectionId> {
    vec![of_user(fixture, scope, "u1").await, of_user(fixture, scope, "u2").await]
}

async fn of_user(fixture: &Fixture, scope: &TenantScope, user: &str) -> ConnectionId {
    let account = Uuid::new_v4().to_string();
    let (new, first) = (owned_by(user, &account), credential("CANARY"));
    let create = write(scope, Action::CreateConnection);
    let created = fixture.store.connections().create(scope, &new, Some(&first), &create).await;
    created.unwrap().into_inner().id
}

/// The state that a process leaves which is killed right after a deletion was made durable.
async fn mark(fixture: &Fixture, user: &str) {
    let now = fixture.clock.now().micros();
    fixture.execute(&format!("INSERT INTO user_deletions VALUES ('acme', '{user}', {now})")).await;
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

/// No transaction has done more than a piece of the work.
async fn assert_pieces(fixture: &Fixture) {
    if fixture.postgres.is_some() {
        let largest =
            "SELECT max(n)::text AS v FROM (SELECT count(*) AS n FROM changes GROUP BY xmin::text) t";
        let largest: u32 = fixture.text(largest).await.parse().unwrap();
        assert!((100..=200).contains(&largest), "{largest}");
    }
}

#[tokio::test]
async fn sqlites_log_defends_itself() {
    let fixture = Fixture::sqlite().await;
    let scope = fixture.tenant("acme").await;
    fixture.connection(&scope, "a").await;
    for sql in ["UPDATE audit_events SET outcome = 'FAILED', reason = 'X'", "DELETE FROM audit_events"] {
        let refused = fixture.try_execute(sql).await.expect_err(sql);
        assert!(refused.contains("audit records are never"), "{refused}");
    }
}
