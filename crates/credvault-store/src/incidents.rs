//! Incidents of providers: an outage that several tenants meet is one incident of the provider, and not the fault of their
//! connections. Every replica reports what its requests have met, into rows of the platform that tell of no tenant: each
//! tenant counts in one of 256 slots. An incident opens only by several slots, and so never by one tenant alone; and it
//! closes only by several, or when nothing has failed for long.

use std::time::Duration;

use credvault_domain::{EventType, ProviderId, TenantId, Timestamp};
use sea_orm::{ConnectionTrait as _, QueryResult, Statement, Value};

use crate::change::Change;
use crate::change::outbox::NewEvent;
use crate::{Error, Store};

/// How many slots must have failed last for an incident to open.
const SLOTS_TO_OPEN: i64 = 3;
/// How many failures there must be in these.
const FAILURES_TO_OPEN: i64 = 6;
/// How long a failure counts for opening.
const OPENING_MEMORY: Duration = Duration::from_secs(600);
/// How many slots must have succeeded last for an incident to close.
const SLOTS_TO_CLOSE: i64 = 2;
/// How long a failure or a success counts for closing.
const CLOSING_MEMORY: Duration = Duration::from_secs(300);
/// After how long without a failure an incident closes, if there was no success either.
const QUIET_TIME: Duration = Duration::from_secs(1800);

/// What requests of one slot to a provider have met since the last report.
#[derive(Clone, Debug)]
pub struct Signal {
    /// The provider that was asked.
    pub provider: ProviderId,
    /// The slot of the tenants.
    pub slot: u8,
    /// How many requests have failed since the last success.
    pub failures: u32,
    /// When a request last failed.
    pub failed: Option<Timestamp>,
    /// When a request was last answered.
    pub succeeded: Option<Timestamp>,
}

/// An incident that is open, as replicas see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Incident {
    /// The provider that fails.
    pub provider: ProviderId,
    /// The instant at which it opened.
    pub since: Timestamp,
    /// How many slots it has touched: at least so many tenants.
    pub slots: i64,
    /// When the provider last answered a request of the vault.
    pub last_success: Option<Timestamp>,
}

/// The slot in which a tenant counts: the same on every replica (FNV-1a, folded).
pub fn slot_of(tenant: &TenantId) -> u8 {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let hash = tenant.as_str().bytes().fold(0x811c_9dc5, step);
    hash.to_le_bytes().into_iter().fold(0, |folded, byte| folded ^ byte)
}

/// What the signals of a provider say together.
struct Evidence {
    provider: ProviderId,
    /// Slots that failed last, within the time for opening; and how often.
    failing: i64,
    failures: i64,
    /// Slots that failed last, and that succeeded last, within the time for closing.
    still_failing: i64,
    well: i64,
    last_failure: Option<Timestamp>,
    last_success: Option<Timestamp>,
}

impl Evidence {
    fn opens(&self) -> bool {
        self.failing >= SLOTS_TO_OPEN && self.failures >= FAILURES_TO_OPEN && self.failing > self.well
    }

    fn closes(&self, now: Timestamp) -> bool {
        let recovered = self.well >= SLOTS_TO_CLOSE && self.still_failing < SLOTS_TO_CLOSE;
        recovered || self.last_failure.is_none_or(|time| time.after(QUIET_TIME) <= now)
    }
}

