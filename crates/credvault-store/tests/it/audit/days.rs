//! Kept counts: whatever is asked, wherever the records lie and whenever they came, the answer is that of a plain count.

mod plain;

use std::collections::BTreeSet;
use std::time::Duration;

use credvault_domain::{
    Action, AuditEvent, AuditOutcome, Clock as _, ConnectionId, ProviderId, Purpose, Reach, Reason,
    ServiceId, TenantScope, Timestamp, UserId,
};
use credvault_store::{AuditFilter, AuditGroup, Page, Period, UsesOf};
use uuid::Uuid;

use crate::audit::days::plain::{Use, plain_services, plain_summary, plain_uses};
use crate::audit::record;
use crate::erasures::erased;
use crate::fixture::{Fixture, event, permit, reaching, scope};
use crate::on_both;

on_both![
    counts_are_those_of_a_plain_count,
    kept_counts_are_read_in_place_of_records,
    an_altered_row_is_not_used,
    days_that_are_not_worth_it_have_no_counts,
    an_erased_tenant_has_no_kept_counts,
];

const DAY: Duration = Duration::from_secs(24 * 3600);
const DAY_MICROS: i64 = 86_400_000_000;

/// Numbers that look random, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn user(&mut self) -> Option<UserId> {
        let number = self.below(3);
        (number > 0).then(|| UserId::parse(&format!("u{number}")).unwrap())
    }

    fn service(&mut self) -> ServiceId {
        ServiceId::parse(&format!("spiffe://one.test/{}", self.below(2))).unwrap()
    }

    fn connection(&mut self) -> ConnectionId {
        ConnectionId::from_uuid(Uuid::from_u128(u128::from(self.below(3) + 1)))
    }

    fn action(&mut self) -> Action {
        match self.below(3) {
            0 => Action::FetchCredential,
            1 => Action::VerifyWebhook,
            _ => Action::PutCredential,
        }
    }

    /// One time in so many.
    fn is_one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// The record of a call, mostly of a usual one.
fn some_event(numbers: &mut Numbers, tenant: &TenantScope) -> AuditEvent {
    let mut one = event(tenant, Action::FetchCredential);
    one.service = Some(numbers.service());
    one.connection = Some(numbers.connection());
    one.provider = ProviderId::parse("generic").ok();
    if numbers.is_one_in(4) {
        one.user = numbers.user();
    }
    if numbers.is_one_in(20) {
        (one.action, one.owner_user) = (numbers.action(), numbers.user());
        (one.purpose, one.connection) = (Purpose::parse("order sync").ok(), None);
    }
    if numbers.is_one_in(20) {
        (one.outcome, one.reason) = (AuditOutcome::Denied, Some(Reason::PolicyDenied));
    } else if numbers.is_one_in(50) {
        one.released = vec!["refresh_token".to_owned()];
    }
    one
}

async fn record_some(fixture: &Fixture, numbers: &mut Numbers, tenant: &TenantScope, count: usize) {
    let events: Vec<_> = (0..count).map(|_| some_event(numbers, tenant)).collect();
    let recording = events.into_iter().map(|one| async move {
        let audit = fixture.store.audit();
        match one.outcome {
            AuditOutcome::Ok => audit.record(&permit(), one, ()).await.unwrap().into_inner(),
            AuditOutcome::Denied | AuditOutcome::Failed => drop(audit.record_refusal(one).await.unwrap()),
        }
    });
    futures::future::join_all(recording).await;
}

/// A record of an earlier release, at a time.
async fn record_as_earlier(fixture: &Fixture, number: u8, time: Timestamp) {
    let id = uuid::Builder::from_unix_timestamp_millis(time.millis(), &[number; 10]).into_uuid();
    let (id, connection) = (ConnectionId::from_uuid(id), ConnectionId::from_uuid(Uuid::from_u128(2)));
    let (id, connection) = (fixture.id(id), fixture.id(connection));
    let sql = format!(
        "INSERT INTO audit_events
            (tenant_id, id, time, service, tenant_source, action, connection_id, changed, outcome, policies, trace_id)
         VALUES ('acme', {id}, {}, 'spiffe://one.test/1', 'none', 'FetchCredential', {connection}, '[]', 'OK', '[]', '{}')",
        time.micros(),
        "0a".repeat(16)
    );
    fixture.execute(&sql).await;
}

/// Moves the clock to the next day in UTC and a little further.
fn to_next_day(fixture: &Fixture) {
    let left = DAY_MICROS - fixture.clock.now().micros().rem_euclid(DAY_MICROS);
    fixture.clock.advance(Duration::from_micros(left.unsigned_abs()) + Duration::from_secs(1200));
}

/// What upkeep does an hour later, sequenced.
async fn upkeep(fixture: &Fixture) {
    fixture.sequence().await;
    fixture.clock.advance(Duration::from_secs(3601));
    fixture.store.upkeep().await.unwrap();
    fixture.sequence().await;
}

