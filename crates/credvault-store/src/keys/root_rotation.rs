//! Rotating the root key: another root key, or a new version of the same one in its key manager, wraps every tenant's keys
//! anew. Records stay as they are, and calls go on: either root key unwraps meanwhile.

use credvault_crypto::{RootKey, WrappedKey};
use credvault_domain::{Action, AuditEvent, TenantId, TenantScope};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _,
    Statement,
};
use serde_json::{Value, json};

use super::Keys;
use super::activation::activate;
use super::rotation::{self, Claimed, NewRotation, Progress, Rotation, RotationKind};
use super::work::{Batch, batch_size};
use crate::change::retrying;
use crate::database::pieces::execute;
use crate::database::roots::{RootState, active_root, root_id};
use crate::entity;
use crate::entity::root_key::{Column, Entity, Model};
use crate::hex::hex;
use crate::integrity::alarm;
use crate::{Database, Error, Recorded, Write};

/// How many tenants a batch has.
const BATCH_TENANTS: u64 = 500;
/// The same where each key is three calls of a key manager: as many as are made at a time, so that a slow one takes no
/// longer than the process may be silent.
const MANAGED_BATCH_TENANTS: u64 = 8;
/// How many calls of a key manager are made at a time.
const MANAGED_CALLS: usize = 8;

/// How many keys a statement writes: a tenant may have several, and SQLite takes no more than 32,766 values.
const BATCH_KEYS: usize = 1000;

/// A request to rotate the root key.
#[derive(Clone, Copy, Debug)]
pub struct RootRotation {
    /// The root key to move to; the one of this process that does not wrap if none is named, and the one that wraps if
    /// that is the only one.
    pub target: Option<u32>,
    /// Whether the key manager makes a new version of the key first. Only for the root key that wraps already.
    pub new_version: bool,
    /// The most tenants a second; 0 for as many as go.
    pub records_per_second: u32,
}

/// A tenant's key to be wrapped anew.
pub(super) struct Due {
    tenant: TenantId,
    version: u32,
    wrapped: Vec<u8>,
}

/// Where a batch begins.
struct Position {
    /// Tenants are gone through until a pass finds nothing to do.
    pass: u32,
    /// How many keys this pass has replaced.
    wrote: u64,
    after: String,
}

