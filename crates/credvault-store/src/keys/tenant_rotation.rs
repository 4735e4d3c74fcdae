//! Rotating a tenant's key: a new version seals from the first moment on, what older versions have sealed is sealed anew in
//! the background, and the older versions are destroyed when backups of their time are no longer kept.

use std::time::Duration;

use credvault_crypto::WrappedKey;
use credvault_domain::{Action, AuditEvent, TenantId, TenantScope, Timestamp, chain};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait as _, ConnectionTrait as _, DatabaseTransaction, EntityTrait as _, QuerySelect as _,
    Statement,
};

use super::Keys;
use super::reseal::{self, Cursor};
use super::rotation::{self, Claimed, NewRotation, Progress, Rotation, RotationKind};
use super::work::{Batch, batch_size};
use crate::change::feed::{ChangeKind, ChangeSubject};
use crate::change::{Change, retrying};
use crate::database::erased::is_erased;
use crate::database::pieces::execute;
use crate::database::transaction::await_sharers;
use crate::entity::rotation::Entity;
use crate::entity::{tenant, tenant_key};
use crate::error::{still_referenced, violates};
use crate::{Error, Recorded, Write};

/// When it is tried again to destroy a key that something is still under.
const RETRY: Duration = Duration::from_secs(3600);

/// How a tenant's key is rotated.
#[derive(Clone, Copy, Debug)]
pub struct TenantRotation {
    /// The most records a second; 0 for as many as go.
    pub records_per_second: u32,
    /// How long after the rotation's beginning the keys that it replaces are kept, for backups of that time.
    pub retire_after: Duration,
}

/// A key that was made for a tenant and is not stored yet.
struct NextKey {
    /// The version of the tenant's newest key, which it follows.
    newest: u32,
    wrapped: WrappedKey,
    /// The generation of root keys before it was wrapped.
    before: i64,
}