async fn kept(fixture: &Fixture) -> i64 {
    fixture.count("audit_days WHERE tenant_id = 'acme' AND sealed IS NOT NULL").await
}

async fn counts_are_those_of_a_plain_count(fixture: &Fixture) {
    // Records of earlier releases are moved by the database's clock, too: all days are over by it. Ids stay ahead of the clock.
    fixture.clock.set_back(DAY * 10);
    let (acme, mut numbers) = (fixture.tenant("acme").await, Numbers(0x5eed));
    to_next_day(fixture);
    let start = fixture.clock.now();
    let mut old = 0;
    for day in 0..3_u64 {
        for _ in 0..4 {
            record_some(fixture, &mut numbers, &acme, 350).await;
            fixture.clock.advance(Duration::from_secs(numbers.below(3600) + 1));
            if numbers.is_one_in(2) {
                fixture.sequence().await;
            }
        }
        to_next_day(fixture);
        upkeep(fixture).await;
        // They come into the log behind those that are counted: of days with kept counts, and of the one before all.
        for back in 0..=day + 1 {
            old += 1;
            let day = DAY * u32::try_from(back).unwrap();
            record_as_earlier(fixture, old, fixture.clock.now().before(day + DAY / 2)).await;
        }
        compare(fixture, &mut numbers, start).await;
        upkeep(fixture).await;
        compare(fixture, &mut numbers, start).await;
        // In the journal, in pieces, and nowhere else.
        record_some(fixture, &mut numbers, &acme, 20).await;
        compare(fixture, &mut numbers, start).await;
    }
    assert!(kept(fixture).await >= 3, "{} days are kept", kept(fixture).await);
}

/// Asks for counts in many ways, and compares each with a plain count.
async fn compare(fixture: &Fixture, numbers: &mut Numbers, start: Timestamp) {
    let all = fixture.records("acme").await;
    for round in 0..30 {
        let (filter, groups) = (some_filter(numbers, start), some_groups(numbers));
        let reached = match numbers.below(4) {
            0 => numbers.user().map_or(Reach::Shared, Reach::User),
            _ => Reach::AllUsers,
        };
        let of = reaching("acme", reached);
        let found = fixture.store.audit().summarize(&of, &filter, &groups).await.unwrap();
        let expected = plain_summary(&all, &of, &filter, &groups);
        assert_eq!(found, expected, "{round} {filter:?} {groups:?} {:?}", of.reach());
    }
    for round in 0..10 {
        let connection = numbers.connection();
        let period = some_period(numbers, start);
        let found = uses(fixture, connection, period).await;
        assert_eq!(found, plain_uses(&all, connection, period), "{round} {period:?}");
        let called =
            fixture.store.audit().calling_services(&scope("acme", None), connection, period, 10).await;
        let called: BTreeSet<_> = called.unwrap().into_iter().map(|one| (one.service, one.used)).collect();
        assert_eq!(called, plain_services(&all, connection, period), "{round} {period:?}");
    }
}

/// A time up to four days behind the start: at a day's border, or anywhere.
fn some_time(numbers: &mut Numbers, start: Timestamp) -> Timestamp {
    let day = start.micros().div_euclid(DAY_MICROS) - 1;
    let borders = day * DAY_MICROS + i64::try_from(numbers.below(6)).unwrap() * DAY_MICROS;
    let within = if numbers.is_one_in(2) { 0 } else { numbers.below(DAY_MICROS.unsigned_abs()) };
    Timestamp::from_micros(borders + i64::try_from(within).unwrap())
}

fn some_period(numbers: &mut Numbers, start: Timestamp) -> Period {
    let times = [some_time(numbers, start), some_time(numbers, start)];
    Period { start: times[0].min(times[1]), end: times[0].max(times[1]).after(Duration::from_micros(1)) }
}

fn some_filter(numbers: &mut Numbers, start: Timestamp) -> AuditFilter {
    let period = some_period(numbers, start);
    let mut filter = AuditFilter::default();
    if numbers.below(4) > 0 {
        filter.start_time = Some(period.start);
    }
    if numbers.below(4) > 0 {
        filter.end_time = Some(period.end);
    }
    match numbers.below(7) {
        0 => filter.service = Some(numbers.service()),
        1 => filter.user = numbers.user(),
        2 => filter.connection = Some(numbers.connection()),
        3 => filter.action = Some(numbers.action()),
        4 => filter.outcome = Some(AuditOutcome::Denied),
        5 => filter.provider = ProviderId::parse("generic").ok(),
        _ => {}
    }
    filter
}

