//! Deletions of users: in pieces, finished after an interruption, and only what existed before.

use std::time::Duration;

use credvault_domain::{Action, ConnectionId, UserId};
use credvault_store::{Error, Page};
use uuid::Uuid;

use super::{assert_pieces, mark, of_user, of_users};
use crate::events::{new_endpoint, put};
use crate::fixture::{Fixture, repeatable, soon, write};
use crate::on_both;

on_both![
    a_user_with_thousands_of_connections_goes_in_pieces_and_no_others_do,
    a_deletion_that_was_cut_off_is_finished_and_nothing_is_served_meanwhile,
    a_repeated_deletion_touches_nothing_that_was_created_since,
    a_deletion_under_way_leaves_what_was_created_since,
    a_deletion_takes_what_a_replica_with_a_faster_clock_has_created,
    a_connection_that_was_deleted_before_goes_with_its_user,
];

async fn a_user_with_thousands_of_connections_goes_in_pieces_and_no_others_do(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let ids = of_users(fixture, &scope).await;
    fixture.multiply(ids[0], 2_500).await;
    fixture.multiply(ids[1], 10).await;
    let delete = write(&scope, Action::DeleteUser);
    let removed =
        fixture.store.users().delete(&scope, &user("u1"), None, &delete, soon()).await.unwrap().into_inner();
    assert_eq!(removed.connections, 2_501);
    assert_eq!((removed.to_revoke, removed.unsupported, removed.remaining), (0, 0, 2_501));
    assert_eq!(fixture.count("connections").await, 11);
    assert_eq!(fixture.count("user_deletions").await, 0);
    assert_eq!(fixture.fetch(&scope, ids[1]).await.unwrap(), "CANARY");
    assert_pieces(fixture).await;
    // The same of what any number of deletions has left to be purged.
    for id in &ids[1..] {
        fixture
            .store
            .connections()
            .delete(&scope, *id, None, &write(&scope, Action::DeleteConnection))
            .await
            .unwrap()
            .into_inner();
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
    assert_eq!(
        users.delete(&scope, &user("u1"), None, &delete, now).await.unwrap().into_inner().connections,
        301
    );
    assert!(matches!(fixture.fetch(&scope, ids[0]).await, Err(Error::ConnectionNotFound)));
    let undelete = write(&scope, Action::UndeleteConnection);
    let back = fixture.store.connections().undelete(&scope, ids[0], None, &undelete).await;
    assert!(matches!(back, Err(Error::State(_))), "{back:?}");
    assert_eq!(fixture.store.upkeep().await.unwrap(), 301);
    // Killed right after the call had made it durable.
    mark(fixture, "u2").await;
    fixture.store.upkeep().await.unwrap();
    assert_eq!(fixture.count("connections").await, 0);
    assert_eq!(fixture.count("user_deletions").await, 0);
}

async fn a_repeated_deletion_touches_nothing_that_was_created_since(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    of_users(fixture, &scope).await;
    let delete = repeatable(&scope, Action::DeleteUser, Uuid::from_u128(1), "u1");
    let removed = async || {
        fixture
            .store
            .users()
            .delete(&scope, &user("u1"), None, &delete, soon())
            .await
            .unwrap()
            .into_inner()
            .connections
    };
    assert_eq!(removed().await, 1);
    // The user is back, and then the answer to the first request was lost, or a queue has it twice.
    let again = of_user(fixture, &scope, "u1").await;
    assert_eq!(removed().await, 0);
    fixture.store.upkeep().await.unwrap();
    assert_eq!(fixture.fetch(&scope, again).await.unwrap(), "CANARY");
    // Another request is another matter.
    let other = repeatable(&scope, Action::DeleteUser, Uuid::from_u128(2), "u1");
    assert_eq!(
        fixture
            .store
            .users()
            .delete(&scope, &user("u1"), None, &other, soon())
            .await
            .unwrap()
            .into_inner()
            .connections,
        1
    );
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
    let later_one = fixture.store.connections().get(&scope, later).await.unwrap();
    assert!(later_one.default, "a fetch by provider finds it");
    assert_eq!(fixture.count("user_deletions").await, 0);
    let page = Page { size: 500, token: String::new(), query: Vec::new() };
    let told =
        fixture.store.event_deliveries().list(&scope, Some(endpoint), None, &page).await.unwrap().items;
    let about = |id: ConnectionId| told.iter().filter(|one| one.body.contains(&id.to_string())).count();
    assert_eq!(about(ids[0]), 1, "its end, and what is about others");
    assert_eq!(about(later), 2, "its end, and what is about others");
    assert_eq!(about(ids[1]), 2, "its end, and what is about others");
    // A second request means all that is there when it comes.
    mark(fixture, "u1").await;
    fixture.clock.advance(Duration::from_secs(1));
    let newest = of_user(fixture, &scope, "u1").await;
    let delete = write(&scope, Action::DeleteUser);
    assert_eq!(
        fixture
            .store
            .users()
            .delete(&scope, &user("u1"), None, &delete, soon())
            .await
            .unwrap()
            .into_inner()
            .connections,
        2
    );
    assert!(matches!(fixture.fetch(&scope, newest).await, Err(Error::ConnectionNotFound)));
}

async fn a_deletion_takes_what_a_replica_with_a_faster_clock_has_created(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let ids = of_users(fixture, &scope).await;
    let ahead = format!(
        "UPDATE connections SET create_time = create_time + 5000000 WHERE id = {}",
        fixture.id(ids[0])
    );
    fixture.execute(&ahead).await;
    let delete = write(&scope, Action::DeleteUser);
    assert_eq!(
        fixture
            .store
            .users()
            .delete(&scope, &user("u1"), None, &delete, soon())
            .await
            .unwrap()
            .into_inner()
            .connections,
        1
    );
    assert_eq!(fixture.count("connections").await, 1);
    assert_eq!(fixture.count("user_deletions").await, 0);
}

/// PostgreSQL refuses a change of either connection without its row in the feed.
async fn a_connection_that_was_deleted_before_goes_with_its_user(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (deleted, live) = (of_user(fixture, &scope, "u1").await, of_user(fixture, &scope, "u1").await);
    let delete = write(&scope, Action::DeleteConnection);
    fixture.store.connections().delete(&scope, deleted, None, &delete).await.unwrap().into_inner();
    let delete = write(&scope, Action::DeleteUser);
    // No time to purge: both are there, and neither comes back.
    let now = std::time::Instant::now();
    let removed = fixture.store.users().delete(&scope, &user("u1"), None, &delete, now).await;
    assert_eq!(removed.unwrap().into_inner().connections, 2);
    for id in [deleted, live] {
        let undelete = write(&scope, Action::UndeleteConnection);
        let back = fixture.store.connections().undelete(&scope, id, None, &undelete).await;
        assert!(matches!(back, Err(Error::State(_))), "{back:?}");
    }
    assert_eq!(fixture.store.upkeep().await.unwrap(), 2);
    assert_eq!(fixture.count("connections").await, 0);
    assert_eq!(fixture.count("user_deletions").await, 0);
}

fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}
