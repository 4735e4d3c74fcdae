//! Which replicas have which root keys, so that none is made the active one before all have it; and which one is active, as
//! this process knows it.

use std::time::Duration;

use credvault_domain::TenantId;
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, EntityTrait as _, Statement};

use super::Keys;
use crate::Error;
use crate::database::pieces::execute;
use crate::database::roots::{RootState, root_id};
use crate::entity::root_key::Entity;

/// How long after its last word a process counts as one that serves.
const SILENCE: Duration = Duration::from_secs(30);

impl Keys<'_> {
    /// Says which root keys this process has, and learns which one is active and which ones there are. Every process does so
    /// every few seconds.
    ///
    /// # Errors
    /// The database fails, or the active root key is not one of this process.
    pub async fn keep_up(&self) -> Result<(), Error> {
        let rows = Entity::find().all(&self.store.reader()).await?;
        let keyring = self.store.keyring();
        for row in &rows {
            keyring.register(root_id(row)?, &row.kind);
        }
        let tx = self.store.begin_bookkeeping(&TenantId::platform()).await?;
        let now = self.store.database_time(&tx).await?;
        let ids: Vec<u32> = keyring.roots().map(credvault_crypto::RootKey::id).collect();
        let sql = "INSERT INTO root_key_holders (process_id, root_ids, time) VALUES ($1, $2, $3)
            ON CONFLICT (process_id) DO UPDATE SET root_ids = excluded.root_ids, time = excluded.time";
        execute(&tx, sql, [self.store.process().into(), serde_json::json!(ids).into(), now.into()]).await?;
        let gone = now - 10 * i64::try_from(SILENCE.as_micros()).unwrap_or(i64::MAX);
        execute(&tx, "DELETE FROM root_key_holders WHERE time < $1", [gone.into()]).await?;
        tx.commit().await?;
        match rows.iter().find(|row| row.state == RootState::Active.as_str()) {
            Some(active) => Ok(keyring.activate(root_id(active)?)?),
            None => Err(Error::Integrity),
        }
    }

    /// How many processes serve without this root key.
    pub(crate) async fn without(&self, tx: &DatabaseTransaction, root: u32) -> Result<usize, Error> {
        let since =
            self.store.database_time(tx).await? - i64::try_from(SILENCE.as_micros()).unwrap_or(i64::MAX);
        let sql = "SELECT root_ids FROM root_key_holders WHERE time >= $1 AND process_id <> $2";
        let values = [since.into(), self.store.process().into()];
        let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
        let mut without = 0;
        for row in tx.query_all_raw(asked).await? {
            let ids: serde_json::Value = row.try_get("", "root_ids")?;
            let has = ids.as_array().is_some_and(|ids| ids.iter().any(|id| id.as_u64() == Some(root.into())));
            without += usize::from(!has);
        }
        Ok(without)
    }
}
