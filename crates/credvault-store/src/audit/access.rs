//! What the audit log says of the use of connections: which service and user, how often, for which purpose, and when. A connection
//! that is fetched often has millions of records, so what is read of them is bounded.

use std::time::Duration;

use credvault_domain::{Action, ConnectionId, ServiceId, TenantScope, Timestamp};
use futures::stream;
use sea_orm::{ConnectionTrait as _, QueryResult, Statement, Value};
use serde_json::json;
use uuid::Uuid;

use super::query::uuid_floor;
use crate::database::session::Reading;
use crate::{Audit, Error, Listed, Page};

/// The calls that use the secret of a connection.
const USES: [Action; 2] = [Action::FetchCredential, Action::VerifyWebhook];
/// How many of the latest records are searched for services.
const SEARCHED_RECORDS: i64 = 100_000;

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
    /// A page of the uses of a connection, or by a service, in a period, for all users. Counts at most the `most` latest records,
    /// about the connection or of the tenant; all pages of a list count the same period.
    ///
    /// # Errors
    /// The page token is wrong, or the database fails.
    pub async fn uses(
        &self,
        scope: &TenantScope,
        of: &UsesOf,
        period: Period,
        most: u32,
        page: &Page,
    ) -> Result<AccessUses, Error> {
        let reading = self.store.query_any(scope.tenant()).await?;
        let (period, after) = match page.position(scope.tenant(), &reading)? {
            Some(position) => read_position(&position)?,
            None => (counted(&reading, scope, of, period, most).await?, None),
        };
        let count = count(scope, of, period, after, page.limit());
        let rows = reading.tx.query_all_raw(count.statement(&reading)).await?;
        let uses = rows.iter().map(found).collect::<Result<Vec<_>, _>>()?;
        let uses = stream::iter(uses.into_iter().map(Ok));
        let position = |last: &AccessUse| position(period, last);
        let listed = page.read(self.store, scope.tenant(), reading.key(), uses, position).await?;
        Ok(AccessUses { period, listed })
    }

    /// At most `most` services that the latest records of a period name, those first that have called about a connection.
    ///
    /// # Errors
    /// The database fails.
    pub async fn calling_services(
        &self,
        scope: &TenantScope,
        connection: ConnectionId,
        period: Period,
        most: u32,
    ) -> Result<Vec<CallingService>, Error> {
        let reading = self.store.query_any(scope.tenant()).await?;
        let mut query = Query::default();
        let about = query.records(scope, Some(connection), period);
        let latest = query.records(scope, None, period);
        let searched = query.place(SEARCHED_RECORDS.into());
        let most = query.place(i64::from(most).into());
        query.sql = format!(
            "SELECT service, CAST(max(used) AS bigint) AS used
             FROM (
                SELECT service, 1 AS used FROM (
                    SELECT service FROM audit_events WHERE {about} ORDER BY id DESC LIMIT {searched}
                ) AS about
                UNION
                SELECT service, 0 AS used FROM (
                    SELECT service FROM audit_events WHERE {latest} ORDER BY id DESC LIMIT {searched}
                ) AS latest
             ) AS services
             WHERE service IS NOT NULL
             GROUP BY service
             ORDER BY used DESC, service
             LIMIT {most}"
        );
        let rows = reading.tx.query_all_raw(query.statement(&reading)).await?;
        let service = |row: &QueryResult| {
            let used: i64 = row.try_get("", "used")?;
            Ok(CallingService { service: row.try_get("", "service")?, used: used == 1 })
        };
        rows.iter().map(service).collect()
    }
}

/// A query in the making: its text, and the values at its places.
#[derive(Default)]
struct Query {
    sql: String,
    values: Vec<Value>,
}

