//! What lists show of a log in its parts: the journal, pieces, whole bundles, and records of an earlier release.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use credvault_domain::{Action, Clock as _, ConnectionId, TenantScope, UserId};
use credvault_store::{AuditFilter, AuditGroup, AuditRecord};
use uuid::Uuid;

use crate::audit::{ids, record, tree};
use crate::fixture::{Fixture, event, permit, scope};
use crate::on_both;

on_both![
    filters_find_the_same_in_the_journal_and_in_bundles,
    summaries_count_each_record_once,
    records_of_an_earlier_release_are_moved_in_and_listed_once,
];

/// Records of different kinds, one call after the other.
async fn mixed(fixture: &Fixture, tenant: &TenantScope, numbers: Range<u128>) {
    let user = |number: u128| UserId::parse(&format!("u{}", number % 7)).unwrap();
    let recording = numbers.map(|number| {
        let action = if number % 50 == 0 { Action::PutCredential } else { Action::FetchCredential };
        let mut one = event(tenant, action);
        one.connection = Some(ConnectionId::from_uuid(Uuid::from_u128(number / 100)));
        one.user = Some(user(number));
        async move { fixture.store.audit().record(&permit(), one, ()).await.unwrap().into_inner() }
    });
    futures::future::join_all(recording).await;
}

fn filters() -> Vec<AuditFilter> {
    let connection = |number| Some(ConnectionId::from_uuid(Uuid::from_u128(number)));
    vec![
        AuditFilter::default(),
        AuditFilter { connection: connection(3), ..AuditFilter::default() },
        AuditFilter { connection: connection(99), ..AuditFilter::default() },
        AuditFilter { user: Some(UserId::parse("u3").unwrap()), ..AuditFilter::default() },
        AuditFilter {
            action: Some(Action::PutCredential),
            connection: connection(5),
            ..AuditFilter::default()
        },
    ]
}

/// Records without their places: those that wait have none.
fn unplaced(records: Vec<AuditRecord>) -> Vec<AuditRecord> {
    records.into_iter().map(|record| AuditRecord { index: None, ..record }).collect()
}

async fn found(fixture: &Fixture) -> Vec<Vec<AuditRecord>> {
    let mut found = Vec::new();
    for filter in filters() {
        found.push(unplaced(fixture.records_matching("acme", &filter).await));
    }
    found
}

async fn filters_find_the_same_in_the_journal_and_in_bundles(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    mixed(fixture, &acme, 0..300).await;
    fixture.clock.advance(Duration::from_secs(1));
    mixed(fixture, &acme, 300..600).await;
    let before = found(fixture).await;
    // The first is that of the tenant's creation.
    assert_eq!(before.iter().map(Vec::len).collect::<Vec<_>>(), [601, 100, 0, 86, 2]);
    fixture.sequence().await;
    assert_eq!(tree(fixture, "acme").await, 601);
    assert_eq!(found(fixture).await, before);

    let time = before[0][0].time;
    let filter = AuditFilter { end_time: Some(time), ..AuditFilter::default() };
    assert_eq!(unplaced(fixture.records_matching("acme", &filter).await), before[0][300..]);
    let filter = AuditFilter { start_time: Some(time), ..AuditFilter::default() };
    assert_eq!(unplaced(fixture.records_matching("acme", &filter).await), before[0][..300]);
    let of_user = scope("acme", Some("u1"));
    let rows = fixture.store.audit().summarize(&of_user, &AuditFilter::default(), &[]).await.unwrap();
    assert_eq!(rows[0].count, 86);
}

async fn summaries_count_each_record_once(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    mixed(fixture, &acme, 0..520).await;
    fixture.sequence().await;
    mixed(fixture, &acme, 0..20).await;
    let groups = [AuditGroup::Action];
    let rows = fixture.store.audit().summarize(&acme, &AuditFilter::default(), &groups).await.unwrap();
    let counts: Vec<_> = rows.iter().map(|row| (row.keys[0].as_str(), row.count)).collect();
    assert_eq!(counts, [("FetchCredential", 528), ("PutCredential", 12), ("CreateTenant", 1)]);
    let all = fixture.store.audit().summarize(&acme, &AuditFilter::default(), &[]).await.unwrap();
    assert_eq!((all.len(), all[0].count), (1, 541));
    let none = AuditFilter { user: Some(UserId::parse("u9").unwrap()), ..AuditFilter::default() };
    let all = fixture.store.audit().summarize(&acme, &none, &[]).await.unwrap();
    assert_eq!((all.len(), all[0].count), (1, 0));
}

async fn records_of_an_earlier_release_are_moved_in_and_listed_once(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    record(fixture, &acme, 5).await;
    fixture.sequence().await;
    let random = if fixture.postgres.is_some() { "gen_random_uuid()" } else { "randomblob(16)" };
    let old = fixture.clock.now().before(Duration::from_secs(3600));
    let mut written = BTreeSet::new();
    for number in 0..3_u8 {
        let id = uuid::Builder::from_unix_timestamp_millis(old.millis(), &[number; 10]).into_uuid();
        written.insert(id);
        let (id, time) = (fixture.id(ConnectionId::from_uuid(id)), old.micros());
        let sql = format!(
            "INSERT INTO audit_events (tenant_id, id, time, tenant_source, action, connection_id, changed, outcome, policies, trace_id)
             VALUES ('acme', {id}, {time}, 'none', 'FetchCredential', {random}, '[]', 'OK', '[]', '{}')",
            "0a".repeat(16)
        );
        fixture.execute(&sql).await;
    }
    let before = ids(fixture, "acme").await;
    assert!(before.len() == 9 && before.is_superset(&written));
    // Twice, as two replicas do.
    for _ in 0..2 {
        fixture.store.upkeep().await.unwrap();
        fixture.sequence().await;
        assert_eq!(ids(fixture, "acme").await, before);
        assert_eq!(tree(fixture, "acme").await, 9);
    }
    let shown = fixture.records("acme").await;
    assert!(
        shown[6..].iter().all(|record| written.contains(&record.id)),
        "old records are listed as old ones"
    );
}