impl Store {
    /// Adds what this replica's requests have met to what the others' have.
    ///
    /// # Errors
    /// The database fails.
    pub async fn report_signals(&self, signals: &[Signal]) -> Result<(), Error> {
        if signals.is_empty() {
            return Ok(());
        }
        let tx = self.begin_bookkeeping(&TenantId::platform()).await?;
        let oldest = self.now().before(OPENING_MEMORY).micros();
        // A later success forgets the failures before it.
        let sql =
            "INSERT INTO provider_signals (tenant_id, provider, slot, failures, failure_time, success_time)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (tenant_id, provider, slot) DO UPDATE SET
                failures = excluded.failures + CASE WHEN excluded.success_time IS NULL
                    AND provider_signals.failure_time > $7 THEN provider_signals.failures ELSE 0 END,
                failure_time = COALESCE(excluded.failure_time, provider_signals.failure_time),
                success_time = COALESCE(excluded.success_time, provider_signals.success_time)";
        for signal in signals {
            let micros = |time: Option<Timestamp>| time.map(Timestamp::micros);
            let values: [Value; 7] = [
                TenantId::PLATFORM.into(),
                signal.provider.as_str().into(),
                i64::from(signal.slot).into(),
                i64::from(signal.failures).into(),
                micros(signal.failed).into(),
                micros(signal.succeeded).into(),
                oldest.into(),
            ];
            tx.execute_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Opens and closes incidents as the signals of all replicas say, with one event for each, and tells which are open.
    ///
    /// # Errors
    /// The database fails.
    pub async fn review_incidents(&self) -> Result<Vec<Incident>, Error> {
        let mut change = self.own_change(&TenantId::platform()).await?;
        for evidence in evidence(&change).await? {
            if evidence.opens() {
                open(&mut change, &evidence).await?;
            } else if evidence.closes(change.now) {
                close(&mut change, &evidence).await?;
            }
        }
        let open = open_incidents(&change).await?;
        let _ = change.commit(()).await?;
        Ok(open)
    }

    /// The incidents that are open.
    ///
    /// # Errors
    /// The database fails.
    pub async fn incidents(&self) -> Result<Vec<Incident>, Error> {
        let change = self.own_change(&TenantId::platform()).await?;
        open_incidents(&change).await
    }
}

async fn evidence(change: &Change<'_>) -> Result<Vec<Evidence>, Error> {
    let failed_last = "failure_time IS NOT NULL AND (success_time IS NULL OR failure_time > success_time)";
    let well = "success_time > $3 AND (failure_time IS NULL OR success_time >= failure_time)";
    // PostgreSQL makes a numeric of a sum.
    let sql = format!(
        "SELECT provider,
            CAST(sum(CASE WHEN {failed_last} AND failure_time > $2 THEN 1 ELSE 0 END) AS bigint) AS failing,
            CAST(sum(CASE WHEN {failed_last} AND failure_time > $2 THEN failures ELSE 0 END) AS bigint) AS failures,
            CAST(sum(CASE WHEN {failed_last} AND failure_time > $3 THEN 1 ELSE 0 END) AS bigint) AS still_failing,
            CAST(sum(CASE WHEN {well} THEN 1 ELSE 0 END) AS bigint) AS well,
            max(failure_time) AS last_failure, max(success_time) AS last_success
         FROM provider_signals WHERE tenant_id = $1 GROUP BY provider"
    );
    let (opening, closing) = (change.now.before(OPENING_MEMORY), change.now.before(CLOSING_MEMORY));
    let values = [TenantId::PLATFORM.into(), opening.micros().into(), closing.micros().into()];
    let rows = rows(change, &sql, values).await?;
    let time = |row: &QueryResult, column: &str| -> Result<Option<Timestamp>, Error> {
        Ok(row.try_get::<Option<i64>>("", column)?.map(Timestamp::from_micros))
    };
    let evidence = |row: &QueryResult| {
        Ok(Evidence {
            provider: ProviderId::from_stored(row.try_get("", "provider")?),
            failing: row.try_get("", "failing")?,
            failures: row.try_get("", "failures")?,
            still_failing: row.try_get("", "still_failing")?,
            well: row.try_get("", "well")?,
            last_failure: time(row, "last_failure")?,
            last_success: time(row, "last_success")?,
        })
    };
    rows.iter().map(evidence).collect()
}

/// Opens the incident of a provider, or notes how far it has spread. The replica whose statement opens it writes the event.
async fn open(change: &mut Change<'_>, evidence: &Evidence) -> Result<(), Error> {
    let success = evidence.last_success.map(Timestamp::micros);
    let now = change.now.micros();
    let values: [Value; 5] = [
        TenantId::PLATFORM.into(),
        evidence.provider.as_str().into(),
        now.into(),
        evidence.failing.into(),
        success.into(),
    ];
    let sql = "INSERT INTO provider_incidents (tenant_id, provider, open_time, close_time, tenants, last_success_time)
        VALUES ($1, $2, $3, NULL, $4, $5)
        ON CONFLICT (tenant_id, provider) DO UPDATE SET open_time = excluded.open_time, close_time = NULL,
            tenants = excluded.tenants, last_success_time = excluded.last_success_time
            WHERE provider_incidents.close_time IS NOT NULL
        RETURNING open_time";
    if !rows(change, sql, values).await?.is_empty() {
        tracing::warn!(
            provider = evidence.provider.as_str(),
            "an incident of a provider has opened: it fails for several tenants"
        );
        change.emit(NewEvent::incident(EventType::IncidentOpened, &evidence.provider, change.now)?);
        return Ok(());
    }
    let spread =
        "UPDATE provider_incidents SET tenants = $3, last_success_time = COALESCE($4, last_success_time)
        WHERE tenant_id = $1 AND provider = $2 AND close_time IS NULL AND tenants < $3 RETURNING tenants";
    let values: [Value; 4] = [
        TenantId::PLATFORM.into(),
        evidence.provider.as_str().into(),
        evidence.failing.into(),
        success.into(),
    ];
    rows(change, spread, values).await.map(drop)
}

async fn close(change: &mut Change<'_>, evidence: &Evidence) -> Result<(), Error> {
    let sql = "UPDATE provider_incidents SET close_time = $3
        WHERE tenant_id = $1 AND provider = $2 AND close_time IS NULL RETURNING open_time";
    let values: [Value; 3] =
        [TenantId::PLATFORM.into(), evidence.provider.as_str().into(), change.now.micros().into()];
    if let Some(row) = rows(change, sql, values).await?.first() {
        let since = Timestamp::from_micros(row.try_get("", "open_time")?);
        tracing::info!(provider = evidence.provider.as_str(), "an incident of a provider is over");
        change.emit(NewEvent::incident(EventType::IncidentClosed, &evidence.provider, since)?);
    }
    Ok(())
}

async fn open_incidents(change: &Change<'_>) -> Result<Vec<Incident>, Error> {
    let sql = "SELECT provider, open_time, tenants, last_success_time FROM provider_incidents
        WHERE tenant_id = $1 AND close_time IS NULL ORDER BY provider";
    let rows = rows(change, sql, [TenantId::PLATFORM.into()]).await?;
    let incident = |row: &QueryResult| {
        let success: Option<i64> = row.try_get("", "last_success_time")?;
        Ok(Incident {
            provider: ProviderId::from_stored(row.try_get("", "provider")?),
            since: Timestamp::from_micros(row.try_get("", "open_time")?),
            slots: row.try_get("", "tenants")?,
            last_success: success.map(Timestamp::from_micros),
        })
    };
    rows.iter().map(incident).collect()
}

async fn rows(
    change: &Change<'_>,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<QueryResult>, Error> {
    let statement = Statement::from_sql_and_values(change.tx.get_database_backend(), sql, values);
    Ok(change.tx.query_all_raw(statement).await?)
}
