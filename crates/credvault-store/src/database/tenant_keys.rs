//! The unwrapped keys of one tenant.
//!
//! What unwraps a key may be a key manager on the network, so no transaction is open meanwhile: a transaction that finds a
//! key which this process does not remember ends, the key is unwrapped, and the transaction begins anew.

use std::sync::Arc;
use std::time::Duration;

use credvault_crypto::TenantKey;
use credvault_domain::{TenantId, TenantState};
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, Statement};

use crate::database::erased::is_erased;
use crate::database::newest_keys::FIRST_KEY;
use crate::database::transaction::{Access, begin, begin_sharing};
use crate::integrity::alarm;
use crate::{Error, Store};

/// How often a transaction begins anew because the tenant's keys have changed meanwhile.
const ATTEMPTS: u32 = 8;
/// The pause while a rotation leaves a key.
const LEAVING: Duration = Duration::from_millis(5);

/// The keys of a tenant that this process can use, the newest first. There is at least one.
#[derive(Clone, Debug)]
pub(crate) struct TenantKeys {
    newest: Arc<TenantKey>,
    older: Vec<Arc<TenantKey>>,
}

impl TenantKeys {
    /// The key that new values are sealed under.
    pub(crate) fn newest(&self) -> &Arc<TenantKey> {
        &self.newest
    }

    /// The keys of a tenant that was created just now.
    pub(crate) fn of_new_tenant(key: Arc<TenantKey>) -> Self {
        Self { newest: key, older: Vec::new() }
    }

    /// All keys, the newest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &TenantKey> {
        std::iter::once(&self.newest).chain(&self.older).map(Arc::as_ref)
    }

    /// The key of a version, as a row names it. `None` if the tenant has no such key, or it does not unwrap.
    pub(crate) fn version(&self, version: i64) -> Option<&TenantKey> {
        self.all().find(|key| i64::from(key.version()) == version)
    }
}

/// What a tenant's row says, which every transaction with its keys reads.
pub(crate) struct TenantRow {
    pub(crate) state: TenantState,
    /// The secret store that the tenant has chosen; none if it has not.
    pub(crate) secret_store: Option<String>,
}

/// A tenant's row and its keys as they are stored, the newest first.
struct StoredKeys {
    tenant: TenantRow,
    wrapped: Vec<(u32, Vec<u8>)>,
}

impl StoredKeys {
    /// The version of the newest.
    fn newest(&self) -> u32 {
        self.wrapped.first().map_or(FIRST_KEY, |(version, _)| *version)
    }
}

impl Store {
    /// Begins a transaction and reads the tenant's state and keys in it. It shares the newest key, so that no row which it
    /// reads is sealed under a newer one, and no row that it writes is overlooked by a rotation.
    pub(crate) async fn begin_with_keys(
        &self,
        db: &DatabaseConnection,
        access: Access,
        tenant: &TenantId,
    ) -> Result<(DatabaseTransaction, TenantKeys, TenantRow), Error> {
        let mut unwrapped = Vec::new();
        for _ in 0..ATTEMPTS {
            let newest = self.newest_keys().get(tenant);
            let Some(tx) = begin_sharing(db, self.database(), access, tenant, newest).await? else {
                // A rotation leaves the key that this process takes for the newest.
                self.newest_keys().learn(tenant, self.newest_stored(db, tenant).await?);
                tokio::time::sleep(LEAVING).await;
                continue;
            };
            let stored = stored_keys(&tx, tenant).await?;
            if stored.newest() != newest {
                self.newest_keys().learn(tenant, stored.newest());
                tx.rollback().await?;
                continue;
            }
            if let Some(keys) = self.remembered(tenant, &stored, &unwrapped) {
                return Ok((tx, keys, stored.tenant));
            }
            tx.rollback().await?;
            unwrapped = self.unwrap_all(tenant, stored).await?;
        }
        Err(Error::Conflict)
    }

