//! What the audit log says of the use of connections: which service and user, how often, for which purpose, and when. A connection
//! that is fetched often has millions of records, so what is read of them is bounded.

use std::collections::{BTreeMap, HashMap};

use credvault_domain::{Action, AuditOutcome, ConnectionId, ServiceId, TenantScope, Timestamp};
use futures::stream;
use serde_json::json;
use uuid::Uuid;

use super::filter::AuditFilter;
use super::record::AuditRecord;
use super::scan::Scan;
use crate::{Audit, Error, Listed, Page};

/// The calls that use the secret of a connection.
const USES: [Action; 2] = [Action::FetchCredential, Action::VerifyWebhook];
/// How many of the latest records are searched for services.
const SEARCHED_RECORDS: usize = 100_000;

/// A period of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Period {
    /// The first instant of it.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
}

/// Uses of connections that are alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessUse {
    /// The calling service's SPIFFE ID; empty if its certificate was refused.
    pub service: String,
    /// The verified user of the calls; empty if they had none.
    pub user: String,
    /// The RPC that was called.
    pub action: String,
    /// The purpose that the caller gave; empty if it gave none.
    pub purpose: String,
    /// The connection, as the calls named it or the vault found it.
    pub connection: Option<ConnectionId>,
    /// The provider of the connection; empty if it is not known.
    pub provider: String,
    /// How many calls were answered.
    pub answered: i64,
    /// How many calls identity or policy refused.
    pub denied: i64,
    /// How many calls were permitted and failed.
    pub failed: i64,
    /// How many answers had fields that only FetchRefreshToken releases.
    pub released: i64,
    /// The time of the first call.
    pub first_time: Timestamp,
    /// The time of the last call.
    pub last_time: Timestamp,
}

/// A page of uses, and the period that is counted.
#[derive(Clone, Debug)]
pub struct AccessUses {
    /// The period that was asked for, or the end of it that the latest records fill.
    pub period: Period,
    /// The uses, by service, user, RPC, purpose and connection.
    pub listed: Listed<AccessUse>,
}

/// A service that the audit log names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallingService {
    /// The service's SPIFFE ID, or the vault's own name.
    pub service: String,
    /// Whether it has called about the connection.
    pub used: bool,
}

/// What the uses that are counted have in common.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UsesOf {
    /// They are about this connection, by all services.
    Connection(ConnectionId),
    /// They are by this service, about all connections.
    Service(ServiceId),
}

