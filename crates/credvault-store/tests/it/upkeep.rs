//! Background work.

use std::time::Duration;

use credvault_domain::{Action, ConnectionId, ConnectionState, TenantScope, UserId};
use credvault_store::{AuditFilter, Error, NewAuthorization, Page};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

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
        fixture.execute("INSERT INTO user_deletions VALUES ('acme', 'u2', 0)").await;
        fixture.store.upkeep().await.unwrap();
        assert_eq!((fixture.count("connections").await, fixture.count("user_deletions").await), (0, 0));
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
    let (create, mut ids) = (write(scope, Action::CreateConnection), Vec::new());
    for user in ["u1", "u2"] {
        let (new, first) = (owned_by(user, "a"), credential("CANARY"));
        let created = fixture.store.connections().create(scope, &new, Some(&first), &create).await;
        ids.push(created.unwrap().into_inner().id);
    }
    ids
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
