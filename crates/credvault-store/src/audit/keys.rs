//! The audit keys of tenants: read, opened, and made when a tenant has none of its newest key.

use std::collections::BTreeMap;
use std::sync::Arc;

use credvault_crypto::{AuditKey, Context, TenantKey};
use credvault_domain::TenantId;
use sea_orm::{ConnectionTrait, DatabaseTransaction, Statement};

use crate::database::pieces::execute;
use crate::database::tenant_keys::TenantKeys;
use crate::database::transaction::Access;
use crate::integrity::alarm;
use crate::{Error, Store};

/// The audit keys of one tenant by their numbers; none where a key does not open.
pub(super) type AuditKeys = BTreeMap<i64, Option<Arc<AuditKey>>>;

/// The audit keys of a tenant, in a transaction of it.
pub(super) async fn audit_keys<C: ConnectionTrait>(
    db: &C,
    tenant: &TenantId,
    keys: &TenantKeys,
) -> Result<AuditKeys, Error> {
    let sql = "SELECT number, key_version, sealed FROM audit_keys WHERE tenant_id = $1";
    let asked = Statement::from_sql_and_values(db.get_database_backend(), sql, [tenant.as_str().into()]);
    let mut found = AuditKeys::new();
    for row in db.query_all_raw(asked).await? {
        let number: i64 = row.try_get("", "number")?;
        let sealed: Vec<u8> = row.try_get("", "sealed")?;
        let context = Context::audit_key(tenant, number);
        let key = keys.version(row.try_get("", "key_version")?);
        let opened = key.and_then(|key| AuditKey::open_under(key, &context, &sealed).ok());
        if opened.is_none() {
            alarm(tenant, context.what(), context.record());
        }
        found.insert(number, opened.map(Arc::new));
    }
    Ok(found)
}

/// The number of the audit key that new records are sealed under: that of the tenant's newest key.
pub(super) fn newest_number(keys: &TenantKeys) -> i64 {
    i64::from(keys.newest().version())
}

impl Store {
    /// Makes the audit key of the tenant's newest key, unless there is one.
    ///
    /// # Errors
    /// The tenant does not exist, its key does not unwrap, or the database fails.
    pub(super) async fn make_audit_key(&self, tenant: &TenantId) -> Result<(), Error> {
        let (tx, keys, _) = self.begin_with_keys(&self.writer(), Access::Write, tenant).await?;
        self.insert_audit_key(&tx, tenant, keys.newest()).await?;
        Ok(tx.commit().await?)
    }

    /// Inserts a new audit key of a tenant's newest key, unless it has one, in a transaction of this tenant.
    ///
    /// # Errors
    /// There is no randomness, or the database fails.
    pub(crate) async fn insert_audit_key(
        &self,
        tx: &DatabaseTransaction,
        tenant: &TenantId,
        newest: &TenantKey,
    ) -> Result<(), Error> {
        let (random, number) = (self.keyring().random(), i64::from(newest.version()));
        let key = AuditKey::generate(random)?;
        let sealed = key.sealed_under(newest, &Context::audit_key(tenant, number), random)?;
        let sql = "INSERT INTO audit_keys (tenant_id, number, key_version, sealed, create_time)
            VALUES ($1, $2, $2, $3, $4) ON CONFLICT (tenant_id, number) DO NOTHING";
        let values = [tenant.as_str().into(), number.into(), sealed.into(), self.now().micros().into()];
        execute(tx, sql, values).await?;
        Ok(())
    }

    /// Opens the platform's audit keys for the journal, and makes one of its newest key if there is none.
    ///
    /// # Errors
    /// The platform's key does not unwrap, its newest audit key does not open, or the database fails.
    pub(crate) async fn open_journal_key(&self) -> Result<(), Error> {
        let platform = TenantId::platform();
        let mut keys = self.platform_audit_keys(&platform).await?;
        if !keys.0.contains_key(&keys.1) {
            self.make_audit_key(&platform).await?;
            keys = self.platform_audit_keys(&platform).await?;
        }
        let (all, newest) = keys;
        if !matches!(all.get(&newest), Some(Some(_))) {
            return Err(Error::Integrity);
        }
        self.journal_keys().add(all.into_iter().filter_map(|(number, key)| Some((number, key?))));
        Ok(())
    }

    async fn platform_audit_keys(&self, platform: &TenantId) -> Result<(AuditKeys, i64), Error> {
        let (tx, keys, _) = self.begin_with_keys(&self.reader(), Access::Read, platform).await?;
        let found = audit_keys(&tx, platform, &keys).await?;
        tx.rollback().await?;
        Ok((found, newest_number(&keys)))
    }
}
