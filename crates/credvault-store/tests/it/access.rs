//! The uses of a connection: counted alike on both databases, a page at a time, of one connection and tenant.

use std::time::Duration;

use credvault_domain::{
    Action, AuditEvent, AuditOutcome, Clock as _, ConnectionId, Owner, ProviderId, Purpose, Reason,
    ServiceId, TenantScope, Timestamp, UserId,
};
use credvault_store::{AccessUse, AccessUses, ConnectionKind, Error, Page, Period, UsesOf};

use crate::fixture::{Fixture, event, owned_by, permit, write};
use crate::on_both;

on_both![
    uses_are_counted_by_service_user_and_purpose,
    pages_of_uses_count_one_period,
    the_latest_records_are_counted_where_there_are_too_many,
    services_that_called_about_the_connection_come_first,
    uses_by_a_service_name_their_connections,
    connections_are_of_one_kind_by_provider_and_owner,
];

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A fetch of a connection by a service of this name.
fn fetch(scope: &TenantScope, connection: ConnectionId, service: &str) -> AuditEvent {
    AuditEvent {
        connection: Some(connection),
        service: Some(ServiceId::parse(&format!("spiffe://one.test/{service}")).unwrap()),
        ..event(scope, Action::FetchCredential)
    }
}

async fn record(fixture: &Fixture, event: AuditEvent) {
    match event.outcome {
        AuditOutcome::Ok => fixture.store.audit().record(&permit(), event, ()).await.unwrap().into_inner(),
        AuditOutcome::Denied | AuditOutcome::Failed => {
            fixture.store.audit().record_refusal(event).await.unwrap();
        }
    }
}

/// The last day, up to the next second.
fn last_day(fixture: &Fixture) -> Period {
    let end = fixture.clock.now().after(Duration::from_secs(1));
    Period { start: end.before(DAY), end }
}

async fn uses(
    fixture: &Fixture,
    scope: &TenantScope,
    connection: ConnectionId,
    (size, token): (u32, &str),
) -> Result<AccessUses, Error> {
    let page = Page { size, token: token.to_owned(), query: b"uses".to_vec() };
    fixture.store.audit().uses(scope, &UsesOf::Connection(connection), last_day(fixture), 1_000, &page).await
}

/// The end of a service's name, user, action and purpose.
fn key(one: &AccessUse) -> (&str, &str, &str, &str) {
    (one.service.trim_start_matches("spiffe://one.test/"), &one.user, &one.action, &one.purpose)
}

async fn uses_are_counted_by_service_user_and_purpose(fixture: &Fixture) {
    let (acme, other) = (fixture.tenant("acme").await, fixture.tenant("other").await);
    let id = fixture.connection(&acme, "main").await.id;
    let second = fixture.connection(&acme, "second").await.id;
    record(fixture, fetch(&acme, id, "before")).await;
    fixture.clock.advance(DAY * 2);
    let first = fixture.clock.now();
    for connection in [id, id, second] {
        record(fixture, fetch(&acme, connection, "sync")).await;
        fixture.clock.advance(Duration::from_secs(60));
    }
    // Another tenant's log may name the connection, too: its calls are not this tenant's.
    record(fixture, fetch(&other, id, "foreign")).await;
    let purpose = Purpose::parse("order sync").ok();
    let user = UserId::parse("u1").ok();
    record(fixture, AuditEvent { purpose, user, ..fetch(&acme, id, "sync") }).await;
    let refused = |outcome, reason| AuditEvent { outcome, reason: Some(reason), ..fetch(&acme, id, "sync") };
    record(fixture, refused(AuditOutcome::Denied, Reason::PolicyDenied)).await;
    record(fixture, refused(AuditOutcome::Failed, Reason::ConnectionDisabled)).await;
    let released = vec!["refresh_token".to_owned()];
    record(fixture, AuditEvent { released, ..fetch(&acme, id, "sync") }).await;
    let checked = AuditEvent { action: Action::VerifyWebhook, ..fetch(&acme, id, "hooks") };
    record(fixture, checked).await;
    record(fixture, AuditEvent { action: Action::GetConnection, ..fetch(&acme, id, "reader") }).await;

    let found = uses(fixture, &acme, id, (50, "")).await.unwrap().listed;
    assert!(found.next_page_token.is_empty());
    let keys: Vec<_> = found.items.iter().map(key).collect();
    let expected = [
        ("hooks", "", "VerifyWebhook", ""),
        ("sync", "", "FetchCredential", ""),
        ("sync", "u1", "FetchCredential", "order sync"),
    ];
    assert_eq!(keys, expected);
    let sync = &found.items[1];
    assert_eq!((sync.answered, sync.denied, sync.failed, sync.released), (3, 1, 1, 1));
    assert_eq!((sync.first_time, sync.last_time), (first, fixture.clock.now()));
    assert_eq!(uses(fixture, &acme, second, (50, "")).await.unwrap().listed.items.len(), 1);
    let foreign = uses(fixture, &other, id, (50, "")).await.unwrap().listed.items;
    assert_eq!(foreign.iter().map(key).collect::<Vec<_>>(), [("foreign", "", "FetchCredential", "")]);
}

