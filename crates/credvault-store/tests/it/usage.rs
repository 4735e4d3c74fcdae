//! Usage: what is counted once, for whom it is summed, and what is left of it.

use std::sync::Arc;
use std::time::Duration;

use credvault_domain::{
    Action, Clock as _, ConnectionId, Day, EndpointName, Reach, RequestId, ServiceId, TenantScope,
    UsageCounts, UsageGroup, UserId,
};
use credvault_store::{
    Error, Page, RepeatKey, Reported, Store, Usage, UsageFilter, UsageItem, UsageRow, UsageSums,
};
use uuid::Uuid;

use crate::fixture::{Fixture, event, open_store, owned_by, permit, reaching, scope, soon, write};
use crate::on_both;

on_both![
    a_report_counts_once_whatever_replica_gets_it,
    sums_are_the_same_however_they_are_grouped_and_pages_are_whole,
    a_scope_is_shown_its_own_and_shared_usage,
    endpoints_beyond_the_limit_count_as_other,
    what_the_vault_counts_itself_is_written_at_the_end,
    a_deleted_user_is_not_named_any_more_and_old_days_go,
];

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn service(name: &str) -> ServiceId {
    ServiceId::parse(&format!("spiffe://test/{name}")).unwrap()
}

fn key(id: u128, payload: &str, of: Option<&str>) -> RepeatKey {
    RepeatKey {
        service: service("app"),
        user: of.map(user),
        id: RequestId::parse(&Uuid::from_u128(id).to_string()).unwrap(),
        payload: Arc::new(payload.as_bytes().to_vec().into()),
    }
}

fn item(connection: ConnectionId, endpoint: &str, day: Day, calls: i64) -> UsageItem {
    let counts = UsageCounts { calls, errors: 1, ..UsageCounts::default() };
    UsageItem { connection, endpoint: EndpointName::parse(endpoint).unwrap(), day, counts }
}

async fn report(
    store: &Store,
    scope: &TenantScope,
    key: &RepeatKey,
    items: Vec<UsageItem>,
) -> Result<Reported, Error> {
    let usage = store.usage();
    let reachable = usage.reachable(scope, items.iter().map(|item| item.connection)).await?;
    usage.report(scope, &permit(), key, &reachable, items).await
}

fn all_days(today: Day) -> UsageFilter {
    UsageFilter {
        start: today.before(10_000),
        end: today,
        connection: None,
        provider: None,
        endpoint: None,
        user: None,
        service: None,
    }
}

fn page(token: &str, size: u32) -> Page {
    Page { size, token: token.to_owned(), query: b"q".to_vec() }
}

async fn sums(
    usage: Usage<'_>,
    scope: &TenantScope,
    filter: &UsageFilter,
    groups: &[UsageGroup],
) -> UsageSums {
    usage.sums(scope, filter, groups, &page("", 500)).await.unwrap()
}

fn calls(rows: &[UsageRow]) -> Vec<i64> {
    rows.iter().map(|row| row.counts.calls).collect()
}

