//! The root keys of a database: proving those that the process has, making new ones known, and the first rows of a new
//! database.
//!
//! The database says which root key wraps; the settings say which ones the process has. So all replicas wrap with the same
//! one, in whatever order they get new settings.

use std::sync::Arc;
use std::time::Duration;

use credvault_crypto::{KdfParameters, Keyring, RootKey, RootKeySource, RootKeySources};
use credvault_domain::{Clock, Random, TenantId};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, DatabaseConnection, DatabaseTransaction,
    EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use crate::database::open_error::{OpenError, within};
use crate::database::transaction::begin_write;
use crate::entity::root_key::{ActiveModel, Column, Entity, Model};
use crate::entity::tenant;
use crate::error::violates;
use crate::tenants::new_tenant::NewTenant;
use crate::{Database, Error};

/// What a root key is for the database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RootState {
    /// A process has it, and it has not wrapped anything.
    Known,
    /// It wraps the tenants' keys.
    Active,
    /// It has wrapped keys that are still to be wrapped anew.
    Previous,
    /// Nothing is left under it.
    Retired,
}

impl RootState {
    const ALL: [Self; 4] = [Self::Known, Self::Active, Self::Previous, Self::Retired];

    /// The state as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Known => "KNOWN",
            Self::Active => "ACTIVE",
            Self::Previous => "PREVIOUS",
            Self::Retired => "RETIRED",
        }
    }

    /// The state of a row.
    pub(crate) fn of(model: &Model) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|state| state.as_str() == model.state).ok_or(Error::Integrity)
    }
}

/// Opening a database with the root keys that the process was given.
pub(super) struct Proving<'a> {
    pub(super) db: &'a DatabaseConnection,
    pub(super) database: Database,
    pub(super) clock: &'a dyn Clock,
    pub(super) random: &'a Arc<dyn Random>,
    /// How long the database may take for a step.
    pub(super) patience: Duration,
}

/// A root key of this process and its row.
struct Proven {
    root: RootKey,
    row: Option<Model>,
    /// How a new passphrase was stretched.
    parameters: Option<KdfParameters>,
}

