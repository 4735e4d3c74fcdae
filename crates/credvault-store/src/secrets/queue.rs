//! The queue of connections whose secrets are to be looked at: which process is at them, and what nothing has queued.

use credvault_domain::{ConnectionId, TenantId, Timestamp};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _,
    QuerySelect as _, Statement,
};
use uuid::Uuid;

use super::Secrets;
use super::payloads::{look_at_all, without_record};
use crate::database::pieces::{PIECE as ROWS, execute};
use crate::entity::{payload_work, tenant};
use crate::{ConnectionKey, Error};

/// How long a process may be at a connection before another one takes it on.
const LEASE: std::time::Duration = std::time::Duration::from_secs(300);

impl Secrets<'_> {
    /// Notes once a minute whether other processes keep something in stores: where none does, no change of this process asks
    /// the database about them.
    ///
    /// # Errors
    /// The database fails.
    pub(super) async fn look_at_others(&self) -> Result<(), Error> {
        let known = self.store.known_payloads();
        if !known.is_look_due() {
            return Ok(());
        }
        let tx = self.store.read_background().await?;
        let sql = "SELECT 1 AS one WHERE EXISTS (SELECT 1 FROM tenants WHERE secret_store <> $1)
            OR EXISTS (SELECT 1 FROM external_payloads)";
        let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, [super::DATABASE.into()]);
        known.note_others(tx.query_one_raw(asked).await?.is_some());
        Ok(tx.rollback().await?)
    }

    /// Queues connections that have something in a store which no record refers to, or a secret in the database that belongs
    /// into a store, and that nothing has queued: a replica without stores, or of an earlier release, may have left it. Gives
    /// how many those were.
    ///
    /// # Errors
    /// The database fails.
    pub async fn look_through(&self) -> Result<u64, Error> {
        Ok(self.queue_forgotten().await? + self.queue_misplaced().await?)
    }

    async fn queue_forgotten(&self) -> Result<u64, Error> {
        let forgotten = format!(
            "INSERT INTO payload_work (tenant_id, connection_id, due_time)
             SELECT DISTINCT p.tenant_id, p.connection_id, CAST($2 AS bigint) FROM external_payloads p
             WHERE p.tenant_id = $1 AND p.write_off_time IS NULL AND {}
                AND (p.reference IS NULL OR p.reference <> '' OR NOT EXISTS (SELECT 1 FROM connections c
                    WHERE c.tenant_id = p.tenant_id AND c.id = p.connection_id))
                AND NOT EXISTS (SELECT 1 FROM payload_work w
                    WHERE w.tenant_id = p.tenant_id AND w.connection_id = p.connection_id)
             LIMIT {ROWS} ON CONFLICT (tenant_id, connection_id) DO NOTHING",
            without_record()
        );
        let (now, mut queued) = (self.store.now().micros(), 0);
        for tenant in self.with_payloads().await? {
            loop {
                let tx = self.store.begin_bookkeeping(&tenant).await?;
                let rows = execute(&tx, &forgotten, [tenant.as_str().into(), now.into()]).await?;
                tx.commit().await?;
                queued += rows;
                if rows < ROWS {
                    break;
                }
            }
        }
        Ok(queued)
    }

    async fn queue_misplaced(&self) -> Result<u64, Error> {
        let mut queued = 0;
        for tenant in self.of_stores().await? {
            let mut after = Uuid::nil();
            loop {
                let tx = self.store.begin_bookkeeping(&tenant).await?;
                let connections = in_database(&tx, &tenant, after).await?;
                look_at_all(&tx, &tenant, &connections, self.store.now()).await?;
                tx.commit().await?;
                let found = u64::try_from(connections.len()).unwrap_or(u64::MAX);
                queued += found;
                match connections.last() {
                    Some(last) if found == ROWS => after = last.as_uuid(),
                    Some(_) | None => break,
                }
            }
        }
        Ok(queued)
    }

    /// The tenants that have chosen a store which this process has. Those that follow the settings are left out: a setting is
    /// for new secrets, and an operator moves the others.
    async fn of_stores(&self) -> Result<Vec<TenantId>, Error> {
        let tx = self.store.read_background().await?;
        let columns = [tenant::Column::TenantId, tenant::Column::SecretStore];
        let rows: Vec<(String, Option<String>)> =
            tenant::Entity::find().select_only().columns(columns).into_tuple().all(&tx).await?;
        tx.rollback().await?;
        let has = |chosen: &Option<String>| {
            chosen.as_deref().is_some_and(|name| self.store.secret_store(name).is_ok())
        };
        let of_stores = rows.into_iter().filter(|(_, chosen)| has(chosen));
        Ok(of_stores.map(|(tenant, _)| TenantId::from_stored(tenant)).collect())
    }

    /// The tenants that have payloads in external stores.
    async fn with_payloads(&self) -> Result<Vec<TenantId>, Error> {
        let tx = self.store.read_background().await?;
        let sql = "SELECT DISTINCT tenant_id FROM external_payloads";
        let rows = tx.query_all_raw(Statement::from_string(tx.get_database_backend(), sql)).await?;
        rows.iter().map(|row| Ok(TenantId::from_stored(row.try_get("", "tenant_id")?))).collect()
    }

    /// Takes a connection on, unless another process has it. Gives how often it was queued by then. If this process is
    /// killed, the connection is due again when the lease is over.
    pub(super) async fn claim(&self, key: &ConnectionKey) -> Result<Option<i64>, Error> {
        use payload_work::{Column, Entity};
        let tx = self.store.begin_bookkeeping(&key.tenant).await?;
        let now = Timestamp::from_micros(self.store.database_time(&tx).await?);
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

/// The next connections with a secret in the database that nothing has queued, in the order of their ids.
async fn in_database(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    after: Uuid,
) -> Result<Vec<ConnectionId>, Error> {
    let has = |table: &str, secret: &str| {
        format!(
            "EXISTS (SELECT 1 FROM {table} r
                WHERE r.tenant_id = c.tenant_id AND r.connection_id = c.id AND r.payload IS NULL {secret})"
        )
    };
    let sql = format!(
        "SELECT c.id FROM connections c WHERE c.tenant_id = $1 AND c.id > $2 AND ({} OR {} OR {})
            AND NOT EXISTS (SELECT 1 FROM payload_work w WHERE w.tenant_id = c.tenant_id AND w.connection_id = c.id)
         ORDER BY c.id LIMIT {ROWS}",
        // An adopted one has a store and no payload.
        has("credential_versions", "AND r.sealed IS NOT NULL AND r.store IS NULL"),
        has("tokens", ""),
        has("revocations", ""),
    );
    let values = [tenant.as_str().into(), after.into()];
    let rows =
        tx.query_all_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await?;
    rows.iter().map(|row| Ok(ConnectionId::from_uuid(row.try_get("", "id")?))).collect()
}
