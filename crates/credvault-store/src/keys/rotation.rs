//! The row of a rotation: how far it has come, and which process is at it.

use std::time::Duration;

use credvault_domain::{TenantId, Timestamp};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, EntityTrait as _, Statement};
use uuid::Uuid;

use super::Keys;
use crate::database::pieces::execute;
use crate::entity::rotation::{ActiveModel, Column, Entity, Model};
use crate::{Error, Store};

/// How long a process may be silent before another one takes its rotation on.
const LEASE: Duration = Duration::from_secs(30);
/// How long a rotation rests that did not get on.
const REST: Duration = Duration::from_secs(5);

/// Which key is rotated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RotationKind {
    /// The root key: every tenant's keys are wrapped anew. Its row is the platform's.
    Root,
    /// A tenant's key: everything that is sealed under an older one is sealed anew.
    Tenant,
    /// No key: a tenant's secrets are moved to another store.
    Secrets,
}

impl RotationKind {
    /// The kind as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Root => "ROOT",
            Self::Tenant => "TENANT",
            Self::Secrets => "SECRETS",
        }
    }

    fn of(text: &str) -> Result<Self, Error> {
        [Self::Root, Self::Tenant, Self::Secrets]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(Error::Integrity)
    }
}

/// Whether a rotation has to be over soon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Urgency {
    /// The keys that it replaces are destroyed as soon as nothing is under them.
    AtOnce,
    /// They are kept for a while.
    Usual,
}

/// A rotation, in progress or ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rotation {
    /// Which key is rotated.
    pub kind: RotationKind,
    /// The generation of root keys, or the version of the tenant's key, that it leads to.
    pub target: i64,
    /// Whether it is in progress.
    pub running: bool,
    /// How many keys, or sealed records, are under the new key by now.
    pub done: i64,
    /// How many there were to do when it began.
    pub total: i64,
    /// How many do not open, and stay as they are.
    pub failed: i64,
    /// The most records a second; 0 if it is not slowed down.
    pub records_per_second: i64,
    /// Why it does not get on at the moment.
    pub trouble: Option<String>,
    /// When the rotation began.
    pub begin_time: Timestamp,
    /// When the rotation ended.
    pub end_time: Option<Timestamp>,
    /// When the keys that it has replaced may be destroyed.
    pub retire_time: Option<Timestamp>,
}

/// A rotation to begin.
pub(crate) struct NewRotation {
    pub(crate) kind: RotationKind,
    pub(crate) target: i64,
    pub(crate) total: i64,
    pub(crate) records_per_second: u32,
    pub(crate) retire_time: Option<Timestamp>,
    pub(crate) now: Timestamp,
}

/// How far a batch has brought a rotation.
pub(crate) struct Progress {
    /// Where the next batch begins; empty at the beginning of a pass.
    pub(crate) position: String,
    pub(crate) done: i64,
    pub(crate) failed: i64,
}

/// A rotation that this process is at.
pub(crate) struct Claimed {
    pub(crate) tenant: TenantId,
    pub(crate) row: Model,
    process: Uuid,
}

impl Keys<'_> {
    /// The latest rotation of the root key, for the platform, or of the tenant's own key.
    ///
    /// # Errors
    /// The tenant does not exist, or the database fails.
    pub async fn rotation(&self, tenant: &TenantId, kind: RotationKind) -> Result<Option<Rotation>, Error> {
        let tx = self.store.look(tenant).await?;
        let key = (tenant.as_str().to_owned(), kind.as_str().to_owned());
        Entity::find_by_id(key).one(&tx).await?.map(rotation).transpose()
    }

    /// The rotations of this urgency that no process is at, the oldest first.
    pub(crate) async fn waiting(&self, urgency: Urgency) -> Result<Vec<(TenantId, String)>, Error> {
        let tx = self.store.read_background().await?;
        let now = self.store.database_time(&tx).await?;
        let urgent = match urgency {
            Urgency::AtOnce => "retire_time <= begin_time",
            Urgency::Usual => "(retire_time IS NULL OR retire_time > begin_time)",
        };
        let sql = format!(
            "SELECT tenant_id, kind FROM rotations
             WHERE running AND {urgent} AND (lease_time IS NULL OR lease_time < $1) ORDER BY begin_time LIMIT 64"
        );
        let asked = Statement::from_sql_and_values(tx.get_database_backend(), sql, [now.into()]);
        let rows = tx.query_all_raw(asked).await?;
        let named = |row: &sea_orm::QueryResult| {
            Ok((TenantId::from_stored(row.try_get("", "tenant_id")?), row.try_get("", "kind")?))
        };
        rows.iter().map(named).collect()
    }

    /// Takes a rotation on, unless another process is at it.
    pub(crate) async fn claim(&self, tenant: &TenantId, kind: &str) -> Result<Option<Claimed>, Error> {
        let process = self.store.process();
        let tx = self.store.begin_bookkeeping(tenant).await?;
        let now = self.store.database_time(&tx).await?;
        let sql = "UPDATE rotations SET process_id = $3, lease_time = $4
            WHERE tenant_id = $1 AND kind = $2 AND running
                AND (lease_time IS NULL OR process_id = $3 OR lease_time < $5)";
        let lease = lease_time(now);
        let values = [tenant.as_str().into(), kind.into(), process.into(), lease.into(), now.into()];
        if execute(&tx, sql, values).await? == 0 {
            return Ok(None);
        }
        let row = Entity::find_by_id((tenant.as_str().to_owned(), kind.to_owned())).one(&tx).await?;
        tx.commit().await?;
        Ok(row.map(|row| Claimed { tenant: tenant.clone(), row, process }))
    }
}

