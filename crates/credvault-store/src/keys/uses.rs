//! How often tenant keys seal. Each process counts in memory and adds its counts once a minute, so no sealed value updates
//! a row; a killed process loses the counts of a minute.

use credvault_crypto::KeyUse;
use credvault_domain::{TenantId, chain};
use sea_orm::{ConnectionTrait as _, Statement};

use super::Keys;
use crate::Error;
use crate::database::pieces::execute;

/// A tenant's newest key that has sealed as often as one may.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WornKey {
    /// The tenant of the key.
    pub tenant: TenantId,
    /// How often it has sealed.
    pub uses: i64,
}

impl Keys<'_> {
    /// Adds what this process has counted, and gives the newest keys that have sealed at least `most` times.
    ///
    /// What cannot be written is logged and lost.
    pub async fn write_uses(&self, most: u64) -> Vec<WornKey> {
        let mut worn = Vec::new();
        for counted in self.store.keyring().take_uses() {
            match self.write_use(counted, most).await {
                Ok(key) => worn.extend(key),
                // One tenant keeps no other from its turn.
                Err(error) => tracing::warn!(error = chain(&error), "the uses of a key could not be counted"),
            }
        }
        worn
    }

    async fn write_use(&self, counted: KeyUse, most: u64) -> Result<Option<WornKey>, Error> {
        let tx = self.store.begin_bookkeeping(&counted.tenant).await?;
        // The key may have been destroyed since.
        let sql = "INSERT INTO key_uses (tenant_id, version, uses)
                SELECT tenant_id, version, $3 FROM tenant_keys WHERE tenant_id = $1 AND version = $2
                ON CONFLICT (tenant_id, version) DO UPDATE SET uses = key_uses.uses + excluded.uses";
        let (tenant, version) = (counted.tenant.as_str().to_owned(), i64::from(counted.version));
        let uses = i64::try_from(counted.uses).unwrap_or(i64::MAX);
        execute(&tx, sql, [tenant.clone().into(), version.into(), uses.into()]).await?;
        let sql = "SELECT uses FROM key_uses WHERE tenant_id = $1
                AND version = (SELECT max(version) FROM tenant_keys WHERE tenant_id = $1)";
        let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, [tenant.into()]);
        let uses = match tx.query_one_raw(asked).await? {
            Some(row) => row.try_get::<i64>("", "uses")?,
            None => 0,
        };
        tx.commit().await?;
        let is_worn = most > 0 && u64::try_from(uses).is_ok_and(|uses| uses >= most);
        Ok(is_worn.then_some(WornKey { tenant: counted.tenant, uses }))
    }
}
