//! Purges and deletions of users that wait until grants are revoked: none is lost, and none waits for ever.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use credvault_domain::{
    Action, AuthMode, Connection, ConnectionId, ProviderId, Revocation, TenantScope, UserId,
};
use credvault_store::{ConnectionKey, DeletedUser, Error, GrantEnding, GrantEndings};
use sea_orm::{ConnectionTrait as _, TransactionTrait as _};

use super::{mark_as, of_user, of_users};
use crate::fixture::{Fixture, repeatable, soon, write};
use crate::on_both;

on_both![
    a_purge_waits_until_its_revocation_is_settled_or_given_up,
    a_purge_with_nothing_to_wait_for_is_done_at_once,
    a_revocation_of_which_nothing_is_kept_is_given_up,
    a_repeated_purge_tells_what_is_left,
    a_deletion_that_was_cut_off_revokes_when_it_is_finished,
    a_deletion_without_revocations_loses_none_that_is_under_way,
    of_connections_that_share_a_grant_the_last_is_asked_for,
    grants_that_remain_are_counted_once_each,
    what_policy_does_not_let_the_caller_disconnect_is_left_to_the_provider,
    several_replicas_revoke_each_grant_once,
];

/// How often a provider is asked at most.
const ATTEMPTS: usize = 16;

/// A deleted connection with its credential.
async fn deleted(fixture: &Fixture, scope: &TenantScope, account: &str) -> ConnectionId {
    let id = fixture.connection(scope, account).await.id;
    fixture.put(scope, id, "CANARY").await;
    let delete = write(scope, Action::DeleteConnection);
    fixture.store.connections().delete(scope, id, None, &delete).await.unwrap().into_inner();
    id
}

async fn a_purge_waits_until_its_revocation_is_settled_or_given_up(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (connections, revocations) = (fixture.store.connections(), fixture.store.revocations());
    for settled in [Revocation::Done, Revocation::Failed] {
        let id = deleted(fixture, &scope, settled.as_str()).await;
        let purge = write(&scope, Action::PurgeConnection);
        let purged = connections.purge_and_revoke(&scope, id, None, true, &purge).await.unwrap().into_inner();
        let left = purged.connection.unwrap();
        assert!(purged.waits);
        assert_eq!((left.revocation, left.current_version), (Some(Revocation::Pending), 0));
        // Neither another purge nor upkeep takes away what the provider has to be asked with.
        assert!(connections.purge(&scope, id, None, &purge).await.unwrap().into_inner().waits);
        assert_eq!(fixture.store.upkeep().await.unwrap(), 0);
        let undelete = write(&scope, Action::UndeleteConnection);
        let back = connections.undelete(&scope, id, None, &undelete).await;
        assert!(matches!(back, Err(Error::State(_))), "{back:?}");
        let key = fixture.store.connection_key(&scope, id);
        assert!(revocations.open(&key).await.unwrap().is_some());
        if settled == Revocation::Done {
            attempted(fixture, &key, settled).await;
            assert_eq!(fixture.store.upkeep().await.unwrap(), 1);
        } else {
            for attempt in 1..=ATTEMPTS {
                let after = attempted(fixture, &key, Revocation::Pending).await.unwrap();
                let outcome = if attempt < ATTEMPTS { Revocation::Pending } else { settled };
                assert_eq!(after.revocation, Some(outcome));
            }
            fixture.store.purge_settled(&key).await.unwrap();
        }
        assert!(matches!(connections.get(&scope, id).await, Err(Error::ConnectionNotFound)));
        assert_eq!(fixture.count("revocations").await, 0);
    }
}