impl Keys<'_> {
    /// Begins to rotate the key of the scope's tenant, or the platform's own. From its end on, new values are sealed under
    /// the new key.
    ///
    /// # Errors
    /// A rotation is in progress, or the root key does not wrap.
    pub async fn begin_tenant_rotation(
        &self,
        scope: &TenantScope,
        how: TenantRotation,
        write: &Write,
    ) -> Result<Recorded<Rotation>, Error> {
        retrying(write, || async move {
            // No key is made for a request that is repeated or refused: a key manager may have to wrap it.
            let (change, _) = self.store.change_any(scope, write).await?;
            if change.prior().is_some() {
                return begun_before(change).await;
            }
            rotation::must_be_over(&change.tx, scope.tenant(), RotationKind::Tenant).await?;
            change.tx.rollback().await?;
            let next = self.next_key(scope.tenant()).await?;
            let (mut change, _) = self.store.change_any(scope, write).await?;
            if change.prior().is_some() {
                return begun_before(change).await;
            }
            let begun = self.begin_in(&mut change, next, how).await?;
            change.describe(in_words(begun.target, how));
            change.commit(begun).await
        })
        .await
    }

    /// Begins to rotate the keys of up to 100 tenants that are older than `age`, and tells how many those were.
    ///
    /// # Errors
    /// The database fails.
    pub async fn rotate_aged(&self, age: Duration, how: TenantRotation) -> Result<usize, Error> {
        let tx = self.store.read_background().await?;
        // In any order: those whose rotation cannot begin must not keep others from theirs.
        let sql = "SELECT t.tenant_id FROM tenants t
            LEFT JOIN rotations r ON r.tenant_id = t.tenant_id AND r.kind = 'TENANT'
            WHERE COALESCE(r.begin_time, t.create_time) < $1 AND NOT COALESCE(r.running, FALSE)
                AND NOT EXISTS (SELECT 1 FROM erasures e WHERE e.tenant_id = t.tenant_id)
            ORDER BY random() LIMIT 100";
        let before = self.store.now().before(age).micros();
        let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, [before.into()]);
        let rows = tx.query_all_raw(asked).await?;
        tx.rollback().await?;
        for row in &rows {
            self.rotate_by_itself(&TenantId::from_stored(row.try_get("", "tenant_id")?), how).await;
        }
        Ok(rows.len())
    }

    /// Begins to rotate the key of a tenant because the vault's own rules say so. What fails is logged, and tried again the
    /// next time.
    pub async fn rotate_by_itself(&self, tenant: &TenantId, how: TenantRotation) {
        let beginning = async {
            let next = self.next_key(tenant).await?;
            let (mut change, _) = self.store.own_sealing_change(tenant).await?;
            let begun = self.begin_in(&mut change, next, how).await?;
            let record = self.store.own_event(tenant, Action::RotateTenantKey)?;
            change.record(AuditEvent { changed: in_words(begun.target, how), ..record });
            change.commit(()).await
        };
        match beginning.await {
            // Another replica has begun it, or the tenant was erased meanwhile.
            Ok(_) | Err(Error::RotationRunning | Error::Conflict | Error::TenantNotFound(_)) => {}
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    "the rotation of a tenant's key could not begin; it is tried again"
                );
            }
        }
    }

    /// The tenant's next key, before the transaction.
    async fn next_key(&self, tenant: &TenantId) -> Result<NextKey, Error> {
        let before = self.generation().await?;
        let newest = self.store.read_any(tenant).await?.keys.newest().version();
        let next = newest.checked_add(1).ok_or(Error::State("the tenant has no further key version"))?;
        let wrapped = self.store.keyring().generate(tenant, next).await?;
        self.store.keyring().unwrap(tenant, next, &wrapped.bytes).await?;
        Ok(NextKey { newest, wrapped, before })
    }

    async fn begin_in(
        &self,
        change: &mut Change<'_>,
        NextKey { newest, wrapped, before }: NextKey,
        how: TenantRotation,
    ) -> Result<Rotation, Error> {
        if change.key()?.version() != newest {
            return Err(Error::Conflict);
        }
        let (tenant, target, now) = (change.tenant().clone(), i64::from(newest) + 1, change.now);
        // An erasure destroys the keys that there are, and none may come after it.
        tenant::Entity::find_by_id(tenant.as_str()).lock_shared().one(&change.tx).await?;
        if is_erased(&change.tx, &tenant).await? {
            return Err(Error::TenantNotFound(tenant));
        }
        let new = NewRotation {
            kind: RotationKind::Tenant,
            target,
            total: reseal::count_below(&change.tx, &tenant, target).await?,
            records_per_second: how.records_per_second,
            retire_time: self.retire(&change.tx, &tenant, now.after(how.retire_after)).await?,
            now,
        };
        let begun = rotation::begin(&change.tx, &tenant, &new).await?;
        let key = tenant_key::ActiveModel {
            tenant_id: Set(tenant.as_str().to_owned()),
            version: Set(target),
            root_id: Set(i64::from(wrapped.root_id)),
            generation: Set(self.generation_of(&change.tx, wrapped.root_id, before).await?),
            wrapped: Set(wrapped.bytes),
            create_time: Set(now.micros()),
            retire_time: Set(None),
        };
        match key.insert(&change.tx).await {
            // Another replica begins the same at this moment.
            Err(error) if violates(&error, "tenant_keys_pkey", "tenant_keys.tenant_id") => {
                return Err(Error::Conflict);
            }
            inserted => inserted?,
        };
        change.record_change(ChangeSubject::Tenant, ChangeKind::Updated, None);
        Ok(begun)
    }

    /// Lets all keys of a tenant be destroyed at `time`, or earlier if that was said before. Gives the time of the first.
    async fn retire(
        &self,
        tx: &DatabaseTransaction,
        tenant: &TenantId,
        time: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        let sql = "UPDATE tenant_keys SET retire_time = $2
            WHERE tenant_id = $1 AND (retire_time IS NULL OR retire_time > $2)";
        execute(tx, sql, [tenant.as_str().into(), time.micros().into()]).await?;
        next_retirement(tx, tenant).await
    }

    /// Seals a batch of the tenant's records anew.
    pub(crate) async fn reseal_batch(&self, claimed: &mut Claimed) -> Result<Batch, Error> {
        let cursor = Cursor::parse(&claimed.row.position);
        if claimed.row.position.is_empty() {
            self.leave_older_key(claimed).await?;
        }
        let (mut change, _) = self.store.own_sealing_change(&claimed.tenant).await?;
        if i64::from(change.key()?.version()) != claimed.row.target {
            return Err(Error::State(
                "the newest key of the tenant is not the one that its rotation leads to",
            ));
        }
        let size = batch_size(claimed, reseal::BATCH);
        let batch = reseal::batch(&change, &cursor, claimed.row.target, size).await?;
        let (done, failed) = (claimed.row.done + batch.resealed, claimed.row.failed + batch.failed);
        if let Some(next) = batch.next {
            claimed.note(self.store, &change.tx, Progress { position: next.text(), done, failed }).await?;
            if batch.resealed > 0 {
                change.record_change(ChangeSubject::Tenant, ChangeKind::Updated, None);
            }
            let _ = change.commit(()).await?;
            return Ok(Batch::Written(batch.resealed.unsigned_abs() + batch.failed.unsigned_abs()));
        }
        // A pass has come to its end: the next one finds what others held or wrote meanwhile, until nothing is left but
        // what does not open.
        if cursor.is_first_pass() || batch.wrote {
            let progress = Progress { position: cursor.next_pass().text(), done, failed: 0 };
            claimed.note(self.store, &change.tx, progress).await?;
            let _ = change.commit(()).await?;
            return Ok(Batch::Written(0));
        }
        claimed.end(&change.tx, change.now).await?;
        let record = self.store.own_event(&claimed.tenant, Action::RotateTenantKey)?;
        let ended = vec!["rotation.ended".to_owned(), format!("keys/{}", claimed.row.target)];
        change.record(AuditEvent { changed: ended, ..record });
        let _ = change.commit(()).await?;
        tracing::info!(tenant = claimed.tenant.as_str(), done, left = failed, "a tenant's key was rotated");
        Ok(Batch::Ended)
    }

    /// Waits until the transactions have ended that know older keys only: such a one would take a row that is sealed anew
    /// for an altered one, and may seal another under the older key.
    async fn leave_older_key(&self, claimed: &Claimed) -> Result<(), Error> {
        let older = u32::try_from(claimed.row.target - 1).map_err(|_| Error::Integrity)?;
        let tx = self.store.begin_bookkeeping(&claimed.tenant).await?;
        await_sharers(&tx, self.store.database(), &claimed.tenant, older).await?;
        Ok(tx.commit().await?)
    }

    /// Destroys the keys that rotations have replaced and whose time is over, unless something is still under them. Tells
    /// how many were destroyed.
    ///
    /// # Errors
    /// The database fails.
    pub async fn destroy_retired(&self) -> Result<u64, Error> {
        let now = self.store.now();
        let tx = self.store.read_background().await?;
        let sql = "SELECT tenant_id FROM rotations
            WHERE kind = 'TENANT' AND NOT running AND retire_time <= $1 ORDER BY retire_time LIMIT 100";
        let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, [now.micros().into()]);
        let rows = tx.query_all_raw(asked).await?;
        tx.rollback().await?;
        let mut destroyed = 0;
        for row in rows {
            let tenant = TenantId::from_stored(row.try_get("", "tenant_id")?);
            match self.destroy_due(&tenant, now).await {
                Ok(some) => destroyed += some,
                // One tenant keeps no other from its turn.
                Err(error) => {
                    tracing::warn!(error = chain(&error), "keys that were replaced could not be destroyed")
                }
            }
        }
        Ok(destroyed)
    }

    /// Destroys the keys of one tenant whose time is over, each by itself: one that something is under keeps no other.
    async fn destroy_due(&self, tenant: &TenantId, now: Timestamp) -> Result<u64, Error> {
        let mut destroyed = 0;
        for version in self.due_keys(tenant, now).await? {
            match self.destroy_without_audit_keys(tenant, version).await {
                Ok(()) => destroyed += 1,
                // An open consent, or a record that does not open.
                Err(Error::Unavailable(error)) if still_referenced(&error) => {
                    let mut change = self.store.own_change(tenant).await?;
                    let sql = "UPDATE tenant_keys SET retire_time = $3 WHERE tenant_id = $1 AND version = $2";
                    let values = [tenant.as_str().into(), version.into(), now.after(RETRY).micros().into()];
                    execute(&change.tx, sql, values).await?;
                    change.record_change(ChangeSubject::Tenant, ChangeKind::Updated, None);
                    let _ = change.commit(()).await?;
                }
                Err(error) => return Err(error),
            }
        }
        let tx = self.store.begin_bookkeeping(tenant).await?;
        let next = next_retirement(&tx, tenant).await?.map(Timestamp::micros);
        let sql =
            "UPDATE rotations SET retire_time = $2 WHERE tenant_id = $1 AND kind = 'TENANT' AND NOT running";
        execute(&tx, sql, [tenant.as_str().into(), next.into()]).await?;
        tx.commit().await?;
        Ok(destroyed)
    }

    /// Destroys a key. If something is still under it, that may be audit keys: an earlier release that ends a rotation does not
    /// know them, so they are sealed anew first.
    async fn destroy_without_audit_keys(&self, tenant: &TenantId, version: i64) -> Result<(), Error> {
        match self.destroy(tenant, version).await {
            Err(Error::Unavailable(error)) if still_referenced(&error) => {
                if self.reseal_audit_keys(tenant).await? == 0 {
                    return Err(Error::Unavailable(error));
                }
                self.destroy(tenant, version).await
            }
            destroyed => destroyed,
        }
    }

    /// Seals audit keys anew that are under an older key, and tells how many they were.
    async fn reseal_audit_keys(&self, tenant: &TenantId) -> Result<i64, Error> {
        let (mut cursor, mut resealed) = (Cursor::of_audit_keys(), 0);
        loop {
            let (mut change, _) = self.store.own_sealing_change(tenant).await?;
            let newest = i64::from(change.key()?.version());
            let batch = reseal::batch(&change, &cursor, newest, reseal::BATCH).await?;
            let Some(next) = batch.next else {
                change.tx.rollback().await?;
                return Ok(resealed);
            };
            if batch.resealed > 0 {
                change.record_change(ChangeSubject::Tenant, ChangeKind::Updated, None);
            }
            let _ = change.commit(()).await?;
            (cursor, resealed) = (next, resealed + batch.resealed);
        }
    }

    /// The versions of a tenant's keys whose time is over; never the newest.
    async fn due_keys(&self, tenant: &TenantId, now: Timestamp) -> Result<Vec<i64>, Error> {
        let tx = self.store.begin_bookkeeping(tenant).await?;
        let sql = "SELECT version FROM tenant_keys WHERE tenant_id = $1 AND retire_time <= $2
            AND version < (SELECT max(version) FROM tenant_keys WHERE tenant_id = $1) ORDER BY version";
        let values = [tenant.as_str().into(), now.micros().into()];
        let rows =
            tx.query_all_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await?;
        rows.iter().map(|row| Ok(row.try_get("", "version")?)).collect()
    }

    async fn destroy(&self, tenant: &TenantId, version: i64) -> Result<(), Error> {
        let mut change = self.store.own_change(tenant).await?;
        let sql = "DELETE FROM tenant_keys WHERE tenant_id = $1 AND version = $2";
        execute(&change.tx, sql, [tenant.as_str().into(), version.into()]).await?;
        change.record_change(ChangeSubject::Tenant, ChangeKind::Updated, None);
        let record = self.store.own_event(tenant, Action::RotateTenantKey)?;
        change.record(AuditEvent { changed: vec![format!("keys/{version}")], ..record });
        let _ = change.commit(()).await?;
        Ok(())
    }
}

