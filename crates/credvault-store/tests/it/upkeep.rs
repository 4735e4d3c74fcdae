//! Background work: purges, pieces, and what they leave.

use credvault_domain::{Action, Clock as _, ConnectionId, TenantScope};
use uuid::Uuid;

use crate::fixture::{Fixture, credential, owned_by, write};

mod purges;
mod revocations;
mod user_deletions;

/// No transaction has done more than a piece of the work.
async fn assert_pieces(fixture: &Fixture) {
    if fixture.postgres.is_some() {
        let largest =
            "SELECT max(n)::text AS v FROM (SELECT count(*) AS n FROM changes GROUP BY xmin::text) t";
        let largest: u32 = fixture.text(largest).await.parse().unwrap();
        assert!((100..=200).contains(&largest), "{largest}");
    }
}

/// The state that a process leaves which is killed right after a deletion was made durable.
async fn mark(fixture: &Fixture, user: &str) {
    mark_as(fixture, user, false).await;
}

/// The same of a deletion that revokes, or does not.
async fn mark_as(fixture: &Fixture, user: &str, revokes: bool) {
    let now = fixture.clock.now().micros();
    fixture
        .execute(&format!(
            "INSERT INTO user_deletions (tenant_id, user_id, create_time, revokes) VALUES ('acme', '{user}', {now}, {revokes})"
        ))
        .await;
}

/// A connection with a credential of each of two users.
async fn of_users(fixture: &Fixture, scope: &TenantScope) -> Vec<ConnectionId> {
    vec![of_user(fixture, scope, "u1").await, of_user(fixture, scope, "u2").await]
}

async fn of_user(fixture: &Fixture, scope: &TenantScope, user: &str) -> ConnectionId {
    let account = Uuid::new_v4().to_string();
    let new = owned_by(user, &account);
    let first = credential("CANARY");
    let create = write(scope, Action::CreateConnection);
    let created = fixture.store.connections().create(scope, &new, Some(&first), &create).await;
    created.unwrap().into_inner().id
}