async fn a_report_counts_once_whatever_replica_gets_it(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let other = fixture.tenant("other").await;
    let id = fixture.connection(&acme, "a").await.id;
    let today = Day::of(fixture.clock.now());
    let items = |calls| vec![item(id, "orders", today, calls), item(id, "orders", today, 1)];
    // SQLite's file is one process's at a time.
    let second = match fixture.postgres {
        Some(_) => open_store(&fixture.settings, &fixture.folder, &fixture.clock).await.unwrap(),
        None => fixture.store.clone(),
    };
    let same = key(1, "x", None);
    let all = [
        report(&fixture.store, &acme, &same, items(5)),
        report(&second, &acme, &same, items(5)),
        report(&fixture.store, &acme, &same, items(5)),
    ];
    let outcomes = futures::future::join_all(all).await;
    let counted = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Reported::Counted))).count();
    assert_eq!(counted, 1, "{outcomes:?}");
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let again = report(&second, &acme, &key(1, "x", None), items(5)).await.unwrap();
    assert_eq!(again, Reported::Before);
    let reused = report(&second, &acme, &key(1, "y", None), items(7)).await;
    assert!(matches!(reused, Err(Error::RequestIdReused)), "{reused:?}");
    // An id is one of a service's user in a tenant. What another tenant says of the connection does not count.
    assert_eq!(report(&second, &acme, &key(1, "x", Some("u1")), items(5)).await.unwrap(), Reported::Counted);
    report(&second, &other, &key(1, "x", None), items(5)).await.unwrap();
    let filter = all_days(today);
    let total = sums(fixture.store.usage(), &acme, &filter, &[]).await.total;
    assert_eq!((total.calls, total.errors, total.fetches), (12, 4, 0));
    assert_eq!(sums(second.usage(), &other, &filter, &[]).await.total, UsageCounts::default());
    if fixture.postgres.is_some() {
        second.close().await;
    }
}

/// Items of three endpoints on three days, of each of five connections.
async fn of_five(fixture: &Fixture, acme: &TenantScope, today: Day) -> Vec<UsageItem> {
    let mut items = Vec::new();
    for account in 0..5 {
        let id = fixture.connection(acme, &format!("a{account}")).await.id;
        for (number, endpoint) in ["orders", "products", "returns"].into_iter().enumerate() {
            for ago in 0..3 {
                items.push(item(id, endpoint, today.before(ago), 10 * (number as i64) + ago));
            }
        }
    }
    items
}