/// What the record of a rotation's beginning names: the versions, and whether the older ones are kept for no time.
fn in_words(target: i64, how: TenantRotation) -> Vec<String> {
    let at_once = how.retire_after.is_zero().then(|| "retire_at_once".to_owned());
    std::iter::once(format!("keys: {} -> {target}", target - 1)).chain(at_once).collect()
}

/// The answer to a repeated request: how far the rotation is that it has begun.
async fn begun_before(change: Change<'_>) -> Result<Recorded<Rotation>, Error> {
    let key = (change.tenant().as_str().to_owned(), RotationKind::Tenant.as_str().to_owned());
    let row = Entity::find_by_id(key).one(&change.tx).await?;
    change.commit(rotation::rotation(row.ok_or(Error::Integrity)?)?).await
}

/// When the next of a tenant's keys may be destroyed.
async fn next_retirement(tx: &DatabaseTransaction, tenant: &TenantId) -> Result<Option<Timestamp>, Error> {
    let sql = "SELECT min(retire_time) AS time FROM tenant_keys WHERE tenant_id = $1";
    let values = [tenant.as_str().into()];
    let row =
        tx.query_one_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await?;
    let time: Option<i64> = row.ok_or(Error::Integrity)?.try_get("", "time")?;
    Ok(time.map(Timestamp::from_micros))
}