async fn pages_of_uses_count_one_period(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let id = fixture.connection(&acme, "main").await.id;
    for service in ["a", "b", "c", "d", "e"] {
        record(fixture, fetch(&acme, id, service)).await;
    }
    let first = uses(fixture, &acme, id, (2, "")).await.unwrap();
    let (period, mut token) = (first.period, first.listed.next_page_token);
    let mut names: Vec<String> = first.listed.items.iter().map(|one| key(one).0.to_owned()).collect();
    fixture.clock.advance(DAY / 2);
    // It is later than the end of the first page's period.
    record(fixture, fetch(&acme, id, "late")).await;
    while !token.is_empty() {
        let next = uses(fixture, &acme, id, (2, &token)).await.unwrap();
        assert_eq!(next.period, period);
        names.extend(next.listed.items.iter().map(|one| key(one).0.to_owned()));
        token = next.listed.next_page_token;
    }
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    let forged = uses(fixture, &acme, id, (2, "forged")).await;
    assert!(matches!(forged, Err(Error::PageToken)), "{forged:?}");
}

async fn the_latest_records_are_counted_where_there_are_too_many(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let id = fixture.connection(&acme, "main").await.id;
    let mut times: Vec<Timestamp> = Vec::new();
    for service in ["a", "b", "c", "d"] {
        fixture.clock.advance(Duration::from_secs(60));
        times.push(fixture.clock.now());
        // As many as a bundle has, so that each is opened for one service.
        let records = (0..256).map(|_| record(fixture, fetch(&acme, id, service)));
        futures::future::join_all(records).await;
        fixture.sequence().await;
    }
    let page = Page { size: 50, token: String::new(), query: b"uses".to_vec() };
    let counted = async |most| {
        let audit = fixture.store.audit();
        let found = audit.uses(&acme, &UsesOf::Connection(id), last_day(fixture), most, &page).await.unwrap();
        let names: Vec<String> = found.listed.items.iter().map(|one| key(one).0.to_owned()).collect();
        (found.period, names)
    };
    // The two records before them have shifted them by two: a bundle has 254 of one service and two of the one before.
    for (most, expected, last_left_out) in [(256, &["d"][..], 2), (257, &["c", "d"], 1)] {
        let (period, names) = counted(most).await;
        assert_eq!(names, expected);
        assert!(times[last_left_out] < period.start && period.start < times[last_left_out + 1], "{period:?}");
    }
    let (period, names) = counted(100_000).await;
    assert_eq!((period, names.len()), (last_day(fixture), 4));
}