async fn a_purge_with_nothing_to_wait_for_is_done_at_once(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let connections = fixture.store.connections();
    let purge = write(&scope, Action::PurgeConnection);
    // The provider has no call for it, or the connection has no credential any more.
    let unsupported = deleted(fixture, &scope, "a").await;
    let purged = connections.purge_and_revoke(&scope, unsupported, None, false, &purge).await.unwrap();
    let purged = purged.into_inner();
    assert_eq!((purged.waits, purged.connection.unwrap().revocation), (false, Some(Revocation::Unsupported)));
    let empty = fixture.connection(&scope, "b").await.id;
    let delete = write(&scope, Action::DeleteConnection);
    let gone = connections.delete_and_revoke(&scope, empty, None, true, &delete).await.unwrap().into_inner();
    assert_eq!(gone.revocation, None);
    let purged = connections.purge_and_revoke(&scope, empty, None, true, &purge).await.unwrap().into_inner();
    assert_eq!((purged.waits, purged.connection.unwrap().revocation), (false, None));
    // A purge that does not revoke leaves the grant at the provider.
    let plain = deleted(fixture, &scope, "c").await;
    let purged = connections.purge(&scope, plain, None, &purge).await.unwrap().into_inner();
    assert_eq!((purged.waits, purged.connection.unwrap().current_version), (false, 1));
    assert_eq!(fixture.count("connections").await, 0);
    // A connection that can still be undeleted is not cut short by the end of its revocation.
    let id = fixture.connection(&scope, "d").await.id;
    fixture.put(&scope, id, "CANARY").await;
    connections.delete_and_revoke(&scope, id, None, true, &delete).await.unwrap().into_inner();
    let key = fixture.store.connection_key(&scope, id);
    attempted(fixture, &key, Revocation::Done).await;
    fixture.store.purge_settled(&key).await.unwrap();
    let undelete = write(&scope, Action::UndeleteConnection);
    let back = connections.undelete(&scope, id, None, &undelete).await.unwrap().into_inner();
    assert_eq!((back.revocation, back.current_version), (Some(Revocation::Done), 0));
}

async fn a_revocation_of_which_nothing_is_kept_is_given_up(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let id = deleted(fixture, &scope, "a").await;
    let purge = write(&scope, Action::PurgeConnection);
    let purged = fixture.store.connections().purge_and_revoke(&scope, id, None, true, &purge).await;
    assert!(purged.unwrap().into_inner().waits);
    // Removed by hand.
    fixture.execute("DELETE FROM revocations").await;
    let (key, revocations) = (fixture.store.connection_key(&scope, id), fixture.store.revocations());
    assert!(revocations.open(&key).await.unwrap().is_none());
    let after = attempted(fixture, &key, Revocation::Pending).await.unwrap();
    assert_eq!(after.revocation, Some(Revocation::Failed));
    assert!(attempted(fixture, &key, Revocation::Pending).await.is_none(), "settled already");
    assert_eq!(fixture.store.upkeep().await.unwrap(), 1);
}

async fn a_repeated_purge_tells_what_is_left(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let connections = fixture.store.connections();
    let id = deleted(fixture, &scope, "a").await;
    let purge = repeatable(&scope, Action::PurgeConnection, uuid::Uuid::from_u128(1), "p");
    let first = connections.purge_and_revoke(&scope, id, None, true, &purge).await.unwrap().into_inner();
    let again = connections.purge_and_revoke(&scope, id, None, true, &purge).await.unwrap().into_inner();
    assert!(first.waits && again.waits);
    assert_eq!(first.connection, again.connection, "it has taken effect once");
    let key = fixture.store.connection_key(&scope, id);
    attempted(fixture, &key, Revocation::Done).await;
    fixture.store.upkeep().await.unwrap();
    let last = connections.purged_before(&scope, &purge).await.unwrap().into_inner();
    assert!(!last.waits && last.connection.is_none());
}