impl Claimed {
    /// What is rotated.
    ///
    /// # Errors
    /// The row was altered.
    pub(crate) fn kind(&self) -> Result<RotationKind, Error> {
        RotationKind::of(&self.row.kind)
    }

    /// Notes a batch's progress in its transaction, which then stands only if this process is still at the rotation.
    pub(crate) async fn note(
        &mut self,
        store: &Store,
        tx: &DatabaseTransaction,
        progress: Progress,
    ) -> Result<(), Error> {
        let lease = lease_time(store.database_time(tx).await?);
        let sql =
            "UPDATE rotations SET position = $5, done = $6, failed = $7, lease_time = $8, trouble = NULL
            WHERE tenant_id = $1 AND kind = $2 AND target = $3 AND running AND process_id = $4";
        let values = [
            self.tenant.as_str().into(),
            self.row.kind.clone().into(),
            self.row.target.into(),
            self.process.into(),
            progress.position.clone().into(),
            progress.done.into(),
            progress.failed.into(),
            lease.into(),
        ];
        if execute(tx, sql, values).await? != 1 {
            return Err(Error::Conflict);
        }
        (self.row.position, self.row.done, self.row.failed) =
            (progress.position, progress.done, progress.failed);
        Ok(())
    }

    /// Gives the rotation to whichever process takes it on next; `trouble` says why it did not get on.
    pub(crate) async fn release(self, store: &Store, trouble: Option<&str>) -> Result<(), Error> {
        let tx = store.begin_bookkeeping(&self.tenant).await?;
        let sql = "UPDATE rotations SET process_id = NULL, lease_time = $5, trouble = $4
            WHERE tenant_id = $1 AND kind = $2 AND process_id = $3";
        let (tenant, kind) = (self.tenant.as_str().to_owned(), self.row.kind);
        // One that does not get on rests, so that it keeps no other from its turn.
        let rest = match trouble {
            Some(_) => Some(Timestamp::from_micros(store.database_time(&tx).await?).after(REST).micros()),
            None => None,
        };
        let values = [tenant.into(), kind.into(), self.process.into(), trouble.into(), rest.into()];
        execute(&tx, sql, values).await?;
        Ok(tx.commit().await?)
    }

    /// Ends the rotation, in a transaction that is begun.
    pub(crate) async fn end(&self, tx: &DatabaseTransaction, now: Timestamp) -> Result<(), Error> {
        let sql = "UPDATE rotations SET running = FALSE, end_time = $5, process_id = NULL, lease_time = NULL, trouble = NULL
            WHERE tenant_id = $1 AND kind = $2 AND target = $3 AND running AND process_id = $4";
        let (tenant, kind) = (self.tenant.as_str().to_owned(), self.row.kind.clone());
        let values =
            [tenant.into(), kind.into(), self.row.target.into(), self.process.into(), now.micros().into()];
        if execute(tx, sql, values).await? == 1 { Ok(()) } else { Err(Error::Conflict) }
    }
}

/// Refuses if a rotation of this key is in progress.
///
/// # Errors
/// [`Error::RotationRunning`].
pub(crate) async fn must_be_over(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    kind: RotationKind,
) -> Result<(), Error> {
    let key = (tenant.as_str().to_owned(), kind.as_str().to_owned());
    match Entity::find_by_id(key).one(tx).await? {
        Some(earlier) if earlier.running => Err(Error::RotationRunning),
        _ => Ok(()),
    }
}

/// Stores a rotation that begins, unless one is in progress. A move of secrets replaces the one in progress, which may be to
/// a store that refuses them; a process that is at it finds another target.
///
/// # Errors
/// [`Error::RotationRunning`].
pub(crate) async fn begin(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    new: &NewRotation,
) -> Result<Rotation, Error> {
    if new.kind != RotationKind::Secrets {
        must_be_over(tx, tenant, new.kind).await?;
    }
    let row = ActiveModel {
        tenant_id: Set(tenant.as_str().to_owned()),
        kind: Set(new.kind.as_str().to_owned()),
        target: Set(new.target),
        running: Set(true),
        position: Set(String::new()),
        done: Set(0),
        total: Set(new.total),
        failed: Set(0),
        records_per_second: Set(i64::from(new.records_per_second)),
        trouble: Set(None),
        retire_time: Set(new.retire_time.map(Timestamp::micros)),
        begin_time: Set(new.now.micros()),
        end_time: Set(None),
        process_id: Set(None),
        lease_time: Set(None),
    };
    let replaced = <Column as sea_orm::Iterable>::iter()
        .filter(|column| !matches!(column, Column::TenantId | Column::Kind));
    let conflict = OnConflict::columns([Column::TenantId, Column::Kind]).update_columns(replaced).to_owned();
    Entity::insert(row).on_conflict(conflict).exec_without_returning(tx).await?;
    Ok(Rotation {
        kind: new.kind,
        target: new.target,
        running: true,
        done: 0,
        total: new.total,
        failed: 0,
        records_per_second: i64::from(new.records_per_second),
        trouble: None,
        begin_time: new.now,
        end_time: None,
        retire_time: new.retire_time,
    })
}

fn lease_time(now: i64) -> i64 {
    Timestamp::from_micros(now).after(LEASE).micros()
}

pub(crate) fn rotation(row: Model) -> Result<Rotation, Error> {
    Ok(Rotation {
        kind: RotationKind::of(&row.kind)?,
        target: row.target,
        running: row.running,
        done: row.done,
        total: row.total,
        failed: row.failed,
        records_per_second: row.records_per_second,
        trouble: row.trouble,
        begin_time: Timestamp::from_micros(row.begin_time),
        end_time: row.end_time.map(Timestamp::from_micros),
        retire_time: row.retire_time.map(Timestamp::from_micros),
    })
}
