//! What the audit log says of the use of one connection: which service and user, how often, for which purpose, and when. A
//! connection that is fetched often has millions of records, so what is read of them is bounded.

use std::time::Duration;

use credvault_domain::{Action, ConnectionId, TenantScope, Timestamp};
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

/// The uses of a connection that are alike.
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
    /// The uses, by service, user, RPC and purpose.
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

impl Audit<'_> {
    /// A page of the uses of a connection in a period, of all users. Counts at most the `most` latest records about the
    /// connection; all pages of a list count the same period.
    ///
    /// # Errors
    /// The page token is wrong, or the database fails.
    pub async fn uses(
        &self,
        scope: &TenantScope,
        connection: ConnectionId,
        period: Period,
        most: u32,
        page: &Page,
    ) -> Result<AccessUses, Error> {
        let reading = self.store.query_any(scope.tenant()).await?;
        let (period, after) = match page.position(scope.tenant(), &reading)? {
            Some(position) => read_position(&position)?,
            None => (counted(&reading, scope, connection, period, most).await?, Default::default()),
        };
        let mut values = about(scope, connection, period);
        values.extend([period.start, period.end].map(|time| Value::from(time.micros())));
        values.extend(USES.map(|action| Value::from(action.as_str())));
        values.push(i64::from(page.token.is_empty()).into());
        values.extend(after.map(Value::from));
        values.push(i64::try_from(page.limit()).unwrap_or(i64::MAX).into());
        let rows = reading.tx.query_all_raw(statement(&reading, COUNT, values)).await?;
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
        let mut values = about(scope, connection, period);
        values.extend([SEARCHED_RECORDS, i64::from(most)].map(Value::from));
        let rows = reading.tx.query_all_raw(statement(&reading, SERVICES, values)).await?;
        let service = |row: &QueryResult| {
            let used: i64 = row.try_get("", "used")?;
            Ok(CallingService { service: row.try_get("", "service")?, used: used == 1 })
        };
        rows.iter().map(service).collect()
    }
}

const COUNT: &str = "
    SELECT service, user_id, action, purpose,
        CAST(sum(CASE WHEN outcome = 'OK' THEN 1 ELSE 0 END) AS bigint) AS answered,
        CAST(sum(CASE WHEN outcome = 'DENIED' THEN 1 ELSE 0 END) AS bigint) AS denied,
        CAST(sum(CASE WHEN outcome = 'FAILED' THEN 1 ELSE 0 END) AS bigint) AS failed,
        CAST(sum(CASE WHEN released IS NOT NULL THEN 1 ELSE 0 END) AS bigint) AS released,
        min(time) AS first_time, max(time) AS last_time
    FROM (
        SELECT COALESCE(service, '') AS service, COALESCE(user_id, '') AS user_id, action,
            COALESCE(purpose, '') AS purpose, outcome, released, time
        FROM audit_events
        WHERE tenant_id = $1 AND connection_id = $2 AND id >= $3 AND id < $4 AND time >= $5 AND time < $6
            AND action IN ($7, $8)
    ) AS uses
    WHERE $9 = 1 OR (service, user_id, action, purpose) > ($10, $11, $12, $13)
    GROUP BY service, user_id, action, purpose
    ORDER BY service, user_id, action, purpose
    LIMIT $14";

/// The record before which so many records about a connection stand.
const BOUND: &str = "
    SELECT id FROM audit_events
    WHERE tenant_id = $1 AND connection_id = $2 AND id >= $3 AND id < $4
    ORDER BY id DESC LIMIT 1 OFFSET $5";

const SERVICES: &str = "
    SELECT service, CAST(max(used) AS bigint) AS used
    FROM (
        SELECT service, 1 AS used FROM (
            SELECT service FROM audit_events
            WHERE tenant_id = $1 AND connection_id = $2 AND id >= $3 AND id < $4
            ORDER BY id DESC LIMIT $5
        ) AS about
        UNION
        SELECT service, 0 AS used FROM (
            SELECT service FROM audit_events
            WHERE tenant_id = $1 AND id >= $3 AND id < $4
            ORDER BY id DESC LIMIT $5
        ) AS latest
    ) AS services
    WHERE service IS NOT NULL
    GROUP BY service
    ORDER BY used DESC, service
    LIMIT $6";

/// What selects the records about a connection in a period. Record ids begin with their millisecond, so the index finds them.
fn about(scope: &TenantScope, connection: ConnectionId, period: Period) -> Vec<Value> {
    let after = period.end.after(Duration::from_millis(1));
    vec![
        scope.tenant().as_str().into(),
        connection.as_uuid().into(),
        uuid_floor(period.start).into(),
        uuid_floor(after).into(),
    ]
}

fn statement(reading: &Reading, sql: &str, values: Vec<Value>) -> Statement {
    Statement::from_sql_and_values(reading.tx.get_database_backend(), sql, values)
}

/// The period, or the end of it that has the `most` latest records about the connection.
async fn counted(
    reading: &Reading,
    scope: &TenantScope,
    connection: ConnectionId,
    period: Period,
    most: u32,
) -> Result<Period, Error> {
    let mut values = about(scope, connection, period);
    values.push(i64::from(most).into());
    let Some(row) = reading.tx.query_one_raw(statement(reading, BOUND, values)).await? else {
        return Ok(period);
    };
    let before: Uuid = row.try_get("", "id")?;
    // The first 48 bits of a UUIDv7 are its millisecond. The next one is the first that is counted whole.
    let millis = i64::try_from(before.as_u128() >> 80).map_err(|_| Error::Integrity)? + 1;
    Ok(Period { start: Timestamp::from_micros(millis.saturating_mul(1000)).max(period.start), ..period })
}

/// What a page begins after: the period, which all pages share, and what tells the last use of the page before from others.
fn position(period: Period, last: &AccessUse) -> Vec<u8> {
    let AccessUse { service, user, action, purpose, .. } = last;
    json!([period.start.micros(), period.end.micros(), [service, user, action, purpose]])
        .to_string()
        .into_bytes()
}

fn read_position(position: &[u8]) -> Result<(Period, [String; 4]), Error> {
    let (start, end, after): (i64, i64, [String; 4]) =
        serde_json::from_slice(position).map_err(|_| Error::PageToken)?;
    Ok((Period { start: Timestamp::from_micros(start), end: Timestamp::from_micros(end) }, after))
}

fn found(row: &QueryResult) -> Result<AccessUse, Error> {
    Ok(AccessUse {
        service: row.try_get("", "service")?,
        user: row.try_get("", "user_id")?,
        action: row.try_get("", "action")?,
        purpose: row.try_get("", "purpose")?,
        answered: row.try_get("", "answered")?,
        denied: row.try_get("", "denied")?,
        failed: row.try_get("", "failed")?,
        released: row.try_get("", "released")?,
        first_time: Timestamp::from_micros(row.try_get("", "first_time")?),
        last_time: Timestamp::from_micros(row.try_get("", "last_time")?),
    })
}