impl Audit<'_> {
    /// A page of the uses of a connection, or by a service, in a period, for all users. Counts at most the `most` latest uses; all
    /// pages of a list count the same period.
    ///
    /// # Errors
    /// The page token is wrong, a part of the log does not open, or the database fails.
    pub async fn uses(
        &self,
        scope: &TenantScope,
        of: &UsesOf,
        period: Period,
        most: u32,
        page: &Page,
    ) -> Result<AccessUses, Error> {
        self.store.await_sequencer().await?;
        let reading = self.store.query_any(scope.tenant()).await?;
        let (period, after) = match page.position(scope.tenant(), &reading)? {
            Some(position) => read_position(&position)?,
            None => (period, None),
        };
        let filter = of.filter(period);
        let mut counted = Latest::of(most);
        let mut scan = Scan::begin(&reading, (scope, &filter), None).await?;
        let recent = scan.recent(self.store, (scope, &filter), Some(u64::from(most) + 1)).await?;
        counted.add(recent);
        while scan.highest().await?.is_some_and(|highest| counted.may_take(highest)) {
            let mut found = BTreeMap::new();
            scan.open_next(&mut found).await?;
            counted.add(found);
        }
        let (start, uses) = counted.uses();
        let period = Period { start: start.unwrap_or(period.start), ..period };
        let uses = uses.into_iter().filter(|one| after.as_ref().is_none_or(|after| key(one) > *after));
        let position = |last: &AccessUse| position(period, last);
        let uses = stream::iter(uses.map(Ok));
        let listed = page.read(self.store, scope.tenant(), reading.key(), uses, position).await?;
        Ok(AccessUses { period, listed })
    }

    /// At most `most` services that the latest records of a period name, those first that have called about the connection.
    ///
    /// # Errors
    /// A part of the log does not open, or the database fails.
    pub async fn calling_services(
        &self,
        scope: &TenantScope,
        connection: ConnectionId,
        period: Period,
        most: u32,
    ) -> Result<Vec<CallingService>, Error> {
        let mut services = BTreeMap::new();
        for about in [Some(connection), None] {
            for service in self.services(scope, about, period).await? {
                services.entry(service).or_insert(about.is_some());
            }
        }
        let mut found: Vec<_> =
            services.into_iter().map(|(service, used)| CallingService { service, used }).collect();
        found.sort_by_key(|one| !one.used);
        found.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        Ok(found)
    }

    /// The services of the latest records of a period: about a connection, or of the tenant.
    async fn services(
        &self,
        scope: &TenantScope,
        connection: Option<ConnectionId>,
        period: Period,
    ) -> Result<Vec<String>, Error> {
        self.store.await_sequencer().await?;
        let reading = self.store.query_any(scope.tenant()).await?;
        let filter = AuditFilter { connection, ..within(period) };
        let mut scan = Scan::begin(&reading, (scope, &filter), None).await?;
        let mut found = scan.recent(self.store, (scope, &filter), Some(SEARCHED_RECORDS as u64)).await?;
        let (mut services, mut searched) = (Vec::new(), 0);
        loop {
            searched += found.len();
            services.extend(std::mem::take(&mut found).into_values().filter_map(|record| record.service));
            services.sort_unstable();
            services.dedup();
            if searched >= SEARCHED_RECORDS || scan.highest().await?.is_none() {
                return Ok(services);
            }
            scan.open_next(&mut found).await?;
        }
    }
}

/// The records of a period.
fn within(period: Period) -> AuditFilter {
    AuditFilter { start_time: Some(period.start), end_time: Some(period.end), ..AuditFilter::default() }
}

impl UsesOf {
    /// What selects their records, with those of other RPCs.
    fn filter(&self, period: Period) -> AuditFilter {
        match self {
            Self::Connection(id) => AuditFilter { connection: Some(*id), ..within(period) },
            Self::Service(service) => AuditFilter { service: Some(service.clone()), ..within(period) },
        }
    }
}

/// What tells one use from others, in the order of a list: service, user, RPC, purpose, and the connection.
type Key = ([String; 4], Uuid);

fn key(one: &AccessUse) -> Key {
    let AccessUse { service, user, action, purpose, connection, .. } = one;
    let texts = [service, user, action, purpose].map(String::clone);
    (texts, connection.map_or(Uuid::nil(), |id| id.as_uuid()))
}

/// The latest records of uses, by their ids: few bytes for each, for there are many.
struct Latest {
    most: usize,
    records: BTreeMap<Uuid, Counted>,
    /// What tells uses from each other, once for all of their records, and the number of each.
    keys: HashMap<Key, (usize, String)>,
}

/// What is counted of a record.
struct Counted {
    use_number: usize,
    outcome: AuditOutcome,
    is_released: bool,
    time: Timestamp,
}

