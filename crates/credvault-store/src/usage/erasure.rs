//! The end of a user's identity in the counts: the sums stay, and do not name the user any more.
//!
//! A row of `usage_erasures` is written with the deletion of the user. Counts of other replicas may come later, for they
//! wait in memory for some seconds; so the row stays for an hour, and upkeep looks again until then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use credvault_domain::{Day, TenantId, Timestamp, UsageCounts, UserId};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbErr, QueryResult, Statement, Value};

use super::owner::ERASED;
use super::tally::{Coarse, UsageKey, add_days, add_users};
use crate::database::pieces::{PIECE, execute, piece};
use crate::{Error, Store};

/// How long counts that name a deleted user may still come.
const LINGER: Duration = Duration::from_secs(3600);

const COUNTS: &str = "calls, errors, rate_limit_hits, fetches, refreshes";

/// Makes it durable, with the transaction, that the counts must not name a user any more.
pub(crate) async fn mark(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    user: &UserId,
    now: Timestamp,
) -> Result<(), Error> {
    let sql = "INSERT INTO usage_erasures (tenant_id, user_id, create_time) VALUES ($1, $2, $3)
        ON CONFLICT (tenant_id, user_id) DO UPDATE SET create_time = excluded.create_time";
    execute(tx, sql, [tenant.as_str().into(), user.as_str().into(), now.micros().into()]).await?;
    Ok(())
}

impl Store {
    /// Erases a user who is marked, until `until` or until nothing is left.
    pub(crate) async fn erase_from_usage(
        &self,
        tenant: &TenantId,
        user: &str,
        until: Instant,
    ) -> Result<(), Error> {
        while self.erase_piece(tenant, user).await? && Instant::now() < until {}
        Ok(())
    }

    /// Goes on with erasures that a crash or the end of a call left undone, and with counts that came since.
    pub(crate) async fn finish_usage_erasures(&self) -> Result<(), Error> {
        let everywhere = self.read_background().await?;
        let sql = format!("SELECT tenant_id, user_id FROM usage_erasures ORDER BY create_time LIMIT {PIECE}");
        let rows = everywhere.query_all_raw(Statement::from_string(everywhere.get_database_backend(), sql));
        let rows = rows.await?;
        everywhere.rollback().await?;
        for row in rows {
            let tenant = TenantId::from_stored(row.try_get("", "tenant_id")?);
            let user: String = row.try_get("", "user_id")?;
            let until = Instant::now() + LINGER;
            // One that fails must not keep the others: it is tried again the next time.
            if let Err(error) = self.erase_from_usage(&tenant, &user, until).await {
                tracing::warn!(%error, %tenant, "a deleted user could not be erased from usage yet");
            }
        }
        Ok(())
    }

    /// One piece of that; whether there may be more.
    async fn erase_piece(&self, tenant: &TenantId, user: &str) -> Result<bool, Error> {
        let tx = self.begin_bookkeeping(tenant).await?;
        let asked = "SELECT create_time FROM usage_erasures WHERE tenant_id = $1 AND user_id = $2";
        let values: [Value; 2] = [tenant.as_str().into(), user.into()];
        let asked = Statement::from_sql_and_values(tx.get_database_backend(), asked, values.clone());
        let Some(row) = tx.query_one_raw(asked).await? else { return Ok(false) };
        let marked = Timestamp::from_micros(row.try_get("", "create_time")?);
        // A user of the same name who came since has connections that are not deleted.
        let sql = format!(
            "UPDATE usage_connections SET owner_user = '{ERASED}' WHERE tenant_id = $1 AND owner_user = $2
             AND connection_id NOT IN (SELECT id FROM connections
                WHERE tenant_id = $1 AND owner_user = $2 AND delete_time IS NULL)"
        );
        execute(&tx, &sql, values.clone()).await?;
        let piece = Piece { store: self, tx: &tx, tenant, user, until: Day::of(marked) };
        let erased = piece.of_days().await? + piece.of_users().await?;
        if erased == 0 && marked < self.now().before(LINGER) {
            execute(&tx, "DELETE FROM usage_erasures WHERE tenant_id = $1 AND user_id = $2", values).await?;
        }
        tx.commit().await?;
        Ok(erased > 0)
    }
}

/// A piece of a user's rows, until the day of the deletion.
struct Piece<'a> {
    store: &'a Store,
    tx: &'a DatabaseTransaction,
    tenant: &'a TenantId,
    user: &'a str,
    until: Day,
}

impl Piece<'_> {
    /// Takes rows out, a piece at most.
    async fn take(&self, table: &str, columns: &str) -> Result<Vec<QueryResult>, DbErr> {
        let rows = piece(self.store.database(), table, "tenant_id = $1 AND user_id = $2 AND day <= $3");
        let sql = format!("DELETE FROM {table} WHERE {rows} RETURNING {columns}, {COUNTS}");
        let values = [self.tenant.as_str().into(), self.user.into(), self.until.number().into()];
        let taken = Statement::from_sql_and_values(self.tx.get_database_backend(), sql, values);
        self.tx.query_all_raw(taken).await
    }

    /// Adds rows by connection to those of calls without a user.
    async fn of_days(&self) -> Result<usize, DbErr> {
        let taken = self.take("usage_days", "connection_id, day, endpoint, service").await?;
        let row = |row: &QueryResult| {
            let key = UsageKey {
                connection: credvault_domain::ConnectionId::from_uuid(row.try_get("", "connection_id")?),
                day: Day::from_number(row.try_get("", "day")?),
                endpoint: text(row, "endpoint")?,
                service: text(row, "service")?,
                user: "".into(),
            };
            Ok((key, counts(row)?))
        };
        let mut rows = taken.iter().map(row).collect::<Result<Vec<_>, DbErr>>()?;
        rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        add_days(self.tx, self.store.database(), self.tenant, &rows).await?;
        Ok(taken.len())
    }

    /// Adds rows without connection to those of calls without a user.
    async fn of_users(&self) -> Result<usize, DbErr> {
        let taken = self.take("usage_users", "day, provider, endpoint, service, shared, shard").await?;
        let row = |row: &QueryResult| {
            let coarse = Coarse {
                day: row.try_get("", "day")?,
                provider: text(row, "provider")?,
                endpoint: text(row, "endpoint")?,
                service: text(row, "service")?,
                shared: row.try_get("", "shared")?,
                shard: row.try_get("", "shard")?,
            };
            Ok((coarse, counts(row)?))
        };
        let mut rows = taken.iter().map(row).collect::<Result<Vec<_>, DbErr>>()?;
        rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        let rows = rows.into_iter().map(|(coarse, counts)| (("".into(), coarse), counts));
        add_users(self.tx, self.store.database(), self.tenant, rows).await?;
        Ok(taken.len())
    }
}

fn text(row: &QueryResult, column: &str) -> Result<Arc<str>, DbErr> {
    row.try_get::<String>("", column).map(Arc::from)
}

fn counts(row: &QueryResult) -> Result<UsageCounts, DbErr> {
    Ok(UsageCounts {
        calls: row.try_get("", "calls")?,
        errors: row.try_get("", "errors")?,
        rate_limit_hits: row.try_get("", "rate_limit_hits")?,
        fetches: row.try_get("", "fetches")?,
        refreshes: row.try_get("", "refreshes")?,
    })
}
