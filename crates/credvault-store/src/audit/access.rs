//! What the audit log says of the use of connections: which service and user, how often, for which purpose, and when. A connection
//! that is fetched often has millions of records: what is kept in memory is a page, and what is read one by one is bounded.

use std::collections::{BTreeMap, BTreeSet};

use credvault_domain::{Action, AuditOutcome, ConnectionId, ServiceId, TenantScope, Timestamp};
use futures::stream;
use serde_json::json;
use uuid::Uuid;

use super::counting::Counting;
use super::days::Alike;
use super::filter::AuditFilter;
use super::record::AuditRecord;
use crate::{Audit, Error, Listed, Page};

/// The calls that use the secret of a connection.
const USES: [Action; 2] = [Action::FetchCredential, Action::VerifyWebhook];
/// How many of the latest records are searched for services, beside those with kept counts.
const SEARCHED_RECORDS: u64 = 100_000;

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
    /// The period that was asked for, or the end of it that is counted.
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
    /// A page of the uses of a connection, or by a service, in a period, for all users. Of days without kept counts, about the
    /// latest `most` records are read; then the period begins where these do. All pages of a list count the same period.
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
        let reading = self.store.query_snapshot(scope.tenant()).await?;
        let log = Counting::begin(self.store, &reading, scope).await?;
        let (period, after) = match page.position(scope.tenant(), &reading)? {
            Some(position) => read_position(&position)?,
            None => {
                let bound = log.bound(&of.filter(period), most.into()).await?;
                (Period { start: bound.unwrap_or(period.start), ..period }, None)
            }
        };
        let mut found = Uses::of(after, page.limit());
        log.count(&of.filter(period), true, &mut |alike| {
            found.add(alike);
            Ok(())
        })
        .await?;
        let position = |last: &AccessUse| position(period, last);
        let uses = stream::iter(found.uses.into_values().map(Ok));
        let listed = page.read(self.store, scope.tenant(), reading.key(), uses, position).await?;
        Ok(AccessUses { period, listed })
    }

    /// At most `most` services that the records of a period name, those first that have called about the connection.
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
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let used = self.services(scope, Some(connection), period, most).await?;
        // As many of them may be among the used ones.
        let all = self.services(scope, None, period, most.saturating_mul(2)).await?;
        let others = all.into_iter().filter(|service| !used.contains(service));
        let others = others.map(|service| CallingService { service, used: false }).collect::<Vec<_>>();
        let mut found: Vec<_> =
            used.into_iter().map(|service| CallingService { service, used: true }).chain(others).collect();
        found.truncate(most);
        Ok(found)
    }

    /// The first `most` services, by name, of the records of a period: about a connection, or of the tenant.
    async fn services(
        &self,
        scope: &TenantScope,
        connection: Option<ConnectionId>,
        period: Period,
        most: usize,
    ) -> Result<BTreeSet<String>, Error> {
        self.store.await_sequencer().await?;
        let reading = self.store.query_snapshot(scope.tenant()).await?;
        let log = Counting::begin(self.store, &reading, scope).await?;
        let filter = AuditFilter { connection, ..within(period) };
        let mut services = BTreeSet::new();
        let mut add = |alike: Alike| {
            services.extend(alike.record.service);
            if services.len() > most {
                services.pop_last();
            }
            Ok::<_, Error>(())
        };
        let bound = log.bound(&filter, SEARCHED_RECORDS).await?;
        let filter = match bound {
            Some(bound) => {
                // Days before that with kept counts cost little.
                log.count_days(&filter, &mut add).await?;
                AuditFilter { start_time: Some(bound), ..filter }
            }
            None => filter,
        };
        log.count(&filter, true, &mut add).await?;
        Ok(services)
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

/// The first uses behind a position. One that falls out, because as many come before it, never comes back: so they are counted
/// whole, in the memory of a page.
struct Uses {
    after: Option<Key>,
    limit: usize,
    uses: BTreeMap<Key, AccessUse>,
}

impl Uses {
    fn of(after: Option<Key>, limit: u64) -> Self {
        Self { after, limit: usize::try_from(limit).unwrap_or(usize::MAX), uses: BTreeMap::new() }
    }

    fn add(&mut self, alike: Alike) {
        let Alike { record, count, last_time } = alike;
        if !USES.iter().any(|action| action.as_str() == record.action) {
            return;
        }
        let (is_released, outcome, first_time) = (!record.released.is_empty(), record.outcome, record.time);
        let AuditRecord { service, user, action, purpose, connection, provider, .. } = record;
        let texts = [service, user, Some(action), purpose].map(Option::unwrap_or_default);
        let key = (texts, connection.map_or(Uuid::nil(), |id| id.as_uuid()));
        let is_full = self.uses.len() >= self.limit;
        if self.after.as_ref().is_some_and(|after| key <= *after)
            || (is_full && self.uses.last_key_value().is_some_and(|(last, _)| key > *last))
        {
            return;
        }
        let none = none_yet(&key, first_time);
        let one = self.uses.entry(key).or_insert(none);
        one.count((outcome, is_released), count);
        (one.first_time, one.last_time) = (one.first_time.min(first_time), one.last_time.max(last_time));
        one.provider = std::mem::take(&mut one.provider).max(provider.unwrap_or_default());
        if self.uses.len() > self.limit {
            self.uses.pop_last();
        }
    }
}

/// A use that has no records yet.
fn none_yet((texts, connection): &Key, time: Timestamp) -> AccessUse {
    let [service, user, action, purpose] = texts.clone();
    AccessUse {
        service,
        user,
        action,
        purpose,
        connection: Some(*connection).filter(|id| !id.is_nil()).map(ConnectionId::from_uuid),
        provider: String::new(),
        answered: 0,
        denied: 0,
        failed: 0,
        released: 0,
        first_time: time,
        last_time: time,
    }
}

impl AccessUse {
    fn count(&mut self, (outcome, is_released): (AuditOutcome, bool), count: i64) {
        let by_outcome = match outcome {
            AuditOutcome::Ok => &mut self.answered,
            AuditOutcome::Denied => &mut self.denied,
            AuditOutcome::Failed => &mut self.failed,
        };
        *by_outcome += count;
        self.released += if is_released { count } else { 0 };
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