async fn services_that_called_about_the_connection_come_first(fixture: &Fixture) {
    let (acme, other) = (fixture.tenant("acme").await, fixture.tenant("other").await);
    let id = fixture.connection(&acme, "main").await.id;
    let second = fixture.connection(&acme, "second").await.id;
    record(fixture, fetch(&acme, id, "old")).await;
    fixture.clock.advance(DAY * 2);
    record(fixture, fetch(&acme, second, "a")).await;
    record(fixture, fetch(&acme, id, "b")).await;
    record(fixture, fetch(&acme, second, "b")).await;
    record(fixture, fetch(&other, id, "foreign")).await;
    let services = async |most| {
        let found = fixture.store.audit().calling_services(&acme, id, last_day(fixture), most).await.unwrap();
        let name = |service: &str| service.trim_start_matches("spiffe://one.test/").to_owned();
        found.iter().map(|one| (name(&one.service), one.used)).collect::<Vec<_>>()
    };
    assert_eq!(services(10).await, [("b".to_owned(), true), ("a".to_owned(), false)]);
    assert_eq!(services(1).await, [("b".to_owned(), true)]);
}

async fn uses_by_a_service_name_their_connections(fixture: &Fixture) {
    let (acme, other) = (fixture.tenant("acme").await, fixture.tenant("other").await);
    let mut ids = [fixture.connection(&acme, "a").await.id, fixture.connection(&acme, "b").await.id];
    ids.sort_by_key(|id| id.as_uuid());
    let provider = ProviderId::parse("generic").ok();
    for id in [ids[0], ids[1], ids[1]] {
        record(fixture, AuditEvent { provider: provider.clone(), ..fetch(&acme, id, "sync") }).await;
    }
    record(fixture, fetch(&acme, ids[0], "reports")).await;
    record(fixture, fetch(&other, ids[0], "sync")).await;
    let (outcome, reason) = (AuditOutcome::Denied, Some(Reason::PolicyDenied));
    let nothing = AuditEvent { connection: None, outcome, reason, ..fetch(&acme, ids[0], "sync") };
    record(fixture, nothing).await;
    let sync = UsesOf::Service(ServiceId::parse("spiffe://one.test/sync").unwrap());
    let page = |size, token: &str| Page { size, token: token.to_owned(), query: b"reach".to_vec() };
    let listed = async |size, token: &str| {
        let audit = fixture.store.audit();
        audit.uses(&acme, &sync, last_day(fixture), 1_000, &page(size, token)).await.unwrap().listed
    };
    let all = listed(50, "").await.items;
    let found: Vec<_> = all.iter().map(|one| (one.connection, one.answered, one.denied)).collect();
    assert_eq!(found, [(None, 0, 1), (Some(ids[0]), 1, 0), (Some(ids[1]), 2, 0)]);
    let providers: Vec<_> = all.iter().map(|one| one.provider.as_str()).collect();
    assert_eq!(providers, ["", "generic", "generic"]);
    let (mut token, mut paged) = (String::new(), Vec::new());
    loop {
        let page = listed(1, &token).await;
        paged.extend(page.items);
        if page.next_page_token.is_empty() {
            break;
        }
        token = page.next_page_token;
    }
    assert_eq!(paged, all);
}

async fn connections_are_of_one_kind_by_provider_and_owner(fixture: &Fixture) {
    let (acme, other) = (fixture.tenant("acme").await, fixture.tenant("other").await);
    for (tenant, account) in [(&acme, "a"), (&acme, "b"), (&acme, "gone"), (&other, "foreign")] {
        fixture.connection(tenant, account).await;
    }
    for user in ["u1", "u2", "u3"] {
        let new = owned_by(user, "mine");
        let write = write(&acme, Action::CreateConnection);
        fixture.store.connections().create(&acme, &new, None, &write).await.unwrap().into_inner();
    }
    fixture
        .execute("UPDATE connections SET delete_time = 1, purge_time = 2 WHERE account_name = 'gone'")
        .await;
    let kinds = fixture.store.connections().kinds(&acme, 10).await.unwrap();
    let found: Vec<_> =
        kinds.iter().map(|kind: &ConnectionKind| (kind.provider.as_str(), &kind.owner, kind.count)).collect();
    let user = Owner::User(UserId::parse("u1").unwrap());
    assert_eq!(found, [("generic", &Owner::Tenant, 2), ("generic", &user, 3)]);
    assert_eq!(fixture.store.connections().kinds(&acme, 1).await.unwrap().len(), 1);
}
