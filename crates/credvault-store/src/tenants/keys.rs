//! What is known of keys, without any key.

use credvault_domain::{TenantId, TenantScope, Timestamp};
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, Query};
use sea_orm::{ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _};

use crate::entity::{credential_version, tenant_key};
use crate::{Error, Store};

/// The root key that a database was prepared with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RootStatus {
    /// Its id, computed from it.
    pub id: u32,
    /// Where it comes from: `file`, `environment`, `passphrase`.
    pub source: &'static str,
}

/// One version of a tenant's key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TenantKeyStatus {
    /// The number of the key.
    pub version: i64,
    /// Whether new credentials are sealed under it.
    pub active: bool,
    /// The root key that wraps it.
    pub root_id: u32,
    /// When it was made.
    pub create_time: Timestamp,
    /// How many credential versions are sealed under it.
    pub sealed_credentials: i64,
}

/// The keys that guard a tenant's, or the platform's own, credentials.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyStatus {
    /// The root key that wraps the tenant's keys.
    pub root: RootStatus,
    /// The tenant's keys, newest first.
    pub keys: Vec<TenantKeyStatus>,
}

/// The repository of keys.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    pub(crate) store: &'a Store,
}

impl Store {
    /// The repository of keys.
    pub fn keys(&self) -> Keys<'_> {
        Keys { store: self }
    }
}

impl Keys<'_> {
    /// The keys of a scope.
    ///
    /// # Errors
    /// The tenant does not exist, or the database fails.
    pub async fn status(&self, scope: &TenantScope) -> Result<KeyStatus, Error> {
        let reading = self.store.read_any(scope.tenant()).await?;
        let tenant: &TenantId = scope.tenant();
        let keys = tenant_key::Entity::find()
            .filter(tenant_key::Column::TenantId.eq(tenant.as_str()))
            .order_by_desc(tenant_key::Column::Version)
            .all(&reading.tx)
            .await?;
        let mut counts = Query::select();
        counts
            .from(credential_version::Entity)
            .column(credential_version::Column::KeyVersion)
            .expr_as(Expr::col(credential_version::Column::Version).count(), Alias::new("sealed"))
            .and_where(credential_version::Column::TenantId.eq(tenant.as_str()))
            .and_where(credential_version::Column::Sealed.is_not_null())
            .add_group_by([Expr::col(credential_version::Column::KeyVersion)]);
        let mut sealed = std::collections::BTreeMap::new();
        for row in reading.tx.query_all(&counts).await? {
            sealed.insert(row.try_get::<i64>("", "key_version")?, row.try_get::<i64>("", "sealed")?);
        }
        let newest = keys.first().map(|key| key.version);
        let status = |key: tenant_key::Model| {
            Ok(TenantKeyStatus {
                version: key.version,
                active: Some(key.version) == newest,
                root_id: u32::try_from(key.root_id).map_err(|_| Error::Integrity)?,
                create_time: Timestamp::from_micros(key.create_time),
                sealed_credentials: sealed.get(&key.version).copied().unwrap_or(0),
            })
        };
        let keys = keys.into_iter().map(status).collect::<Result<Vec<_>, Error>>()?;
        let root = RootStatus { id: self.store.keyring().root().id(), source: self.store.root_source() };
        Ok(KeyStatus { root, keys })
    }
}
