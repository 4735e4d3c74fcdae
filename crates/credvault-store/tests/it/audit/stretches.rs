//! A log read in its order, wherever its records are, and from where it cannot be read.

use credvault_domain::{Action, ConnectionId, TenantScope, UserId};
use credvault_store::{AuditFilter, Error, LogBounds, LogEntry, Unproved};
use uuid::Uuid;

use crate::audit::{ids, record};
use crate::fixture::{Fixture, event, permit, scope};
use crate::on_both;

on_both![
    a_log_is_read_in_its_order_wherever_its_records_are,
    filters_and_reach_choose_the_same_records_as_lists,
    what_is_not_kept_and_what_is_not_there_yet_are_refused_with_the_indexes_that_there_are,
    a_log_that_became_shorter_is_noticed,
];

/// All records from an index on, stretch by stretch.
pub async fn read_from(
    fixture: &Fixture,
    scope: &TenantScope,
    filter: &AuditFilter,
    start: u64,
) -> Result<Vec<LogEntry>, Error> {
    let audit = fixture.store.audit();
    let end = audit.bounds(scope).await?.end;
    let (mut next, mut all) = (start, Vec::new());
    while next < end {
        let stretch = audit.stretch(scope, filter, next..end).await?;
        assert!(stretch.next > next && stretch.next <= end, "{next} to {}", stretch.next);
        next = stretch.next;
        all.extend(stretch.entries);
    }
    Ok(all)
}

fn indexes(entries: &[LogEntry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.index).collect()
}

async fn a_log_is_read_in_its_order_wherever_its_records_are(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let all = AuditFilter::default();
    for count in [2, 300, 40, 400] {
        record(fixture, &acme, count).await;
        fixture.sequence().await;
        let read = read_from(fixture, &acme, &all, 0).await.unwrap();
        assert_eq!(indexes(&read), (0..read.len() as u64).collect::<Vec<_>>());
        let known = ids(fixture, "acme").await;
        assert_eq!(
            read.iter().map(|entry| entry.record.id).collect::<std::collections::BTreeSet<_>>(),
            known
        );
    }
    assert_eq!(fixture.store.audit().bounds(&acme).await.unwrap(), LogBounds { first: 0, end: 743 });
    for start in [0, 1, 255, 256, 257, 511, 742] {
        let read = read_from(fixture, &acme, &all, start).await.unwrap();
        assert_eq!(indexes(&read), (start..743).collect::<Vec<_>>());
        for entry in read.iter().take(2) {
            let stored = fixture.store.audit().entry(&acme, entry.index).await.unwrap().unwrap();
            assert_eq!(stored, entry.entry);
        }
    }
    // What waits in the journal has no place yet.
    record(fixture, &acme, 5).await;
    assert_eq!(read_from(fixture, &acme, &all, 0).await.unwrap().len(), 743);
}

async fn filters_and_reach_choose_the_same_records_as_lists(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    for number in 0..600_u128 {
        let action = if number % 50 == 0 { Action::PutCredential } else { Action::FetchCredential };
        let mut one = event(&acme, action);
        one.connection = Some(ConnectionId::from_uuid(Uuid::from_u128(number / 100)));
        one.user = Some(UserId::parse(&format!("u{}", number % 7)).unwrap());
        fixture.store.audit().record(&permit(), one, ()).await.unwrap().into_inner();
    }
    fixture.sequence().await;
    let filters = [
        AuditFilter::default(),
        AuditFilter { action: Some(Action::PutCredential), ..AuditFilter::default() },
        AuditFilter {
            connection: Some(ConnectionId::from_uuid(Uuid::from_u128(3))),
            ..AuditFilter::default()
        },
        AuditFilter {
            connection: Some(ConnectionId::from_uuid(Uuid::from_u128(99))),
            ..AuditFilter::default()
        },
    ];
    for filter in &filters {
        let mut listed = fixture.records_matching("acme", filter).await;
        listed.reverse();
        let mut read: Vec<_> = read_from(fixture, &acme, filter, 0).await.unwrap();
        read.sort_by_key(|entry| entry.record.id);
        assert_eq!(read.into_iter().map(|entry| entry.record).collect::<Vec<_>>(), listed);
    }
    let of_user = read_from(fixture, &scope("acme", Some("u3")), &filters[0], 0).await.unwrap();
    assert_eq!(of_user.len(), 86);
    assert!(of_user.iter().all(|entry| entry.record.user.as_deref() == Some("u3")));
}

async fn what_is_not_kept_and_what_is_not_there_yet_are_refused_with_the_indexes_that_there_are(
    fixture: &Fixture,
) {
    let acme = fixture.tenant("acme").await;
    record(fixture, &acme, 599).await;
    fixture.sequence().await;
    let audit = fixture.store.audit();
    assert!(audit.bounds(&acme).await.unwrap().check(601).is_err());
    // As retention does.
    fixture.execute("DELETE FROM audit_bundles WHERE tenant_id = 'acme' AND start = 0").await;
    let bounds = audit.bounds(&acme).await.unwrap();
    assert_eq!(bounds, LogBounds { first: 256, end: 600 });
    let refused = read_from(fixture, &acme, &AuditFilter::default(), 0).await;
    assert!(
        matches!(refused, Err(Error::Unproved(Unproved::Position { first: 256, end: 600 }))),
        "{refused:?}"
    );
    let read = read_from(fixture, &acme, &AuditFilter::default(), 256).await.unwrap();
    assert_eq!(indexes(&read), (256..600).collect::<Vec<_>>());
    let nowhere = scope("nowhere", None);
    assert!(matches!(audit.bounds(&nowhere).await, Err(Error::TenantNotFound(_))));
}

async fn a_log_that_became_shorter_is_noticed(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    record(fixture, &acme, 299).await;
    fixture.sequence().await;
    let audit = fixture.store.audit();
    let end = audit.end(&acme, 0).await.unwrap();
    assert_eq!((end, audit.end(&acme, end).await.unwrap()), (300, 300));
    fixture.execute("DELETE FROM audit_bundles WHERE tenant_id = 'acme' AND start >= 256").await;
    assert!(matches!(audit.end(&acme, end).await, Err(Error::Integrity)));
    let beyond = audit.stretch(&acme, &AuditFilter::default(), 256..end).await;
    assert!(matches!(beyond, Err(Error::Integrity)), "{beyond:?}");
}