async fn sums_are_the_same_however_they_are_grouped_and_pages_are_whole(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let today = Day::of(fixture.clock.now());
    let items = of_five(fixture, &acme, today).await;
    report(&fixture.store, &acme, &key(1, "x", Some("u1")), items.clone()).await.unwrap();
    report(&fixture.store, &acme, &key(2, "x", None), items.clone()).await.unwrap();
    let expected = 2 * items.iter().map(|item| item.counts.calls).sum::<i64>();
    let (usage, filter) = (fixture.store.usage(), all_days(today));
    use UsageGroup::{Connection, Day as ByDay, Endpoint, Provider, Service, User};
    for groups in [
        vec![],
        vec![Provider],
        vec![Endpoint],
        vec![Service, ByDay],
        vec![User],
        vec![User, ByDay],
        vec![Connection],
        vec![Connection, ByDay],
        vec![Connection, Endpoint],
        vec![Connection, Provider, Endpoint, User, Service, ByDay],
    ] {
        let whole = sums(usage, &acme, &filter, &groups).await;
        assert_eq!(whole.total.calls, expected, "{groups:?}");
        let rows = whole.rows.items;
        assert!(groups.is_empty() || calls(&rows).iter().sum::<i64>() == expected, "{groups:?} {rows:?}");
        // The same rows in pages of two.
        let (mut paged, mut token) = (Vec::new(), String::new());
        loop {
            let next = usage.sums(&acme, &filter, &groups, &page(&token, 2)).await.unwrap();
            assert_eq!(next.total.calls, expected);
            paged.extend(next.rows.items);
            token = next.rows.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(paged, rows, "{groups:?}");
    }
    let connection = items[0].connection;
    let one = UsageFilter {
        connection: Some(connection),
        endpoint: Some(EndpointName::parse("returns").unwrap()),
        user: Some(user("u1")),
        service: Some(service("app")),
        start: today.before(1),
        ..filter.clone()
    };
    let row = sums(usage, &acme, &one, &[Connection]).await;
    assert_eq!((calls(&row.rows.items), row.total.calls), (vec![41], 41));
    let yesterday = UsageFilter { start: today.before(1), end: today.before(1), ..filter };
    let row = sums(usage, &acme, &yesterday, &[Endpoint]).await;
    assert_eq!(calls(&row.rows.items), [10, 110, 210]);
}

/// A shared connection, and one of each of two users, with one call a day each, by their users.
async fn of_three(fixture: &Fixture) -> (TenantScope, [ConnectionId; 3], Day) {
    let acme = fixture.tenant("acme").await;
    let today = Day::of(fixture.clock.now());
    let create = write(&acme, Action::CreateConnection);
    let shared = fixture.connection(&acme, "shared").await.id;
    let mut ids = [shared; 3];
    for (number, name) in [(1, "u1"), (2, "u2")] {
        let new = owned_by(name, "mine");
        let created = fixture.store.connections().create(&acme, &new, None, &create).await.unwrap();
        ids[number] = created.get().id;
        let items = vec![item(ids[number], "orders", today, 10), item(shared, "orders", today, 1)];
        report(&fixture.store, &acme, &key(number as u128, "x", Some(name)), items).await.unwrap();
    }
    (acme, ids, today)
}

async fn a_scope_is_shown_its_own_and_shared_usage(fixture: &Fixture) {
    let (acme, [shared, first, second], today) = of_three(fixture).await;
    let (usage, filter) = (fixture.store.usage(), all_days(today));
    let (u1, without) = (scope("acme", Some("u1")), reaching("acme", Reach::Shared));
    for (of, total, connections) in
        [(&acme, 22, vec![2, 10, 10]), (&u1, 12, vec![2, 10]), (&without, 2, vec![2])]
    {
        for groups in [vec![], vec![UsageGroup::Provider], vec![UsageGroup::Day, UsageGroup::Service]] {
            let sums = sums(usage, of, &filter, &groups).await;
            assert_eq!(sums.total.calls, total, "{of:?}");
            assert!(groups.is_empty() || calls(&sums.rows.items) == [total], "{of:?} {groups:?}");
        }
        let mut by_connection = calls(&sums(usage, of, &filter, &[UsageGroup::Connection]).await.rows.items);
        by_connection.sort_unstable();
        assert_eq!(by_connection, connections, "{of:?}");
    }
    let own = UsageFilter { user: Some(user("u1")), ..filter.clone() };
    assert_eq!(sums(usage, &u1, &own, &[]).await.total.calls, 11);
    assert_eq!(sums(usage, &acme, &own, &[UsageGroup::User]).await.total.calls, 11);
    // A connection out of reach has no usage, and no user reports about another's.
    let foreign = UsageFilter { connection: Some(second), ..filter.clone() };
    assert_eq!(sums(usage, &u1, &foreign, &[UsageGroup::Connection]).await.total, UsageCounts::default());
    let reachable = usage.reachable(&u1, [shared, first, second]).await.unwrap();
    let found = [shared, first, second].map(|id| reachable.get(id).is_some());
    assert_eq!(found, [true, true, false]);
    assert!(usage.connection(&u1, second).await.unwrap().is_none());
    assert!(usage.connection(&u1, first).await.unwrap().is_some());
}

async fn endpoints_beyond_the_limit_count_as_other(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let id = fixture.connection(&acme, "a").await.id;
    let today = Day::of(fixture.clock.now());
    let items = |prefix: &str| -> Vec<_> {
        (0..80).map(|number| item(id, &format!("{prefix}/{number:02}"), today, 1)).collect()
    };
    for (number, prefix) in [(1, "orders"), (2, "products"), (3, "orders")] {
        report(&fixture.store, &acme, &key(number, prefix, None), items(prefix)).await.unwrap();
    }
    let by_endpoint = sums(fixture.store.usage(), &acme, &all_days(today), &[UsageGroup::Endpoint]).await;
    let rows = by_endpoint.rows.items;
    let other = rows.iter().find(|row| row.endpoint.as_deref() == Some("other")).unwrap();
    assert_eq!((rows.len(), other.counts.calls, by_endpoint.total.calls), (101, 60, 240));
}

async fn fetched(fixture: &Fixture, scope: &TenantScope, id: ConnectionId, times: usize) {
    let record = || credvault_domain::AuditEvent {
        connection: Some(id),
        provider: Some(credvault_domain::ProviderId::parse("generic").unwrap()),
        ..event(scope, Action::FetchCredential)
    };
    let records = (0..times).map(|_| record()).collect();
    let audit = fixture.store.audit();
    audit
        .record_fetches(&permit(), records, vec![(scope.tenant().clone(), id)], ())
        .await
        .unwrap()
        .into_inner();
}

async fn what_the_vault_counts_itself_is_written_at_the_end(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let id = fixture.connection(&acme, "a").await.id;
    fetched(fixture, &scope("acme", Some("u1")), id, 3).await;
    fetched(fixture, &acme, id, 4).await;
    fixture.store.close().await;
    let again = open_store(&fixture.settings, &fixture.folder, &fixture.clock).await.unwrap();
    let filter = all_days(Day::of(fixture.clock.now()));
    let rows =
        sums(again.usage(), &acme, &filter, &[UsageGroup::Endpoint, UsageGroup::User]).await.rows.items;
    let shown: Vec<_> =
        rows.iter().map(|row| (row.endpoint.as_deref(), row.user.as_deref(), row.counts.fetches)).collect();
    assert_eq!(shown, [(Some(""), Some(""), 4), (Some(""), Some("u1"), 3)]);
    again.close().await;
}

async fn a_deleted_user_is_not_named_any_more_and_old_days_go(fixture: &Fixture) {
    let (acme, [shared, first, _], today) = of_three(fixture).await;
    let (usage, filter) = (fixture.store.usage(), all_days(today));
    let delete = write(&acme, Action::DeleteUser);
    fixture.store.users().delete(&acme, &user("u1"), None, &delete, soon()).await.unwrap().into_inner();
    for table in ["usage_connections", "usage_days", "usage_users"] {
        let column = if table == "usage_connections" { "owner_user" } else { "user_id" };
        assert_eq!(fixture.count(&format!("{table} WHERE {column} = 'u1'")).await, 0, "{table}");
    }
    let by_user = sums(usage, &acme, &filter, &[UsageGroup::User]).await;
    let shown: Vec<_> =
        by_user.rows.items.iter().map(|row| (row.user.as_deref(), row.counts.calls)).collect();
    assert_eq!(shown, [(Some(""), 11), (Some("u2"), 11)]);
    // The counts of the purged connection stay under its id, and are no other user's.
    let by_connection = UsageFilter { connection: Some(first), ..filter.clone() };
    assert_eq!(sums(usage, &acme, &by_connection, &[]).await.total.calls, 10);
    let u2 = scope("acme", Some("u2"));
    assert_eq!(sums(usage, &u2, &by_connection, &[]).await.total.calls, 0);
    assert_eq!(sums(usage, &u2, &filter, &[]).await.total.calls, 12);
    // What another replica writes late is found for an hour.
    report(&fixture.store, &acme, &key(9, "late", Some("u1")), vec![item(shared, "orders", today, 5)])
        .await
        .unwrap();
    fixture.store.upkeep().await.unwrap();
    assert_eq!(fixture.count("usage_days WHERE user_id = 'u1'").await, 0);
    assert_eq!(fixture.count("usage_erasures").await, 1);
    fixture.clock.advance(Duration::from_secs(7200));
    fixture.store.upkeep().await.unwrap();
    assert_eq!(fixture.count("usage_erasures").await, 0);
    assert_eq!(sums(usage, &acme, &filter, &[]).await.total.calls, 27);

    fixture.clock.advance(Duration::from_secs(399 * 86_400));
    fixture.store.upkeep().await.unwrap();
    assert!(fixture.count("usage_days").await > 0);
    fixture.clock.advance(Duration::from_secs(2 * 86_400));
    fixture.store.upkeep().await.unwrap();
    for table in ["usage_connections", "usage_days", "usage_users", "usage_totals"] {
        assert_eq!(fixture.count(table).await, 0, "{table}");
    }
}