impl Keys<'_> {
    /// Begins to rotate the root key. `platform` is the platform's own scope. From its end on, the new root key wraps.
    ///
    /// # Errors
    /// A rotation is in progress, the root key is not one of this process and of all others, or it does not work.
    pub async fn begin_root_rotation(
        &self,
        platform: &TenantScope,
        asked: RootRotation,
        write: &Write,
    ) -> Result<Recorded<Rotation>, Error> {
        let target = self.target(asked)?;
        // Nothing is asked of the key manager for a request that is refused or repeated.
        if !self.is_new(platform, asked, target, write).await? {
            return retrying(write, || self.try_begin_root(platform, target, &[], asked, write)).await;
        }
        // Before the transaction, and once for all attempts: each makes another version.
        if asked.new_version {
            self.add_version(target).await?;
        }
        let begin = async {
            let check_value = target.check_value(self.store.keyring().random()).await?;
            target.prove(&check_value).await?;
            retrying(write, || self.try_begin_root(platform, target, &check_value, asked, write)).await
        };
        let begun: Result<_, Error> = begin.await;
        if begun.is_err() && asked.new_version {
            self.let_version_go().await;
        }
        let begun = begun?;
        self.store.keyring().activate(target.id())?;
        Ok(begun)
    }

    /// Whether the request was not made before.
    ///
    /// # Errors
    /// A rotation is in progress. Or the target, which was not named, was in use before: the same request, made twice, must
    /// not lead back to where it came from.
    async fn is_new(
        &self,
        platform: &TenantScope,
        asked: RootRotation,
        target: &RootKey,
        write: &Write,
    ) -> Result<bool, Error> {
        let change = self.store.change(platform, write).await?;
        if change.prior().is_some() {
            return Ok(false);
        }
        rotation::must_be_over(&change.tx, platform.tenant(), RotationKind::Root).await?;
        let row = Entity::find().filter(Column::RootId.eq(i64::from(target.id()))).one(&change.tx).await?;
        // A root key of this process has no versions; but what a rotation has left under another one can be wrapped anew.
        let previous = Entity::find().filter(Column::State.eq(RootState::Previous.as_str()));
        let is_active = row.as_ref().is_some_and(|row| row.state == RootState::Active.as_str());
        if is_active && !target.is_managed() && previous.one(&change.tx).await?.is_none() {
            return Err(Error::NoOtherRootKey);
        }
        let was_left = row.is_some_and(|row| {
            [RootState::Previous, RootState::Retired].iter().any(|state| state.as_str() == row.state)
        });
        if asked.target.is_none() && was_left {
            return Err(Error::RootKeyWasLeft);
        }
        Ok(true)
    }

    /// The root key that is asked for.
    fn target(&self, asked: RootRotation) -> Result<&RootKey, Error> {
        let keyring = self.store.keyring();
        let active = keyring.active();
        let target = match asked.target {
            Some(id) => keyring.root(id).ok_or(Error::RootKeyUnknown)?,
            None => keyring.roots().find(|root| root.id() != active.id()).unwrap_or(active),
        };
        if target.id() != active.id() && asked.new_version {
            return Err(Error::State(
                "new_version is for the root key that wraps already; another root key is rotated to as it is",
            ));
        }
        Ok(target)
    }

    async fn try_begin_root(
        &self,
        platform: &TenantScope,
        target: &RootKey,
        check_value: &[u8],
        asked: RootRotation,
        write: &Write,
    ) -> Result<Recorded<Rotation>, Error> {
        let mut change = self.store.change(platform, write).await?;
        if change.prior().is_some() {
            let key = (platform.tenant().as_str().to_owned(), RotationKind::Root.as_str().to_owned());
            let row = entity::rotation::Entity::find_by_id(key).one(&change.tx).await?;
            return change.commit(rotation::rotation(row.ok_or(Error::Integrity)?)?).await;
        }
        let without = self.without(&change.tx, target.id()).await?;
        if without > 0 {
            return Err(Error::RootKeyNotEverywhere { without });
        }
        let (before, generation) = activate(&change.tx, target, check_value, change.now).await?;
        let moved =
            [format!("root_keys: {before:08x} -> {:08x}", target.id()), format!("generation: {generation}")];
        change.describe(moved.into_iter().chain(asked.new_version.then(|| "new_version".to_owned())));
        let new = NewRotation {
            kind: RotationKind::Root,
            target: generation,
            total: self.count_tenants(&change.tx).await?,
            records_per_second: asked.records_per_second,
            retire_time: None,
            now: change.now,
        };
        let begun = rotation::begin(&change.tx, platform.tenant(), &new).await?;
        change.commit(begun).await
    }

    async fn count_tenants(&self, tx: &DatabaseTransaction) -> Result<i64, Error> {
        crate::database::transaction::across_tenants(tx, self.store.database()).await?;
        let sql = "SELECT count(*) AS tenants FROM tenants";
        let row = tx.query_one_raw(Statement::from_string(tx.get_database_backend(), sql)).await?;
        Ok(row.ok_or(Error::Integrity)?.try_get("", "tenants")?)
    }

    /// Wraps the keys of some tenants anew.
    pub(crate) async fn rewrap_batch(&self, claimed: &mut Claimed) -> Result<Batch, Error> {
        let position = Position::parse(&claimed.row.position);
        let root = self.store.keyring().active();
        let most = if root.is_managed() { MANAGED_BATCH_TENANTS } else { BATCH_TENANTS };
        let size = batch_size(claimed, most);
        let tenants = self.tenants_after(&position.after, size).await?;
        let Some(last) = tenants.last().cloned() else { return self.end_of_pass(claimed, &position).await };
        let due = self.keys_below(&tenants, claimed.row.target).await?;
        let mut replaced = Vec::with_capacity(due.len());
        let mut failed = 0;
        let calls = if root.is_managed() { MANAGED_CALLS } else { 1 };
        let mut rewrapping = stream::iter(due).map(|due| self.rewrap(due)).buffer_unordered(calls);
        while let Some((due, anew)) = rewrapping.try_next().await? {
            match anew {
                Some(anew) => replaced.push((due, anew)),
                None => failed += 1,
            }
        }
        drop(rewrapping);
        let wrote = replaced.len() as u64;
        let first_pass = if position.pass == 1 { tenants.len() as i64 } else { 0 };
        let next = Position { wrote: position.wrote + wrote, after: last, ..position };
        let tx = self.store.begin_bookkeeping(&claimed.tenant).await?;
        let active = active_root(&tx).await?;
        let id = root_id(&active)?;
        let other = replaced.iter().any(|(_, anew)| anew.root_id != id);
        if active.generation != claimed.row.target || other {
            self.store.keyring().activate(id)?;
            return Err(Error::Conflict);
        }
        let (done, failed) = (claimed.row.done + first_pass, claimed.row.failed + failed);
        claimed.note(self.store, &tx, Progress { position: next.text(), done, failed }).await?;
        self.store_rewrapped(&tx, &replaced, &active).await?;
        tx.commit().await?;
        Ok(Batch::Written(tenants.len() as u64))
    }

    pub(crate) async fn tenants_after(&self, after: &str, limit: u64) -> Result<Vec<String>, Error> {
        let tx = self.store.read_background().await?;
        let sql = "SELECT tenant_id FROM tenants WHERE tenant_id > $1 ORDER BY tenant_id LIMIT $2";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let asked =
            Statement::from_sql_and_values(tx.get_database_backend(), sql, [after.into(), limit.into()]);
        let rows = tx.query_all_raw(asked).await?;
        rows.iter().map(|row| Ok(row.try_get("", "tenant_id")?)).collect()
    }

    /// The keys of these tenants that were wrapped in an earlier generation. Those of erased tenants have no root key.
    pub(super) async fn keys_below(&self, tenants: &[String], generation: i64) -> Result<Vec<Due>, Error> {
        let tx = self.store.begin_bookkeeping(&TenantId::platform()).await?;
        let sql = match self.store.database() {
            Database::Postgres => "SELECT tenant_id, version, wrapped FROM keys_below($1::jsonb, $2)",
            Database::Sqlite => {
                "SELECT tenant_id, version, wrapped FROM tenant_keys
                 WHERE tenant_id IN (SELECT value FROM json_each($1)) AND generation < $2 AND root_id <> 0"
            }
        };
        let values = [tenants_json(self.store.database(), tenants), generation.into()];
        let rows =
            tx.query_all_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await?;
        tx.rollback().await?;
        let due = |row: &sea_orm::QueryResult| {
            Ok(Due {
                tenant: TenantId::from_stored(row.try_get("", "tenant_id")?),
                version: u32::try_from(row.try_get::<i64>("", "version")?).map_err(|_| Error::Integrity)?,
                wrapped: row.try_get("", "wrapped")?,
            })
        };
        rows.iter().map(due).collect()
    }

    /// One key, wrapped anew; none if it does not unwrap.
    async fn rewrap(&self, due: Due) -> Result<(Due, Option<WrappedKey>), Error> {
        match self.store.keyring().rewrap(&due.tenant, due.version, &due.wrapped).await {
            Ok(anew) => Ok((due, Some(anew))),
            Err(credvault_crypto::Error::Integrity) => {
                alarm(&due.tenant, "tenant_key", [0; 16]);
                Ok((due, None))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn store_rewrapped(
        &self,
        tx: &DatabaseTransaction,
        replaced: &[(Due, WrappedKey)],
        active: &Model,
    ) -> Result<(), Error> {
        let (root, generation, now) = (active.root_id, active.generation, self.store.now().micros());
        match self.store.database() {
            Database::Postgres => {
                let row = |(due, anew): &(Due, WrappedKey)| {
                    json!({
                        "tenant": due.tenant.as_str(), "version": due.version,
                        "before": hex(&due.wrapped), "after": hex(&anew.bytes),
                    })
                };
                let rows = Value::Array(replaced.iter().map(row).collect());
                let sql = "SELECT rewrap_keys($1::jsonb, $2, $3, $4)";
                execute(tx, sql, [rows.into(), root.into(), generation.into(), now.into()]).await?;
            }
            Database::Sqlite => {
                for some in replaced.chunks(BATCH_KEYS) {
                    replace_in_sqlite(tx, some, active, now).await?;
                }
            }
        }
        Ok(())
    }

    /// Begins another pass, or ends the rotation if this one found nothing to do.
    async fn end_of_pass(&self, claimed: &mut Claimed, position: &Position) -> Result<Batch, Error> {
        let store = self.store;
        if position.pass == 1 || position.wrote > 0 {
            let next = Position { pass: position.pass + 1, wrote: 0, after: String::new() };
            let tx = store.begin_bookkeeping(&claimed.tenant).await?;
            let progress = Progress { position: next.text(), done: claimed.row.done, failed: 0 };
            claimed.note(store, &tx, progress).await?;
            tx.commit().await?;
            return Ok(Batch::Written(0));
        }
        // Counted by the root key itself: a replica of an earlier release tells no generation.
        let wraps = self.count_wrapped().await?;
        let mut change = store.own_change(&claimed.tenant).await?;
        claimed.end(&change.tx, change.now).await?;
        let left =
            Entity::find().filter(Column::State.eq(RootState::Previous.as_str())).all(&change.tx).await?;
        let mut changed = vec!["rotation.ended".to_owned(), format!("generation: {}", claimed.row.target)];
        for root in left.iter().filter(|root| !wraps.contains_key(&root.root_id)) {
            let sql = "UPDATE root_keys SET state = $1 WHERE root_id = $2";
            execute(&change.tx, sql, [RootState::Retired.as_str().into(), root.root_id.into()]).await?;
            changed.push(format!("root_keys/{:08x}.retired", root.root_id));
        }
        let record = store.own_event(&claimed.tenant, Action::RotateRootKey)?;
        change.record(AuditEvent { changed, ..record });
        let _ = change.commit(()).await?;
        tracing::info!(tenants = claimed.row.done, left = claimed.row.failed, "the root key was rotated");
        Ok(Batch::Ended)
    }
}

impl Position {
    fn parse(text: &str) -> Self {
        let mut parts = text.splitn(3, '/');
        let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok());
        let (pass, wrote) = (number().unwrap_or(1), number().unwrap_or(0));
        let after = parts.next().unwrap_or_default().to_owned();
        Self { pass: u32::try_from(pass).unwrap_or(u32::MAX), wrote, after }
    }

    fn text(&self) -> String {
        format!("{}/{}/{}", self.pass, self.wrote, self.after)
    }
}

/// Replaces wrapped keys that are still what they were, with a row in the change feed for each.
async fn replace_in_sqlite(
    tx: &DatabaseTransaction,
    replaced: &[(Due, WrappedKey)],
    active: &Model,
    now: i64,
) -> Result<(), Error> {
    let mut values = vec![active.root_id.into(), active.generation.into()];
    let mut tuples = Vec::with_capacity(replaced.len());
    for (due, anew) in replaced {
        let at = values.len();
        tuples.push(format!("(${}, ${}, ${}, ${})", at + 1, at + 2, at + 3, at + 4));
        let (tenant, version) = (due.tenant.as_str().into(), i64::from(due.version).into());
        values.extend([tenant, version, due.wrapped.clone().into(), anew.bytes.clone().into()]);
    }
    let sql = format!(
        "WITH u (tenant_id, version, before, after) AS (VALUES {})
         UPDATE tenant_keys AS k SET wrapped = u.after, root_id = $1, generation = $2 FROM u NOT INDEXED
         WHERE k.tenant_id = u.tenant_id AND k.version = u.version AND k.wrapped = u.before
         RETURNING tenant_id",
        tuples.join(", ")
    );
    let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    let tenant = |row: &sea_orm::QueryResult| row.try_get("", "tenant_id");
    let tenants = tx.query_all_raw(asked).await?.iter().map(tenant).collect::<Result<Vec<_>, _>>()?;
    let sql = "INSERT INTO changes (tenant_id, kind, time) SELECT value, 'UPDATED', $2 FROM json_each($1)";
    execute(tx, sql, [tenants_json(Database::Sqlite, &tenants), now.into()]).await?;
    Ok(())
}

/// A list of tenants as a parameter.
pub(crate) fn tenants_json(database: Database, tenants: &[String]) -> sea_orm::Value {
    match database {
        Database::Postgres => json!(tenants).into(),
        Database::Sqlite => json!(tenants).to_string().into(),
    }
}