    /// The version of the tenant's newest key.
    async fn newest_stored(&self, db: &DatabaseConnection, tenant: &TenantId) -> Result<u32, Error> {
        let tx = begin(db, self.database(), Access::Read, tenant).await?;
        let stored = stored_keys(&tx, tenant).await?;
        tx.rollback().await?;
        Ok(stored.newest())
    }

    /// The stored keys, if all of them are known without waiting.
    fn remembered(
        &self,
        tenant: &TenantId,
        stored: &StoredKeys,
        unwrapped: &[Unwrapped],
    ) -> Option<TenantKeys> {
        let mut keys = Vec::with_capacity(stored.wrapped.len());
        for (version, wrapped) in &stored.wrapped {
            match unwrapped.iter().find(|known| known.version == *version && known.wrapped == *wrapped) {
                Some(known) => keys.extend(known.key.clone()),
                None if !keys.is_empty() && self.broken_keys().has(tenant, *version, wrapped) => {}
                None => keys.push(self.keyring().remembered(tenant, *version, wrapped)?),
            }
        }
        let mut keys = keys.into_iter();
        Some(TenantKeys { newest: keys.next()?, older: keys.collect() })
    }

    /// Unwraps every key. An older one that does not unwrap is left out, and what is sealed under it does not open.
    async fn unwrap_all(&self, tenant: &TenantId, stored: StoredKeys) -> Result<Vec<Unwrapped>, Error> {
        let mut all = Vec::with_capacity(stored.wrapped.len());
        for (version, wrapped) in stored.wrapped {
            let key = match self.keyring().unwrap(tenant, version, &wrapped).await {
                Ok(key) => Some(key),
                Err(credvault_crypto::Error::Integrity) => {
                    self.broken_keys().add(tenant, version, &wrapped);
                    alarm(tenant, "tenant_key", [0; 16]);
                    if all.is_empty() {
                        return Err(Error::Integrity);
                    }
                    None
                }
                Err(error) => return Err(error.into()),
            };
            all.push(Unwrapped { version, wrapped, key });
        }
        Ok(all)
    }
}

/// A key that was unwrapped for the transaction that begins next; none if it does not unwrap.
struct Unwrapped {
    version: u32,
    wrapped: Vec<u8>,
    key: Option<Arc<TenantKey>>,
}

/// The row of a tenant that exists, which takes no key.
pub(crate) async fn tenant_row<C: ConnectionTrait>(db: &C, tenant: &TenantId) -> Result<TenantRow, Error> {
    Ok(stored_keys(db, tenant).await?.tenant)
}

async fn stored_keys<C: ConnectionTrait>(db: &C, tenant: &TenantId) -> Result<StoredKeys, Error> {
    let sql = "SELECT t.state, t.secret_store, k.version, k.wrapped FROM tenants t
        LEFT JOIN tenant_keys k ON k.tenant_id = t.tenant_id
        WHERE t.tenant_id = $1 ORDER BY k.version DESC";
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, [tenant.as_str().into()]);
    let rows = db.query_all_raw(statement).await?;
    let first = rows.first().ok_or_else(|| Error::TenantNotFound(tenant.clone()))?;
    let state = TenantState::from_stored(&first.try_get::<String>("", "state")?).ok_or(Error::Integrity)?;
    if state == TenantState::Suspended && is_erased(db, tenant).await? {
        return Err(Error::TenantNotFound(tenant.clone()));
    }
    let mut wrapped = Vec::with_capacity(rows.len());
    for row in &rows {
        let version: i64 = row.try_get::<Option<i64>>("", "version")?.ok_or(Error::Integrity)?;
        let version = u32::try_from(version).map_err(|_| Error::Integrity)?;
        wrapped.push((version, row.try_get::<Option<Vec<u8>>>("", "wrapped")?.ok_or(Error::Integrity)?));
    }
    let secret_store = first.try_get("", "secret_store")?;
    Ok(StoredKeys { tenant: TenantRow { state, secret_store }, wrapped })
}
