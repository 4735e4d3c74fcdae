//! A connection that is disconnected while its refresh is in progress: what the provider gives is revoked, too.

use credvault_domain::{Action, Config, Destinations, Revocation, TenantScope};
use credvault_store::{ConnectionKey, ConnectionPatch, Recorded, ToRevoke};
use secrecy::ExposeSecret as _;

use super::{claimed, record, refreshable, refreshed};
use crate::fixture::{Fixture, write};
use crate::on_both;

on_both![
    newer_tokens_of_a_disconnected_connection_are_revoked,
    newer_tokens_are_dropped_where_nothing_is_to_be_revoked,
    a_purge_waits_for_the_answer_to_a_refresh_of_what_is_to_be_revoked,
    newer_tokens_do_not_go_to_another_host,
];

async fn disconnect(fixture: &Fixture, scope: &TenantScope, key: &ConnectionKey, revocable: bool) {
    let (id, write) = (key.connection(), write(scope, Action::DisconnectConnection));
    let revocations = fixture.store.revocations();
    revocations.disconnect(scope, id, None, revocable, &write).await.unwrap().into_inner();
}

async fn to_revoke(fixture: &Fixture, key: &ConnectionKey) -> Option<ToRevoke> {
    fixture.store.revocations().open(key).await.unwrap()
}

fn token(found: &ToRevoke) -> &str {
    found.fields.as_ref().unwrap().get("token").unwrap().expose_secret()
}

async fn newer_tokens_of_a_disconnected_connection_are_revoked(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (refreshes, revocations) = (fixture.store.refreshes(), fixture.store.revocations());
    // The attempt for the older tokens is on its way, or was successful, when the newer ones arrive.
    for (account, settled_before) in [("a", false), ("b", true)] {
        let (key, seen) = refreshable(fixture, &scope, account).await;
        let claim = claimed(&fixture.store, &key, seen).await;
        disconnect(fixture, &scope, &key, true).await;
        let older = to_revoke(fixture, &key).await.unwrap();
        assert_eq!(token(&older), "CANARY first");
        let attempt = || revocations.attempted(&key, Some(older.generation), Revocation::Done);
        if settled_before {
            assert!(attempt().await.unwrap().is_some());
        }
        let late = refreshed(&claim, "CANARY late");
        assert!(!refreshes.store(&claim, &late, &record(&key)).await.unwrap());
        assert_eq!(fixture.count("tokens").await, 0);
        assert!(attempt().await.unwrap().is_none(), "it was sent for the older tokens");
        let newer = to_revoke(fixture, &key).await.unwrap();
        assert_eq!(token(&newer), "CANARY late");
        assert_eq!(newer.connection.revocation, Some(Revocation::Pending));
        assert_eq!(revocations.due(10, &[]).await.unwrap(), std::slice::from_ref(&key));
        let settled = revocations.attempted(&key, Some(newer.generation), Revocation::Done).await.unwrap();
        assert_eq!(settled.unwrap().revocation, Some(Revocation::Done));
        assert_eq!(fixture.count("revocations").await, 0);
    }
}

async fn newer_tokens_are_dropped_where_nothing_is_to_be_revoked(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    for (account, connected_again) in [("a", false), ("b", true)] {
        let (key, seen) = refreshable(fixture, &scope, account).await;
        let claim = claimed(&fixture.store, &key, seen).await;
        disconnect(fixture, &scope, &key, connected_again).await;
        if connected_again {
            // Another credential, which may hang on the same consent.
            fixture.put(&scope, key.connection(), "CANARY again").await;
        }
        let late = refreshed(&claim, "CANARY late");
        assert!(!fixture.store.refreshes().store(&claim, &late, &record(&key)).await.unwrap());
        assert!(to_revoke(fixture, &key).await.is_none());
        assert_eq!((fixture.count("tokens").await, fixture.count("revocations").await), (0, 0));
    }
}

/// A refresh is in progress, its connection is disconnected and purged at once, and the older tokens are revoked before the
/// newer ones arrive.
async fn a_purge_waits_for_the_answer_to_a_refresh_of_what_is_to_be_revoked(fixture: &Fixture) {
    let (scope, store) = (fixture.tenant("acme").await, &fixture.store);
    let (key, seen) = refreshable(fixture, &scope, "a").await;
    let claim = claimed(store, &key, seen).await;
    let id = key.connection();
    let delete = write(&scope, Action::DeleteConnection);
    let _ = store.connections().delete_and_revoke(&scope, id, None, true, &delete).await.unwrap();
    let settle = async || {
        let open = to_revoke(fixture, &key).await.unwrap();
        let settled = store.revocations().attempted(&key, Some(open.generation), Revocation::Done).await;
        assert!(settled.unwrap().is_some());
    };
    settle().await;
    let purge = write(&scope, Action::PurgeConnection);
    let purged = store.connections().purge(&scope, id, None, &purge).await.map(Recorded::into_inner);
    assert!(purged.unwrap().waits);
    store.purge_settled(&key).await.unwrap();
    assert_eq!(fixture.count("connections").await, 1);
    let late = refreshed(&claim, "CANARY late");
    assert!(!store.refreshes().store(&claim, &late, &record(&key)).await.unwrap());
    assert_eq!(token(&to_revoke(fixture, &key).await.unwrap()), "CANARY late");
    fixture.execute("UPDATE refreshes SET lease_time = 0").await;
    store.purge_settled(&key).await.unwrap();
    assert_eq!(fixture.count("connections").await, 1, "the newer tokens are still to be revoked");
    settle().await;
    store.purge_settled(&key).await.unwrap();
    assert_eq!(fixture.count("connections").await, 0);
}

async fn newer_tokens_do_not_go_to_another_host(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (key, seen) = refreshable(fixture, &scope, "a").await;
    let claim = claimed(&fixture.store, &key, seen).await;
    disconnect(fixture, &scope, &key, true).await;
    let elsewhere = ConnectionPatch {
        config: Some(Config::new([("host".to_owned(), "other".into())].into_iter().collect()).unwrap()),
        destinations: Destinations::new([("host".to_owned(), None)].into()),
        ..ConnectionPatch::default()
    };
    let update = write(&scope, Action::UpdateConnection);
    let connections = fixture.store.connections();
    connections.update(&scope, key.connection(), None, &elsewhere, &update).await.unwrap().into_inner();
    let late = refreshed(&claim, "CANARY late");
    assert!(!fixture.store.refreshes().store(&claim, &late, &record(&key)).await.unwrap());
    assert_eq!((fixture.count("tokens").await, fixture.count("revocations").await), (0, 0));
    let connection = connections.get(&scope, key.connection()).await.unwrap();
    assert_eq!(connection.revocation, Some(Revocation::Failed));
}