async fn a_deletion_that_was_cut_off_revokes_when_it_is_finished(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let ids = of_users(fixture, &scope).await;
    mark_as(fixture, "u1", true).await;
    assert_eq!(fixture.store.upkeep().await.unwrap(), 0, "it waits for its revocation");
    assert_eq!(fixture.count("user_deletions").await, 0);
    assert!(matches!(fixture.fetch(&scope, ids[0]).await, Err(Error::ConnectionNotFound)));
    let left = fixture.count("credential_versions WHERE sealed IS NOT NULL").await;
    assert_eq!(left, 1, "only the other user's secret");
    let (key, revocations) = (fixture.store.connection_key(&scope, ids[0]), fixture.store.revocations());
    assert_eq!(revocations.due(10, &[]).await.unwrap(), std::slice::from_ref(&key));
    attempted(fixture, &key, Revocation::Unsupported).await;
    assert_eq!(fixture.store.upkeep().await.unwrap(), 1);
    assert_eq!(fixture.fetch(&scope, ids[1]).await.unwrap(), "CANARY");
}

async fn a_deletion_without_revocations_loses_none_that_is_under_way(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let id = of_user(fixture, &scope, "u1").await;
    let disconnect = write(&scope, Action::DisconnectConnection);
    let revocations = fixture.store.revocations();
    revocations.disconnect(&scope, id, None, true, &disconnect).await.unwrap().into_inner();
    let removed = delete(fixture, &scope, None, soon()).await;
    assert_eq!(removed, DeletedUser { connections: 1, to_revoke: 1, ..DeletedUser::default() });
    assert_eq!(fixture.count("revocations").await, 1);
    let key = fixture.store.connection_key(&scope, id);
    attempted(fixture, &key, Revocation::Done).await;
    assert_eq!(fixture.store.upkeep().await.unwrap(), 1);
    // A second request may ask for more than the first, as long as something is there.
    of_user(fixture, &scope, "u1").await;
    let now = Instant::now();
    let removed = delete(fixture, &scope, None, now).await;
    assert_eq!(removed, DeletedUser { connections: 1, remaining: 1, ..DeletedUser::default() });
    let removed = delete(fixture, &scope, Some(&always), now).await;
    assert_eq!(removed, DeletedUser { to_revoke: 1, ..DeletedUser::default() });
    assert_eq!(fixture.count("revocations").await, 1);
}

async fn of_connections_that_share_a_grant_the_last_is_asked_for(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(of_user(fixture, &scope, "u1").await);
    }
    for id in &ids[..2] {
        let same =
            format!("UPDATE connections SET confirmed_account_id = 'shop' WHERE id = {}", fixture.id(*id));
        fixture.execute(&same).await;
    }
    let removed = delete(fixture, &scope, Some(&always), soon()).await;
    assert_eq!(removed, DeletedUser { connections: 3, to_revoke: 2, ..DeletedUser::default() });
    assert_eq!(fixture.count("revocations").await, 2);
    assert_eq!(fixture.count("connections").await, 2, "the first has nothing to wait for");
    of_user(fixture, &scope, "u1").await;
    let removed = delete(fixture, &scope, Some(&never), soon()).await;
    assert_eq!(removed, DeletedUser { connections: 1, unsupported: 1, ..DeletedUser::default() });
    assert_eq!(fixture.count("connections").await, 2);
}

async fn grants_that_remain_are_counted_once_each(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    for _ in 0..2 {
        for _ in 0..3 {
            of_user(fixture, &scope, "u1").await;
        }
        fixture.execute("UPDATE connections SET confirmed_account_id = 'shop'").await;
        // Two more, of which the provider has said nothing.
        of_user(fixture, &scope, "u1").await;
        of_user(fixture, &scope, "u1").await;
        let removed = delete(fixture, &scope, None, soon()).await;
        assert_eq!(removed, DeletedUser { connections: 5, remaining: 3, ..DeletedUser::default() });
    }
}

