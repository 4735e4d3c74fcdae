//! What is known of keys, without any key.

use std::collections::BTreeMap;

use credvault_domain::{TenantScope, Timestamp};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, Statement,
};

use super::rotation::{self, Rotation, RotationKind};
use super::{Keys, reseal};
use crate::database::roots::{RootState, root_id};
use crate::entity::{root_key, tenant_key};
use crate::{Database, Error};

/// How many tenants are counted in one question.
const COUNTED: usize = 1_000;

/// A root key that the database knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RootStatus {
    /// Its id, computed from it.
    pub id: u32,
    /// Where it comes from: `file`, `environment`, `passphrase`, or the kind of key manager.
    pub source: String,
    /// The name of the key in its key manager; empty for others.
    pub name: String,
    /// What it is for the database.
    pub state: RootState,
    /// Whether this process has it.
    pub configured: bool,
    /// Its number among the root keys, in the order in which they became active.
    pub generation: i64,
    /// When the database got to know it.
    pub create_time: Timestamp,
    /// How many tenant keys it wraps; only where the platform's keys are asked for.
    pub wrapped_keys: Option<i64>,
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
    /// How many values of all kinds are sealed under it.
    pub sealed_records: i64,
    /// How often it has sealed, as far as replicas have said so.
    pub uses: i64,
}

/// The keys that guard a tenant's, or the platform's own, credentials.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyStatus {
    /// The root keys, the active one first.
    pub roots: Vec<RootStatus>,
    /// The tenant's keys, newest first.
    pub keys: Vec<TenantKeyStatus>,
    /// The latest rotation of the tenant's key.
    pub rotation: Option<Rotation>,
    /// The latest rotation of the root key; only where the platform's keys are asked for.
    pub root_rotation: Option<Rotation>,
}

impl Keys<'_> {
    /// The keys of a scope.
    ///
    /// # Errors
    /// The tenant does not exist, or the database fails.
    pub async fn status(&self, scope: &TenantScope) -> Result<KeyStatus, Error> {
        let tenant = scope.tenant();
        let wraps = if tenant.is_platform() { Some(self.count_wrapped().await?) } else { None };
        let tx = self.store.look(tenant).await?;
        let rows = root_key::Entity::find().order_by_desc(root_key::Column::Generation).all(&tx).await?;
        let root = |row: root_key::Model| {
            Ok(RootStatus {
                id: root_id(&row)?,
                state: RootState::of(&row)?,
                configured: self.store.keyring().root(root_id(&row)?).is_some(),
                wrapped_keys: wraps.as_ref().map(|wraps| wraps.get(&row.root_id).copied().unwrap_or(0)),
                source: row.kind,
                name: row.name,
                generation: row.generation,
                create_time: Timestamp::from_micros(row.create_time),
            })
        };
        let mut roots = rows.into_iter().map(root).collect::<Result<Vec<_>, Error>>()?;
        roots.sort_by_key(|root| root.state != RootState::Active);

        let keys = tenant_key::Entity::find()
            .filter(tenant_key::Column::TenantId.eq(tenant.as_str()))
            .order_by_desc(tenant_key::Column::Version)
            .all(&tx)
            .await?;
        let sealed = reseal::count_by_key(&tx, tenant).await?;
        let sql = "SELECT version, uses FROM key_uses WHERE tenant_id = $1";
        let values = [tenant.as_str().into()];
        let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
        let mut uses = BTreeMap::new();
        for row in tx.query_all_raw(asked).await? {
            uses.insert(row.try_get::<i64>("", "version")?, row.try_get::<i64>("", "uses")?);
        }
        let newest = keys.first().map(|key| key.version);
        let status = |key: tenant_key::Model| {
            Ok(TenantKeyStatus {
                version: key.version,
                active: Some(key.version) == newest,
                root_id: u32::try_from(key.root_id).map_err(|_| Error::Integrity)?,
                create_time: Timestamp::from_micros(key.create_time),
                sealed_credentials: sealed.get(&key.version).map_or(0, |under| under.credentials),
                sealed_records: sealed.get(&key.version).map_or(0, |under| under.records),
                uses: uses.get(&key.version).copied().unwrap_or(0),
            })
        };
        let keys = keys.into_iter().map(status).collect::<Result<Vec<_>, Error>>()?;
        let latest = async |kind: RotationKind| -> Result<Option<Rotation>, Error> {
            let key = (tenant.as_str().to_owned(), kind.as_str().to_owned());
            let row = crate::entity::rotation::Entity::find_by_id(key).one(&tx).await?;
            row.map(rotation::rotation).transpose()
        };
        Ok(KeyStatus {
            roots,
            keys,
            rotation: latest(RotationKind::Tenant).await?,
            root_rotation: latest(RotationKind::Root).await?,
        })
    }

    /// How many tenant keys each root key wraps. It asks for each tenant's own, so it takes a second for 100,000 tenants.
    pub(crate) async fn count_wrapped(&self) -> Result<BTreeMap<i64, i64>, Error> {
        let mut wraps = BTreeMap::new();
        let mut after = String::new();
        loop {
            let tenants = self.tenants_after(&after, COUNTED as u64).await?;
            let Some(last) = tenants.last() else { return Ok(wraps) };
            after.clone_from(last);
            let tx = self.store.begin_bookkeeping(&credvault_domain::TenantId::platform()).await?;
            let sql = match self.store.database() {
                Database::Postgres => {
                    "SELECT root_id, count(*) AS keys FROM keys_below($1::jsonb, $2) GROUP BY root_id"
                }
                Database::Sqlite => {
                    "SELECT root_id, count(*) AS keys FROM tenant_keys
                     WHERE tenant_id IN (SELECT value FROM json_each($1)) AND generation < $2 AND root_id <> 0
                     GROUP BY root_id"
                }
            };
            let values =
                [super::root_rotation::tenants_json(self.store.database(), &tenants), i64::MAX.into()];
            let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
            for row in tx.query_all_raw(asked).await? {
                *wraps.entry(row.try_get("", "root_id")?).or_insert(0) += row.try_get::<i64>("", "keys")?;
            }
            tx.rollback().await?;
        }
    }
}
