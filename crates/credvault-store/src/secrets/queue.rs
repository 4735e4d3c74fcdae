//! The queue of connections whose secrets are to be looked at: which are due, and which process is at them.

use credvault_domain::{ConnectionId, TenantId, Timestamp};
use sea_orm::{ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, QueryFilter as _, Statement};

use super::Secrets;
use crate::database::pieces::execute;
use crate::entity::payload_work;
use crate::{ConnectionKey, Error};

/// How long a process may be at a connection before another one takes it on.
const LEASE: std::time::Duration = std::time::Duration::from_secs(300);
/// The most connections that are looked at in one go.
const PIECE: u64 = 64;

impl Secrets<'_> {
    /// The connections that are due, the longest waiting first.
    pub(super) async fn due(&self) -> Result<Vec<ConnectionKey>, Error> {
        let tx = self.store.read_background().await?;
        let sql = "SELECT tenant_id, connection_id FROM payload_work
            WHERE due_time <= $1 AND (lease_time IS NULL OR lease_time < $1) ORDER BY due_time LIMIT $2";
        let values = [self.store.now().micros().into(), i64::try_from(PIECE).unwrap_or(i64::MAX).into()];
        let rows =
            tx.query_all_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await?;
        let read = |row: &sea_orm::QueryResult| {
            let connection = ConnectionId::from_uuid(row.try_get("", "connection_id")?);
            Ok(ConnectionKey { tenant: TenantId::from_stored(row.try_get("", "tenant_id")?), connection })
        };
        rows.iter().map(read).collect()
    }

    /// Takes a connection on, unless another process has it. Gives how often it was queued by then. If this process is
    /// killed, the connection is due again when the lease is over.
    pub(super) async fn claim(&self, key: &ConnectionKey) -> Result<Option<i64>, Error> {
        use payload_work::{Column, Entity};
        let tx = self.store.begin_bookkeeping(&key.tenant).await?;
        let now = self.store.now();
        let sql = "UPDATE payload_work SET lease_time = $3
            WHERE tenant_id = $1 AND connection_id = $2 AND (lease_time IS NULL OR lease_time < $4)";
        let (tenant, connection) = (key.tenant.as_str(), key.connection.as_uuid());
        let values =
            [tenant.into(), connection.into(), now.after(LEASE).micros().into(), now.micros().into()];
        if execute(&tx, sql, values).await? == 0 {
            return Ok(None);
        }
        let row = Entity::find()
            .filter(Column::TenantId.eq(tenant))
            .filter(Column::ConnectionId.eq(connection))
            .one(&tx)
            .await?;
        tx.commit().await?;
        Ok(row.map(|row| row.times))
    }

    /// Takes a connection from the queue, or has it looked at later. If it was queued anew since it was taken on, it stays.
    pub(super) async fn release(
        &self,
        key: &ConnectionKey,
        times: i64,
        later: Option<Timestamp>,
    ) -> Result<(), Error> {
        let tx = self.store.begin_bookkeeping(&key.tenant).await?;
        let (tenant, connection) = (key.tenant.as_str(), key.connection.as_uuid());
        match later {
            Some(later) => {
                let rests = "UPDATE payload_work SET due_time = $4
                    WHERE tenant_id = $1 AND connection_id = $2 AND times = $3";
                let values = [tenant.into(), connection.into(), times.into(), later.micros().into()];
                execute(&tx, rests, values).await?;
            }
            None => {
                let ended =
                    "DELETE FROM payload_work WHERE tenant_id = $1 AND connection_id = $2 AND times = $3";
                execute(&tx, ended, [tenant.into(), connection.into(), times.into()]).await?;
            }
        }
        let free = "UPDATE payload_work SET lease_time = NULL WHERE tenant_id = $1 AND connection_id = $2";
        execute(&tx, free, [tenant.into(), connection.into()]).await?;
        Ok(tx.commit().await?)
    }
}
