//! Rates that hold over all replicas: the database counts calls of a tenant that reach a provider. The generic cell rate
//! algorithm (ITU-T I.371) with one row for the tenant, one for each user and one for each service, which says until when
//! calls are given away.

use std::time::Duration;

use credvault_domain::{LimitKind, TenantId, TenantScope};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, Statement};
use serde_json::json;

use crate::{Database, Error, Store};

/// How many calls a budget holds, as a time: those of a minute.
const PERIOD: Duration = Duration::from_secs(60);

/// A part of a tenant's callers, with a budget of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RateLayer {
    /// The name of the part within the tenant; empty for all of it.
    pub subject: String,
    /// How many calls it may make in a minute, 1 or more.
    pub per_minute: u64,
}

impl RateLayer {
    /// What a call costs, as a part of the period. No fewer than one call fits into it.
    fn cost(&self) -> i64 {
        micros(PERIOD) / i64::try_from(self.per_minute.max(1)).unwrap_or(i64::MAX).min(micros(PERIOD))
    }
}

/// A budget that is spent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spent {
    /// The place of its layer.
    pub layer: usize,
    /// Until there is a call again.
    pub wait: Duration,
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl Store {
    /// Takes a call from the budget of each layer, or from none if one is spent. The order of the layers must be the same
    /// everywhere, the tenant as a whole first.
    ///
    /// # Errors
    /// The database fails.
    pub async fn take_rate(
        &self,
        scope: &TenantScope,
        kind: LimitKind,
        layers: &[RateLayer],
    ) -> Result<Option<Spent>, Error> {
        match self.database() {
            Database::Postgres => self.take_in_postgres(scope.tenant(), kind, layers).await,
            Database::Sqlite => self.take_in_sqlite(scope.tenant(), kind, layers).await,
        }
    }

    /// How many calls of a tenant as a whole are given away at this moment, where it may make `per_minute`.
    ///
    /// # Errors
    /// The database fails.
    pub async fn rate_in_use(
        &self,
        scope: &TenantScope,
        kind: LimitKind,
        per_minute: u64,
    ) -> Result<u64, Error> {
        let tx = self.look(scope.tenant()).await?;
        let until = until(&tx, scope.tenant(), kind, "").await?;
        let taken = until - self.database_time(&tx).await?;
        let cost = RateLayer { subject: String::new(), per_minute }.cost();
        Ok(u64::try_from(taken).map_or(0, |taken| taken.div_ceil(cost.unsigned_abs())).min(per_minute))
    }

    async fn take_in_postgres(
        &self,
        tenant: &TenantId,
        kind: LimitKind,
        layers: &[RateLayer],
    ) -> Result<Option<Spent>, Error> {
        let layers: Vec<_> = layers.iter().map(|layer| json!([layer.subject, layer.cost()])).collect();
        let sql = "SELECT layer, wait FROM reserve_rate($1, $2, $3, $4)";
        let values =
            [tenant.as_str().into(), kind.as_str().into(), json!(layers).into(), micros(PERIOD).into()];
        let db = self.writer();
        let asked = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
        let Some(row) = db.query_one_raw(asked).await? else { return Ok(None) };
        let (layer, wait): (i64, i64) = (row.try_get("", "layer")?, row.try_get("", "wait")?);
        let layer = usize::try_from(layer).map_err(|_| Error::Integrity)?;
        Ok(Some(Spent { layer, wait: Duration::from_micros(wait.unsigned_abs()) }))
    }

    /// The same in SQLite, whose one writer is locked from the beginning.
    async fn take_in_sqlite(
        &self,
        tenant: &TenantId,
        kind: LimitKind,
        layers: &[RateLayer],
    ) -> Result<Option<Spent>, Error> {
        let tx = self.begin_bookkeeping(tenant).await?;
        let (now, period) = (self.database_time(&tx).await?, micros(PERIOD));
        for (place, layer) in layers.iter().enumerate() {
            let until = until(&tx, tenant, kind, &layer.subject).await?;
            let until = if (now..=now + period).contains(&until) { until } else { now } + layer.cost();
            if until > now + period {
                tx.rollback().await?;
                let wait = Duration::from_micros((until - now - period).unsigned_abs());
                return Ok(Some(Spent { layer: place, wait }));
            }
            let sql = "INSERT INTO rate_budgets (tenant_id, kind, subject, time) VALUES ($1, $2, $3, $4)
                ON CONFLICT (tenant_id, kind, subject) DO UPDATE SET time = excluded.time";
            let subject = layer.subject.as_str();
            let values = [tenant.as_str().into(), kind.as_str().into(), subject.into(), until.into()];
            tx.execute_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await?;
        }
        tx.commit().await?;
        Ok(None)
    }
}

/// Until when the calls of a subject are given away.
async fn until(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    kind: LimitKind,
    subject: &str,
) -> Result<i64, Error> {
    let sql = "SELECT time FROM rate_budgets WHERE tenant_id = $1 AND kind = $2 AND subject = $3";
    let values = [tenant.as_str().into(), kind.as_str().into(), subject.into()];
    let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    Ok(tx.query_one_raw(asked).await?.map(|row| row.try_get("", "time")).transpose()?.unwrap_or(0))
}