impl Latest {
    fn of(most: u32) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Self { most, records: BTreeMap::new(), keys: HashMap::new() }
    }

    /// Whether a record with this id would be one of the latest.
    fn may_take(&self, id: Uuid) -> bool {
        self.records.len() <= self.most
            || self.records.first_key_value().is_some_and(|(first, _)| *first < id)
    }

    /// Adds those that are of uses, and drops all that are not among the latest, but for one that shows that there are more.
    fn add(&mut self, found: BTreeMap<Uuid, AuditRecord>) {
        for (id, record) in found {
            if !USES.iter().any(|action| action.as_str() == record.action) {
                continue;
            }
            let AuditRecord { service, user, action, purpose, connection, provider, .. } = record;
            let texts = [service, user, Some(action), purpose].map(Option::unwrap_or_default);
            let connection = connection.map_or(Uuid::nil(), |id| id.as_uuid());
            let next = self.keys.len();
            let (use_number, named) = self.keys.entry((texts, connection)).or_insert((next, String::new()));
            if let Some(provider) = provider {
                *named = provider;
            }
            let is_released = !record.released.is_empty();
            let (use_number, outcome, time) = (*use_number, record.outcome, record.time);
            self.records.insert(id, Counted { use_number, outcome, is_released, time });
        }
        while self.records.len() > self.most.saturating_add(1) {
            self.records.pop_first();
        }
    }

    /// The uses by their keys, and from when on they are counted if there are more.
    fn uses(mut self) -> (Option<Timestamp>, Vec<AccessUse>) {
        let more = if self.records.len() > self.most { self.records.pop_first() } else { None };
        // The first 48 bits of a UUIDv7 are its millisecond. The next one is the first that is counted whole.
        let start = more.map(|(id, _)| Timestamp::from_micros((millis(id) + 1).saturating_mul(1000)));
        let mut uses: Vec<Option<AccessUse>> = self.keys.iter().map(|_| None).collect();
        let mut keys: Vec<_> = self.keys.into_iter().collect();
        keys.sort_unstable_by_key(|(_, (number, _))| *number);
        for counted in self.records.into_values().filter(|one| start.is_none_or(|start| one.time >= start)) {
            let Some((place, (key, (_, provider)))) =
                uses.get_mut(counted.use_number).zip(keys.get(counted.use_number))
            else {
                continue;
            };
            place.get_or_insert_with(|| none_yet(key, provider, counted.time)).count(&counted);
        }
        let mut uses: Vec<_> = uses.into_iter().flatten().collect();
        uses.sort_by_cached_key(key);
        (start, uses)
    }
}

fn millis(id: Uuid) -> i64 {
    i64::try_from(id.as_u128() >> 80).unwrap_or(i64::MAX)
}

/// A use that has no records yet.
fn none_yet((texts, connection): &Key, provider: &str, time: Timestamp) -> AccessUse {
    let [service, user, action, purpose] = texts.clone();
    AccessUse {
        service,
        user,
        action,
        purpose,
        connection: Some(*connection).filter(|id| !id.is_nil()).map(ConnectionId::from_uuid),
        provider: provider.to_owned(),
        answered: 0,
        denied: 0,
        failed: 0,
        released: 0,
        first_time: time,
        last_time: time,
    }
}

impl AccessUse {
    fn count(&mut self, record: &Counted) {
        let by_outcome = match record.outcome {
            AuditOutcome::Ok => &mut self.answered,
            AuditOutcome::Denied => &mut self.denied,
            AuditOutcome::Failed => &mut self.failed,
        };
        *by_outcome += 1;
        self.released += i64::from(record.is_released);
        self.first_time = self.first_time.min(record.time);
        self.last_time = self.last_time.max(record.time);
    }
}

/// What a page begins after: the period, which all pages share, and what tells the last use of the page before from others.
fn position(period: Period, last: &AccessUse) -> Vec<u8> {
    let (texts, connection) = key(last);
    json!([period.start.micros(), period.end.micros(), texts, connection.to_string()])
        .to_string()
        .into_bytes()
}

fn read_position(position: &[u8]) -> Result<(Period, Option<Key>), Error> {
    let (start, end, texts, connection): (i64, i64, [String; 4], String) =
        serde_json::from_slice(position).map_err(|_| Error::PageToken)?;
    let connection = Uuid::parse_str(&connection).map_err(|_| Error::PageToken)?;
    let period = Period { start: Timestamp::from_micros(start), end: Timestamp::from_micros(end) };
    Ok((period, Some((texts, connection))))
}
