//! How many calls an app may make at a provider, over all replicas: the generic cell rate algorithm (ITU-T I.371), with
//! one row for each app that says until when its calls are given away.

use std::time::Duration;

use credvault_domain::{ProviderId, TenantId};
use sea_orm::{ConnectionTrait as _, Statement};

use crate::database::transaction::{begin_plain, set_tenant};
use crate::{Database, Error, Store};

/// A stored time further ahead than this comes from a clock that was wrong.
const MAX_AHEAD: Duration = Duration::from_secs(10);

/// An app at a provider, which is what a provider counts calls by.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct AppKey {
    /// The provider that limits the rate.
    pub provider: ProviderId,
    /// The app's id there, where tokens belong to one.
    pub client_id: Option<String>,
}

impl Store {
    /// Reserves the calls that the app may make in `cost`, at most about a second, unless others are reserved. Uses
    /// the database's own clock. A clock that was wrong for a while delays no caller for longer than `MAX_AHEAD`.
    ///
    /// # Errors
    /// The database fails.
    pub async fn spend(&self, app: &AppKey, cost: Duration) -> Result<bool, Error> {
        let now = match self.database() {
            Database::Postgres => "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
            Database::Sqlite => "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)",
        };
        let sql = format!(
            "INSERT INTO budgets (tenant_id, provider, client_id, time) VALUES ($1, $2, $3, {now} + $4)
             ON CONFLICT (tenant_id, provider, client_id)
             DO UPDATE SET time = {now} + $4 WHERE budgets.time NOT BETWEEN {now} AND {now} + $5
             RETURNING time"
        );
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4);
        let values = [
            TenantId::PLATFORM.into(),
            app.provider.as_str().into(),
            app.client_id.as_deref().unwrap_or_default().into(),
            micros(cost).into(),
            micros(MAX_AHEAD).into(),
        ];
        let tx = begin_plain(&self.writer()).await?;
        set_tenant(&tx, self.database(), &TenantId::platform()).await?;
        let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
        let spent = tx.query_one_raw(statement).await?.is_some();
        tx.commit().await?;
        Ok(spent)
    }
}
