//! How many calls an app may make at a provider, over all replicas: the generic cell rate algorithm (ITU-T I.371), with
//! one row for each app that says until when its calls are given away.

use std::time::Duration;

use credvault_domain::TenantId;
use sea_orm::{ConnectionTrait as _, Statement, TransactionTrait as _};

use crate::session::set_tenant;
use crate::{AppKey, Database, Error, Store};

impl Store {
    /// Takes calls that last for `cost` at the app's rate, if not more than `ahead` is given away already. By the
    /// database's real clock, whatever clock the store has.
    ///
    /// # Errors
    /// The database fails.
    pub async fn spend(&self, app: &AppKey, cost: Duration, ahead: Duration) -> Result<bool, Error> {
        let (now, greatest) = match self.database() {
            Database::Postgres => ("(extract(epoch FROM clock_timestamp()) * 1000000)::bigint", "GREATEST"),
            Database::Sqlite => ("CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)", "max"),
        };
        let sql = format!(
            "INSERT INTO budgets (tenant_id, provider, client_id, time) VALUES ($1, $2, $3, {now} + $4)
             ON CONFLICT (tenant_id, provider, client_id)
             DO UPDATE SET time = {greatest}(budgets.time, {now}) + $4 WHERE budgets.time <= {now} + $5
             RETURNING time"
        );
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4);
        let values = [
            TenantId::PLATFORM.into(),
            app.provider.as_str().into(),
            app.client_id.as_deref().unwrap_or_default().into(),
            micros(cost).into(),
            micros(ahead).into(),
        ];
        let tx = self.writer().begin().await?;
        set_tenant(&tx, self.database(), &TenantId::platform()).await?;
        let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
        let spent = tx.query_one_raw(statement).await?.is_some();
        tx.commit().await?;
        Ok(spent)
    }
}
