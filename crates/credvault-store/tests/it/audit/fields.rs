//! What records are found by beyond who called what, and the places that lists name.

use std::time::Duration;

use credvault_domain::{
    Action, AuditEvent, AuditOutcome, Clock as _, Purpose, Reason, TenantScope, TenantSource, TraceId, UserId,
};
use credvault_store::{AuditFilter, AuditGroup};

use crate::audit::{record, tree};
use crate::fixture::{Fixture, event, permit};
use crate::on_both;

on_both![
    each_field_finds_its_records_wherever_they_are,
    records_of_an_earlier_release_are_found_by_each_field,
    a_record_names_its_tenant_and_its_place,
    purposes_and_sources_are_counted,
];

const TRACE: TraceId = TraceId::from_bytes([9; 16]);

fn user(id: &str) -> Option<UserId> {
    Some(UserId::parse(id).unwrap())
}

fn purpose(text: &str) -> Option<Purpose> {
    Some(Purpose::parse(text).unwrap())
}

/// A record that differs from all others in each of these fields.
fn special(scope: &TenantScope) -> AuditEvent {
    AuditEvent {
        outcome: AuditOutcome::Failed,
        reason: Some(Reason::CredentialExpired),
        purpose: purpose("order sync"),
        tenant_source: TenantSource::Assertion,
        source_address: Some("2001:db8::7".parse().unwrap()),
        trace: TRACE,
        owner_user: user("u9"),
        ..event(scope, Action::FetchCredential)
    }
}

/// A filter for each field that finds it, and one that does not.
fn filters() -> [[AuditFilter; 2]; 6] {
    let all = AuditFilter::default;
    [
        [Reason::CredentialExpired, Reason::PolicyDenied]
            .map(|reason| AuditFilter { reason: Some(reason), ..all() }),
        ["order sync", "order"].map(|text| AuditFilter { purpose: purpose(text), ..all() }),
        [TenantSource::Assertion, TenantSource::Token]
            .map(|source| AuditFilter { tenant_source: Some(source), ..all() }),
        ["2001:db8::7", "192.0.2.7"]
            .map(|address| AuditFilter { source_address: Some(address.parse().unwrap()), ..all() }),
        [TRACE, TraceId::from_bytes([8; 16])].map(|trace| AuditFilter { trace: Some(trace), ..all() }),
        ["u9", "u8"].map(|id| AuditFilter { owner_user: user(id), ..all() }),
    ]
}

async fn finds_one(fixture: &Fixture, scope: &TenantScope) {
    for [right, wrong] in filters() {
        let found = fixture.records_matching("acme", &right).await;
        assert_eq!(found.len(), 1, "{right:?}: {found:?}");
        assert_eq!(found[0].trace, TRACE.to_string());
        assert!(fixture.records_matching("acme", &wrong).await.is_empty(), "{wrong:?}");
        let counted = fixture.store.audit().summarize(scope, &right, &[]).await.unwrap();
        assert_eq!(counted[0].count, 1, "{right:?}");
    }
}

async fn each_field_finds_its_records_wherever_they_are(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    record(fixture, &acme, 20).await;
    fixture.store.audit().record(&permit(), special(&acme), ()).await.unwrap().into_inner();
    finds_one(fixture, &acme).await;
    fixture.sequence().await;
    assert_eq!(tree(fixture, "acme").await, 22);
    finds_one(fixture, &acme).await;
    record(fixture, &acme, 600).await;
    fixture.sequence().await;
    assert_eq!(tree(fixture, "acme").await, 622);
    assert!(fixture.count("audit_tiles").await >= 2, "there is no whole bundle");
    finds_one(fixture, &acme).await;
}

async fn records_of_an_earlier_release_are_found_by_each_field(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    record(fixture, &acme, 2).await;
    let old = fixture.clock.now().before(Duration::from_secs(3600));
    let id = uuid::Builder::from_unix_timestamp_millis(old.millis(), &[1; 10]).into_uuid();
    let id = fixture.id(credvault_domain::ConnectionId::from_uuid(id));
    let sql = format!(
        "INSERT INTO audit_events (tenant_id, id, time, tenant_source, action, changed, outcome, reason, purpose,
            policies, trace_id, source_address, owner_user)
         VALUES ('acme', {id}, {}, 'assertion', 'FetchCredential', '[]', 'FAILED', 'CREDENTIAL_EXPIRED', 'order sync',
            '[]', '{TRACE}', '2001:db8::7', 'u9')",
        old.micros()
    );
    fixture.execute(&sql).await;
    finds_one(fixture, &acme).await;
    fixture.store.upkeep().await.unwrap();
    fixture.sequence().await;
    finds_one(fixture, &acme).await;
}

async fn a_record_names_its_tenant_and_its_place(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    record(fixture, &acme, 3).await;
    let waiting = fixture.records("acme").await;
    assert!(waiting.iter().all(|record| record.tenant == "acme" && record.index.is_none()), "{waiting:?}");
    fixture.sequence().await;
    // Some in a whole bundle, the last ones in a piece.
    record(fixture, &acme, 300).await;
    fixture.sequence().await;
    let placed = fixture.records("acme").await;
    let mut places: Vec<_> = placed.iter().map(|record| record.index.unwrap()).collect();
    places.sort_unstable();
    assert_eq!(places, (0..304).collect::<Vec<i64>>());
    for one in placed {
        let index = one.index.unwrap().unsigned_abs();
        let entry = fixture.store.audit().entry(&acme, index).await.unwrap().unwrap();
        let stored = credvault_audit::Record::decode(&entry.record).unwrap();
        assert_eq!((stored.id, stored.tenant.as_ref()), (one.id, one.tenant.as_str()));
    }
}

async fn purposes_and_sources_are_counted(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    for _ in 0..2 {
        fixture.store.audit().record(&permit(), special(&acme), ()).await.unwrap().into_inner();
    }
    record(fixture, &acme, 3).await;
    let groups = [AuditGroup::Purpose, AuditGroup::TenantSource, AuditGroup::SourceAddress];
    let fetches = AuditFilter { action: Some(Action::FetchCredential), ..AuditFilter::default() };
    let rows = fixture.store.audit().summarize(&acme, &fetches, &groups).await.unwrap();
    let rows: Vec<_> = rows.iter().map(|row| (row.keys.join(" "), row.count)).collect();
    let expected = [(" header 127.0.0.1".to_owned(), 3), ("order sync assertion 2001:db8::7".to_owned(), 2)];
    assert_eq!(rows, expected);
}
