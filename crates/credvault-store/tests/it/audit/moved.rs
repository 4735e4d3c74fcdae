//! Records of earlier releases come into their logs, each once, and none is passed by.

use std::time::Duration;

use credvault_domain::Clock as _;
use uuid::Uuid;

use crate::audit::{ids, tree};
use crate::fixture::Fixture;
use crate::on_both;

on_both![records_are_moved_up_to_a_row_that_was_altered, nothing_is_moved_while_the_clock_is_not_trusted];

const TRACE: &str = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";

/// Inserts a record as an earlier release did, with the lowest id of a moment so long ago.
async fn insert(fixture: &Fixture, ago: Duration, trace: &str) -> Uuid {
    let time = fixture.clock.now().before(ago);
    let id = Uuid::from_u128((u128::from(time.millis()) << 80) | 0x7000_8000_0000_0000_0001);
    let literal = match &fixture.postgres {
        Some(_) => format!("'{id}'::uuid"),
        None => format!("x'{}'", id.simple()),
    };
    let sql = format!(
        "INSERT INTO audit_events (tenant_id, id, time, tenant_source, action, changed, outcome, policies, trace_id)
         VALUES ('acme', {literal}, {}, 'TOKEN', 'FetchCredential', '[]', 'OK', '[]', '{trace}')",
        time.micros()
    );
    fixture.execute(&sql).await;
    id
}

async fn records_are_moved_up_to_a_row_that_was_altered(fixture: &Fixture) {
    fixture.tenant("acme").await;
    let hour = Duration::from_secs(3600);
    let first = insert(fixture, hour * 4, TRACE).await;
    let altered = insert(fixture, hour * 3, "x").await;
    let last = insert(fixture, hour * 2, TRACE).await;
    fixture.store.upkeep().await.unwrap();
    fixture.sequence().await;
    // With that of the tenant's creation. Lists have the others from where they are.
    assert_eq!(tree(fixture, "acme").await, 2);
    assert_eq!(ids(fixture, "acme").await.len(), 4);

    if fixture.postgres.is_none() {
        fixture.execute("DROP TRIGGER audit_events_unchanged").await;
    }
    fixture.execute(&format!("UPDATE audit_events SET trace_id = '{TRACE}' WHERE trace_id = 'x'")).await;
    fixture.clock.advance(hour + Duration::from_secs(1));
    fixture.store.upkeep().await.unwrap();
    fixture.sequence().await;
    assert_eq!(tree(fixture, "acme").await, 4);
    let moved = ids(fixture, "acme").await;
    assert!([first, altered, last].iter().all(|id| moved.contains(id)), "{moved:?}");
}

async fn nothing_is_moved_while_the_clock_is_not_trusted(fixture: &Fixture) {
    fixture.tenant("acme").await;
    let id = insert(fixture, Duration::from_secs(4 * 3600), TRACE).await;
    fixture.clock.trust(false);
    fixture.store.upkeep().await.unwrap();
    assert_eq!(fixture.count("audit_moves WHERE tenant_id = 'acme'").await, 0);
    fixture.clock.trust(true);
    fixture.store.upkeep().await.unwrap();
    assert!(ids(fixture, "acme").await.contains(&id));
}