fn some_groups(numbers: &mut Numbers) -> Vec<AuditGroup> {
    let all = [
        AuditGroup::Service,
        AuditGroup::User,
        AuditGroup::Action,
        AuditGroup::Connection,
        AuditGroup::Provider,
        AuditGroup::Outcome,
        AuditGroup::Reason,
        AuditGroup::Day,
    ];
    all.into_iter().filter(|_| numbers.is_one_in(3)).collect()
}

async fn uses(fixture: &Fixture, connection: ConnectionId, period: Period) -> Vec<Use> {
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let page = Page { size: 3, token, query: b"uses".to_vec() };
        let of = UsesOf::Connection(connection);
        let uses =
            fixture.store.audit().uses(&scope("acme", None), &of, period, 1_000_000, &page).await.unwrap();
        assert_eq!(uses.period, period);
        for one in uses.listed.items {
            assert_eq!((one.connection, one.failed), (Some(connection), 0));
            let texts = [one.service, one.user, one.action, one.purpose];
            let counts = (one.answered, one.denied, one.released);
            found.push((texts, counts, (one.first_time, one.last_time)));
        }
        token = uses.listed.next_page_token;
        if token.is_empty() {
            return found;
        }
    }
}

/// A tenant with a day that has kept counts; gives the filter of that day, and the number of its records.
async fn counted_day(fixture: &Fixture) -> (AuditFilter, i64) {
    let (acme, mut numbers) = (fixture.tenant("acme").await, Numbers(7));
    to_next_day(fixture);
    let day = fixture.clock.now().micros().div_euclid(DAY_MICROS);
    record_some(fixture, &mut numbers, &acme, 1300).await;
    to_next_day(fixture);
    record_some(fixture, &mut numbers, &acme, 300).await;
    upkeep(fixture).await;
    assert_eq!(kept(fixture).await, 1);
    let time = |day: i64| Some(Timestamp::from_micros(day * DAY_MICROS));
    let filter = AuditFilter { start_time: time(day), end_time: time(day + 1), ..AuditFilter::default() };
    (filter, 1300)
}

async fn total(fixture: &Fixture, filter: &AuditFilter) -> i64 {
    fixture.store.audit().summarize(&scope("acme", None), filter, &[]).await.unwrap()[0].count
}

async fn kept_counts_are_read_in_place_of_records(fixture: &Fixture) {
    let (day, records) = counted_day(fixture).await;
    assert_eq!(total(fixture, &day).await, records);
    // What is counted is not read: an answer is the same without it. A part of the day has to be read.
    fixture.execute("DELETE FROM audit_bundles WHERE tenant_id = 'acme' AND start < 1024").await;
    assert_eq!(total(fixture, &day).await, records);
    let later = day.start_time.map(|time| time.after(Duration::from_micros(1)));
    assert!(total(fixture, &AuditFilter { start_time: later, ..day.clone() }).await < records);
}

async fn an_altered_row_is_not_used(fixture: &Fixture) {
    let (day, records) = counted_day(fixture).await;
    if fixture.postgres.is_none() {
        fixture.execute("DROP TRIGGER audit_days_unchanged").await;
    }
    for change in ["size = size + 256", "day = day + 1", "key_number = key_number + 1"] {
        fixture.execute(&format!("UPDATE audit_days SET {change} WHERE sealed IS NOT NULL")).await;
        assert_eq!(total(fixture, &day).await, records, "{change}");
        assert_eq!(total(fixture, &AuditFilter::default()).await, records + 301, "{change}");
        let back = change.replace(" + ", " - ");
        fixture.execute(&format!("UPDATE audit_days SET {back} WHERE sealed IS NOT NULL")).await;
    }
}

async fn days_that_are_not_worth_it_have_no_counts(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    to_next_day(fixture);
    record(fixture, &acme, 600).await;
    to_next_day(fixture);
    // Each of them is another one.
    let recording = (0..1100_u128).map(|number| {
        let connection = Some(ConnectionId::from_uuid(Uuid::from_u128(number)));
        let one = AuditEvent { connection, ..event(&acme, Action::FetchCredential) };
        async move { fixture.store.audit().record(&permit(), one, ()).await.unwrap().into_inner() }
    });
    futures::future::join_all(recording).await;
    to_next_day(fixture);
    record(fixture, &acme, 300).await;
    upkeep(fixture).await;
    assert_eq!(kept(fixture).await, 0);
    let rows = fixture.count("audit_days WHERE tenant_id = 'acme'").await;
    assert!(rows > 0, "the days are looked at again and again");
    upkeep(fixture).await;
    assert_eq!(fixture.count("audit_days WHERE tenant_id = 'acme'").await, rows);
    assert_eq!(total(fixture, &AuditFilter::default()).await, 2001);
}

async fn an_erased_tenant_has_no_kept_counts(fixture: &Fixture) {
    counted_day(fixture).await;
    erased(fixture, &scope("acme", None)).await;
    assert_eq!(fixture.count("audit_days WHERE tenant_id = 'acme'").await, 0);
}
