//! Versions of the root key in its key manager: making a new one, and destroying the older ones for good.
//!
//! Between the look whether anything is under an older version and its end, none may be made: the one that wraps everything
//! would be an older one then. So both hold the row of the root key's latest rotation, by its lease, while they ask the key
//! manager, and the row must tell that this rotation has ended.

use std::time::Duration;

use credvault_crypto::{RootKey, Versioning};
use credvault_domain::{Action, TenantId, TenantScope, Timestamp, chain};
use sea_orm::{DatabaseTransaction, EntityTrait as _};

use super::Keys;
use super::rotation::RotationKind;
use crate::backup::record::BackupPlace;
use crate::change::retrying;
use crate::database::pieces::execute;
use crate::database::roots::{active_root, root_id};
use crate::entity::rotation::{Entity, Model};
use crate::{Error, Recorded, Write};

/// How long the row is held at most: much longer than a key manager is waited for.
const LEASE: Duration = Duration::from_secs(60);
/// How many tenants are looked at in one question.
const LOOKED_AT: u64 = 1_000;

/// What the vault knows of the older versions of its root key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OlderVersions {
    /// The root key that wraps.
    pub root: u32,
    /// The kind of its key manager.
    pub source: String,
    /// The name of the key in its key manager.
    pub name: String,
    /// Whether the older versions are destroyed.
    pub destroyed: bool,
    /// When the last key was wrapped by the newest version. Backups from before open with older versions only.
    pub backups_before: Timestamp,
    /// The moment whose data the newest backup has that the vault has seen reach a disk.
    pub newest_backup: Option<Timestamp>,
}