/// A connection that the user got since policy was asked, at a provider where the caller may disconnect nothing.
async fn what_policy_does_not_let_the_caller_disconnect_is_left_to_the_provider(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    of_user(fixture, &scope, "u1").await;
    of_user(fixture, &scope, "u1").await;
    let asked = AtomicUsize::new(0);
    let first_only = |_: &ProviderId, _: &AuthMode| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => GrantEnding::Revoke,
        _ => GrantEnding::Leave,
    };
    let removed = delete(fixture, &scope, Some(&first_only), soon()).await;
    let expected = DeletedUser { connections: 2, to_revoke: 1, remaining: 1, ..DeletedUser::default() };
    assert_eq!((removed, asked.load(Ordering::SeqCst)), (expected, 2));
    assert_eq!(fixture.count("revocations").await, 1);
    assert_eq!(fixture.count("connections").await, 1, "what is left to the provider goes at once");
    assert_eq!(fixture.count("credential_versions WHERE sealed IS NOT NULL").await, 0);
}

/// Both have locked their row and read the other's before either is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_end_at_the_same_moment_one_is_asked_for() {
    let fixture = &Fixture::postgres().await;
    let scope = fixture.tenant("acme").await;
    let ids = [of_user(fixture, &scope, "u1").await, of_user(fixture, &scope, "u1").await];
    fixture.execute("UPDATE connections SET confirmed_account_id = 'shop'").await;
    let holder = fixture.admin_connection().await.begin().await.unwrap();
    holder.execute_unprepared("LOCK TABLE credential_versions IN SHARE MODE").await.unwrap();
    let end = async |id: ConnectionId| {
        let disconnect = write(&scope, Action::DisconnectConnection);
        let ended = fixture.store.revocations().disconnect(&scope, id, None, true, &disconnect).await;
        ended.unwrap().into_inner().revocation.unwrap()
    };
    let release = async {
        fixture.waits_for_locks(2).await;
        holder.commit().await.unwrap();
    };
    let (one, two, ()) = tokio::join!(end(ids[0]), end(ids[1]), release);
    let mut outcomes = [one.as_str(), two.as_str()];
    outcomes.sort_unstable();
    assert_eq!(outcomes, [Revocation::Kept.as_str(), Revocation::Pending.as_str()]);
    assert_eq!(fixture.count("revocations").await, 1);
}

async fn several_replicas_revoke_each_grant_once(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    for _ in 0..30 {
        of_user(fixture, &scope, "u1").await;
    }
    mark_as(fixture, "u1", true).await;
    let (a, b, c) = tokio::join!(fixture.store.upkeep(), fixture.store.upkeep(), fixture.store.upkeep());
    assert_eq!(a.unwrap() + b.unwrap() + c.unwrap(), 0);
    fixture.store.upkeep().await.unwrap();
    assert_eq!(fixture.count("user_deletions").await, 0);
    assert_eq!(fixture.count("revocations").await, 30);
    let revocations = fixture.store.revocations();
    for key in revocations.due(100, &[]).await.unwrap() {
        attempted(fixture, &key, Revocation::Done).await;
    }
    assert_eq!(fixture.store.upkeep().await.unwrap(), 30);
    assert_eq!(fixture.count("connections").await, 0);
}

/// Records how an attempt ended for what is to be revoked now.
async fn attempted(fixture: &Fixture, key: &ConnectionKey, outcome: Revocation) -> Option<Connection> {
    let revocations = fixture.store.revocations();
    let generation = revocations.open(key).await.unwrap().map(|found| found.generation);
    revocations.attempted(key, generation, outcome).await.unwrap()
}

fn always(_: &ProviderId, _: &AuthMode) -> GrantEnding {
    GrantEnding::Revoke
}

fn never(_: &ProviderId, _: &AuthMode) -> GrantEnding {
    GrantEnding::Unsupported
}

/// Deletes the user `u1`, and purges until an instant.
async fn delete(
    fixture: &Fixture,
    scope: &TenantScope,
    revoke: Option<GrantEndings<'_>>,
    until: Instant,
) -> DeletedUser {
    let user = UserId::parse("u1").unwrap();
    let delete = write(scope, Action::DeleteUser);
    fixture.store.users().delete(scope, &user, revoke, &delete, until).await.unwrap().into_inner()
}