impl Proving<'_> {
    /// Loads the root keys and proves them against the database; a new database is given its first rows. The active root key
    /// must be among them, and so must one that has still wrapped something.
    pub(super) async fn keyring(&self, sources: &RootKeySources) -> Result<Keyring, OpenError> {
        for _ in 1..ATTEMPTS {
            if let Some(keyring) = self.try_keyring(sources).await? {
                return Ok(keyring);
            }
        }
        self.try_keyring(sources).await?.ok_or(OpenError::Initialise(Error::Conflict))
    }

    /// One attempt; `None` if another replica made a root key known at the same moment, so that all is to be read again:
    /// of a passphrase, the first one to be stored decides how it is stretched.
    async fn try_keyring(&self, sources: &RootKeySources) -> Result<Option<Keyring>, OpenError> {
        let mut rows = self.rows().await?;
        if rows.is_empty() {
            self.initialise(&sources.main).await?;
            rows = self.rows().await?;
        }
        let main = self.prove(&sources.main, &rows, true).await?;
        let other = match &sources.other {
            Some(source) => Some(self.prove(source, &rows, false).await?),
            None => None,
        };
        let given = |row: &Model| {
            [Some(&main), other.as_ref()]
                .into_iter()
                .flatten()
                .any(|given| i64::from(given.root.id()) == row.root_id)
        };
        let active = rows.iter().find(|row| row.state == RootState::Active.as_str());
        let active = active.ok_or(OpenError::RootRecordGone)?;
        if !given(active) {
            return Err(credvault_crypto::Error::RootKeyMismatch.into());
        }
        if let Some(left) = rows.iter().find(|row| row.state == RootState::Previous.as_str() && !given(row)) {
            let (id, kind) = (root_id(left)?, left.kind.clone());
            return Err(credvault_crypto::Error::RootKeyMissing { id, kind }.into());
        }
        for new in [Some(&main), other.as_ref()].into_iter().flatten().filter(|given| given.row.is_none()) {
            if !self.make_known(new).await? {
                return Ok(None);
            }
        }
        let active = root_id(active)?;
        let mut keyring = Keyring::new(main.root, Arc::clone(self.random)).with_lifetime(sources.lifetime);
        if let Some(other) = other {
            keyring = keyring.with_other(other.root);
        }
        for row in &rows {
            keyring.register(root_id(row)?, &row.kind);
        }
        keyring.activate(active)?;
        Ok(Some(keyring))
    }

    async fn rows(&self) -> Result<Vec<Model>, OpenError> {
        let reading = Entity::find().order_by_asc(Column::Generation).all(self.db);
        within(self.patience, "the root keys' records were read", reading).await
    }

    /// Loads a root key and finds its row. A key manager that does not answer is an obstacle only if it `must` be there or
    /// wraps what is in use.
    async fn prove(&self, source: &RootKeySource, rows: &[Model], must: bool) -> Result<Proven, OpenError> {
        if let RootKeySource::Passphrase(..) = source {
            return self.prove_passphrase(source, rows).await;
        }
        let (root, _) = source.load(None, &**self.random)?;
        let row = rows.iter().find(|row| row.root_id == i64::from(root.id()));
        let Some(row) = row else { return Ok(Proven { root, row: None, parameters: None }) };
        match root.prove(&row.check_value).await {
            Err(error @ credvault_crypto::Error::KeyManager { .. }) => {
                let in_use = matches!(RootState::of(row)?, RootState::Active | RootState::Previous);
                if must || in_use {
                    return Err(error.into());
                }
                tracing::warn!(
                    error = credvault_domain::chain(&error),
                    "a root key that is not in use could not be proven"
                );
            }
            proven => proven?,
        }
        Ok(Proven { root, row: Some(row.clone()), parameters: None })
    }

    /// The database remembers how each passphrase was stretched, and each gives another key.
    async fn prove_passphrase(&self, source: &RootKeySource, rows: &[Model]) -> Result<Proven, OpenError> {
        for row in rows.iter().rev() {
            let Some(kdf) = &row.kdf else { continue };
            let (root, _) = source.load(Some(&kdf.parse()?), &**self.random)?;
            if root.prove(&row.check_value).await.is_ok() {
                return Ok(Proven { root, row: Some(row.clone()), parameters: None });
            }
        }
        let (root, parameters) = source.load(None, &**self.random)?;
        Ok(Proven { root, row: None, parameters })
    }

    /// Stores the check value of a root key that the database does not know yet. Gives `false` if another replica was first
    /// with this one, or with another one.
    async fn make_known(&self, new: &Proven) -> Result<bool, OpenError> {
        let check_value = match new.root.check_value(&**self.random).await {
            Err(error @ credvault_crypto::Error::KeyManager { .. }) => {
                tracing::warn!(
                    error = credvault_domain::chain(&error),
                    "a new root key could not be made known"
                );
                return Ok(true);
            }
            made => made?,
        };
        let storing = async {
            let tx = begin_write(self.db, self.database, &TenantId::platform()).await.map_err(Error::from)?;
            let newest = newest_generation(&tx).await?;
            let row = row(
                &new.root,
                newest + 1,
                RootState::Known,
                new.parameters.as_ref(),
                check_value,
                self.clock,
            );
            row.insert(&tx).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        };
        match within(self.patience, "a new root key was made known", storing).await {
            Err(OpenError::Initialise(Error::Unavailable(error))) if is_known(&error) => Ok(false),
            stored => stored.map(|()| true),
        }
    }

    async fn initialise(&self, source: &RootKeySource) -> Result<(), OpenError> {
        let (root, parameters) = source.load(None, &**self.random)?;
        let (platform, now) = (TenantId::platform(), self.clock.now().micros());
        // Before the transaction: the root key may be in a key manager on the network.
        let check_value = root.check_value(&**self.random).await?;
        let first = row(&root, FIRST, RootState::Active, parameters.as_ref(), check_value, self.clock);
        let wrapped = Keyring::new(root, Arc::clone(self.random)).generate(&platform, 1).await?;
        let writing = async {
            let tx = begin_write(self.db, self.database, &platform).await.map_err(Error::from)?;
            // Looked up together: another replica may have made both a moment ago, and then its root key decides.
            let known = tenant::Entity::find_by_id(platform.as_str()).one(&tx).await.map_err(Error::from)?;
            let first_known = Entity::find_by_id(FIRST).one(&tx).await.map_err(Error::from)?;
            if known.is_some() && first_known.is_none() {
                return Err(OpenError::RootRecordGone);
            }
            first.insert(&tx).await.map_err(Error::from)?;
            NewTenant { id: &platform, display_name: "", generation: FIRST, wrapped }
                .insert(&tx, now)
                .await?;
            tx.commit().await.map_err(Error::from)?;
            Ok(())
        };
        match within(self.patience, "the first rows were written", writing).await {
            Err(OpenError::Initialise(Error::Unavailable(error))) if is_known(&error) => Ok(()),
            written => written,
        }
    }
}

/// Whether a root key was not stored because another replica has stored one.
fn is_known(error: &sea_orm::DbErr) -> bool {
    violates(error, "root_keys_pkey", "root_keys.generation")
        || violates(error, "root_keys_root", "root_keys.root_id")
}

/// How often the root keys are read again because other replicas made some known.
const ATTEMPTS: u32 = 8;
/// The generation of a new database's root key.
const FIRST: i64 = 1;

/// The id of a row's root key.
pub(crate) fn root_id(row: &Model) -> Result<u32, Error> {
    u32::try_from(row.root_id).map_err(|_| Error::Integrity)
}

/// The newest generation that a root key has.
pub(crate) async fn newest_generation<C: ConnectionTrait>(db: &C) -> Result<i64, Error> {
    let newest = Entity::find().order_by_desc(Column::Generation).one(db).await?;
    Ok(newest.map_or(0, |row| row.generation))
}

/// The row of the root key that wraps. It stays the one until the transaction ends.
///
/// # Errors
/// The database fails. [`Error::Conflict`] if another root key is made the active one at this moment.
pub(crate) async fn active_root(tx: &DatabaseTransaction) -> Result<Model, Error> {
    let active = Entity::find().filter(Column::State.eq(RootState::Active.as_str())).lock_shared();
    // PostgreSQL: after the wait for a rotation that begins, the row that was found is no longer active.
    active.one(tx).await?.ok_or(Error::Conflict)
}

fn row(
    root: &RootKey,
    generation: i64,
    state: RootState,
    parameters: Option<&KdfParameters>,
    check_value: Vec<u8>,
    clock: &dyn Clock,
) -> ActiveModel {
    ActiveModel {
        generation: Set(generation),
        root_id: Set(i64::from(root.id())),
        kind: Set(root.kind().to_owned()),
        kdf: Set(parameters.map(ToString::to_string)),
        check_value: Set(check_value),
        create_time: Set(clock.now().micros()),
        name: Set(root.name().to_owned()),
        state: Set(state.as_str().to_owned()),
    }
}