impl Keys<'_> {
    /// Has the key manager make a new version of a root key, for a rotation that begins.
    ///
    /// # Errors
    /// [`Error::RotationRunning`] if older versions are being destroyed; [`Error::ByHand`]; or the key manager fails.
    pub(crate) async fn add_version(&self, root: &RootKey) -> Result<(), Error> {
        let platform = TenantId::platform();
        let tx = self.store.begin_bookkeeping(&platform).await?;
        // Without a row there was no rotation, and nothing that could be destroyed.
        let latest = row(&tx).await?;
        if latest.is_some() {
            self.hold(&tx).await?;
            // From now on a newer version may be there under which nothing is, whatever becomes of this call: until the next
            // rotation has ended, nothing says that all is under the newest one.
            set_end_time(&tx, None).await?;
        }
        tx.commit().await?;
        let (refused, end_time) = match root.add_version().await {
            // The rotation's row takes the place of the one that is held.
            Ok(Versioning::Done) => return Ok(()),
            // There is none then.
            Ok(Versioning::ByHand(instead)) => (Error::ByHand(instead), latest.and_then(|row| row.end_time)),
            Err(error) => (error.into(), None),
        };
        let tx = self.store.begin_bookkeeping(&platform).await?;
        set_end_time(&tx, end_time).await?;
        self.let_go(&tx).await?;
        tx.commit().await?;
        Err(refused)
    }

    /// Destroys all versions of the root key but the newest, in its key manager, if nothing is under them as far as the vault
    /// knows. Unless it is `confirmed`, this only tells what would be done. `platform` is the platform's own scope.
    ///
    /// # Errors
    /// [`Error::ByHand`] if there are none, or the key manager leaves that to people; [`Error::RotationRunning`];
    /// [`Error::State`] if something is under an older version, or no rotation has shown that nothing is; or the key manager
    /// fails.
    pub async fn destroy_older_versions(
        &self,
        platform: &TenantScope,
        confirmed: bool,
        write: &Write,
    ) -> Result<Recorded<OlderVersions>, Error> {
        let root = self.store.keyring().active();
        // What cannot be done is neither offered nor begun.
        if let Versioning::ByHand(instead) = root.find_older_versions().await? {
            return Err(Error::ByHand(instead));
        }
        let generation = self.generation().await?;
        self.must_be_empty_below(generation).await?;
        // What another program has taken may be stored nowhere.
        let newest_backup = self.store.last_backup(Some(BackupPlace::File)).await?;
        let found = retrying(write, || self.look(platform, (root, generation), confirmed, write)).await?;
        let found = found.map(|found| OlderVersions { newest_backup, ..found });
        if !confirmed {
            return Ok(found);
        }
        let destroyed = root.destroy_older_versions().await;
        let mut change = self.store.own_change(platform.tenant()).await?;
        self.let_go(&change.tx).await?;
        if let Ok(Versioning::Done) = &destroyed {
            let mut record = self.store.own_event(platform.tenant(), Action::DestroyOlderRootKeyVersions)?;
            record.changed =
                vec![format!("root_keys/{:08x}", root.id()), "older_versions.destroyed".to_owned()];
            change.record(record);
        }
        change.commit(()).await?.into_inner();
        match destroyed? {
            Versioning::Done => Ok(found.map(|found| OlderVersions { destroyed: true, ..found })),
            Versioning::ByHand(instead) => Err(Error::ByHand(instead)),
        }
    }

    /// Looks whether the latest rotation has left nothing under older versions, with the caller's audit record. If the end of
    /// those is confirmed, it holds the row.
    async fn look(
        &self,
        platform: &TenantScope,
        (root, generation): (&RootKey, i64),
        confirmed: bool,
        write: &Write,
    ) -> Result<Recorded<OlderVersions>, Error> {
        let change = self.store.change(platform, write).await?;
        let active = active_root(&change.tx).await?;
        let latest = row(&change.tx).await?;
        if root_id(&active)? != root.id()
            || active.generation != generation
            || latest.as_ref().is_some_and(|row| row.running)
        {
            return Err(Error::RotationRunning);
        }
        let ended = latest.filter(|row| row.target == generation).and_then(|row| row.end_time);
        let ended = ended.ok_or(Error::State(
            "no rotation has wrapped everything by the newest version: rotate the root key with new_version first",
        ))?;
        if confirmed {
            self.hold(&change.tx).await?;
        }
        let found = OlderVersions {
            root: root.id(),
            source: active.kind,
            name: active.name,
            destroyed: false,
            backups_before: Timestamp::from_micros(ended),
            newest_backup: None,
        };
        change.commit(found).await
    }

    /// Refuses if a tenant's key was last wrapped before this generation of root keys.
    async fn must_be_empty_below(&self, generation: i64) -> Result<(), Error> {
        let mut after = String::new();
        loop {
            let tenants = self.tenants_after(&after, LOOKED_AT).await?;
            let Some(last) = tenants.last() else { return Ok(()) };
            after.clone_from(last);
            if !self.keys_below(&tenants, generation).await?.is_empty() {
                return Err(Error::State(
                    "keys of tenants are under older versions, for they did not unwrap: GetKeyStatus and the vault's log say \
                     more",
                ));
            }
        }
    }

    /// Holds the row of the root key's latest rotation.
    ///
    /// # Errors
    /// [`Error::RotationRunning`] if that is in progress, or another call holds it.
    async fn hold(&self, tx: &DatabaseTransaction) -> Result<(), Error> {
        let now = self.store.database_time(tx).await?;
        let lease = Timestamp::from_micros(now).after(LEASE).micros();
        let sql = "UPDATE rotations SET process_id = $2, lease_time = $3
            WHERE tenant_id = $1 AND kind = 'ROOT' AND NOT running AND (lease_time IS NULL OR lease_time < $4)";
        let process = self.store.process();
        let values = [TenantId::PLATFORM.into(), process.into(), lease.into(), now.into()];
        if execute(tx, sql, values).await? == 1 { Ok(()) } else { Err(Error::RotationRunning) }
    }

    /// Lets the row go that [`Keys::add_version`] holds, because no rotation begins. What fails is logged: the row is free when
    /// its lease is over.
    pub(super) async fn let_version_go(&self) {
        let letting = async {
            let tx = self.store.begin_bookkeeping(&TenantId::platform()).await?;
            self.let_go(&tx).await?;
            Ok::<_, Error>(tx.commit().await?)
        };
        if let Err(error) = letting.await {
            tracing::warn!(error = chain(&error), "the root key's rotation is held for a minute");
        }
    }

    async fn let_go(&self, tx: &DatabaseTransaction) -> Result<(), Error> {
        let sql = "UPDATE rotations SET process_id = NULL, lease_time = NULL
            WHERE tenant_id = $1 AND kind = 'ROOT' AND NOT running AND process_id = $2";
        execute(tx, sql, [TenantId::PLATFORM.into(), self.store.process().into()]).await?;
        Ok(())
    }
}

/// Sets when the root key's latest rotation has ended, unless one is in progress.
async fn set_end_time(tx: &DatabaseTransaction, end_time: Option<i64>) -> Result<(), Error> {
    let sql = "UPDATE rotations SET end_time = $2 WHERE tenant_id = $1 AND kind = 'ROOT' AND NOT running";
    execute(tx, sql, [TenantId::PLATFORM.into(), end_time.into()]).await?;
    Ok(())
}

/// The row of the root key's latest rotation.
async fn row(tx: &DatabaseTransaction) -> Result<Option<Model>, Error> {
    let key = (TenantId::PLATFORM.to_owned(), RotationKind::Root.as_str().to_owned());
    Ok(Entity::find_by_id(key).one(tx).await?)
}