impl Query {
    /// The place of a value.
    fn place(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    /// What selects the records of a period: about a connection, or all of the tenant. Record ids begin with their millisecond, so
    /// the index finds them.
    fn records(&mut self, scope: &TenantScope, connection: Option<ConnectionId>, period: Period) -> String {
        let after = period.end.after(Duration::from_millis(1));
        let tenant = self.place(scope.tenant().as_str().into());
        let start = self.place(uuid_floor(period.start).into());
        let end = self.place(uuid_floor(after).into());
        let records = format!("tenant_id = {tenant} AND id >= {start} AND id < {end}");
        match connection {
            Some(id) => format!("{records} AND connection_id = {}", self.place(id.as_uuid().into())),
            None => records,
        }
    }

    fn statement(self, reading: &Reading) -> Statement {
        Statement::from_sql_and_values(reading.tx.get_database_backend(), self.sql, self.values)
    }
}

impl UsesOf {
    /// The connection, if they are about one.
    fn connection(&self) -> Option<ConnectionId> {
        match self {
            Self::Connection(id) => Some(*id),
            Self::Service(_) => None,
        }
    }
}

/// What tells one use from others, in the order of a list: service, user, RPC, purpose, and the connection.
type Key = ([String; 4], Uuid);

/// The query that counts uses, after one of them.
fn count(scope: &TenantScope, of: &UsesOf, period: Period, after: Option<Key>, limit: u64) -> Query {
    let mut query = Query::default();
    let mut records = query.records(scope, of.connection(), period);
    if let UsesOf::Service(service) = of {
        records.push_str(&format!(" AND service = {}", query.place(service.as_str().into())));
    }
    let [start, end] = [period.start, period.end].map(|time| query.place(time.micros().into()));
    let actions = USES.map(|action| query.place(action.as_str().into())).join(", ");
    let none = query.place(Uuid::nil().into());
    let after = match after {
        Some((texts, connection)) => {
            let texts = texts.map(|text| query.place(text.into())).join(", ");
            format!("WHERE ({KEY}) > ({texts}, {})", query.place(connection.into()))
        }
        None => String::new(),
    };
    let limit = query.place(i64::try_from(limit).unwrap_or(i64::MAX).into());
    query.sql = format!(
        "SELECT {KEY}, COALESCE(max(provider), '') AS provider,
            CAST(sum(CASE WHEN outcome = 'OK' THEN 1 ELSE 0 END) AS bigint) AS answered,
            CAST(sum(CASE WHEN outcome = 'DENIED' THEN 1 ELSE 0 END) AS bigint) AS denied,
            CAST(sum(CASE WHEN outcome = 'FAILED' THEN 1 ELSE 0 END) AS bigint) AS failed,
            CAST(sum(CASE WHEN released IS NOT NULL THEN 1 ELSE 0 END) AS bigint) AS released,
            min(time) AS first_time, max(time) AS last_time
         FROM (
            SELECT COALESCE(service, '') AS service, COALESCE(user_id, '') AS user_id, action,
                COALESCE(purpose, '') AS purpose, COALESCE(connection_id, {none}) AS connection_id,
                provider, outcome, released, time
            FROM audit_events
            WHERE {records} AND time >= {start} AND time < {end} AND action IN ({actions})
         ) AS uses
         {after}
         GROUP BY {KEY}
         ORDER BY {KEY}
         LIMIT {limit}"
    );
    query
}

/// The columns of a [`Key`].
const KEY: &str = "service, user_id, action, purpose, connection_id";

/// The period, or the end of it that has the `most` latest records.
async fn counted(
    reading: &Reading,
    scope: &TenantScope,
    of: &UsesOf,
    period: Period,
    most: u32,
) -> Result<Period, Error> {
    let mut query = Query::default();
    let records = query.records(scope, of.connection(), period);
    let most = query.place(i64::from(most).into());
    query.sql = format!("SELECT id FROM audit_events WHERE {records} ORDER BY id DESC LIMIT 1 OFFSET {most}");
    let Some(row) = reading.tx.query_one_raw(query.statement(reading)).await? else {
        return Ok(period);
    };
    let before: Uuid = row.try_get("", "id")?;
    // The first 48 bits of a UUIDv7 are its millisecond. The next one is the first that is counted whole.
    let millis = i64::try_from(before.as_u128() >> 80).map_err(|_| Error::Integrity)? + 1;
    Ok(Period { start: Timestamp::from_micros(millis.saturating_mul(1000)).max(period.start), ..period })
}

/// What a page begins after: the period, which all pages share, and what tells the last use of the page before from others.
fn position(period: Period, last: &AccessUse) -> Vec<u8> {
    let AccessUse { service, user, action, purpose, connection, .. } = last;
    let connection = connection.map_or(Uuid::nil(), |id| id.as_uuid());
    let key = json!([service, user, action, purpose]);
    json!([period.start.micros(), period.end.micros(), key, connection.to_string()]).to_string().into_bytes()
}

fn read_position(position: &[u8]) -> Result<(Period, Option<Key>), Error> {
    let (start, end, texts, connection): (i64, i64, [String; 4], String) =
        serde_json::from_slice(position).map_err(|_| Error::PageToken)?;
    let connection = Uuid::parse_str(&connection).map_err(|_| Error::PageToken)?;
    let period = Period { start: Timestamp::from_micros(start), end: Timestamp::from_micros(end) };
    Ok((period, Some((texts, connection))))
}

fn found(row: &QueryResult) -> Result<AccessUse, Error> {
    let connection: Uuid = row.try_get("", "connection_id")?;
    Ok(AccessUse {
        service: row.try_get("", "service")?,
        user: row.try_get("", "user_id")?,
        action: row.try_get("", "action")?,
        purpose: row.try_get("", "purpose")?,
        connection: Some(connection).filter(|id| !id.is_nil()).map(ConnectionId::from_uuid),
        provider: row.try_get("", "provider")?,
        answered: row.try_get("", "answered")?,
        denied: row.try_get("", "denied")?,
        failed: row.try_get("", "failed")?,
        released: row.try_get("", "released")?,
        first_time: Timestamp::from_micros(row.try_get("", "first_time")?),
        last_time: Timestamp::from_micros(row.try_get("", "last_time")?),
    })
}
