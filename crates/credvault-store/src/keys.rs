//! Keys for life: what is known of them, how they are rotated while the vault serves, and how often they are used.
//!
//! A rotation is a row in `rotations`. The call that begins it makes that row durable; then any replica takes it on for some
//! seconds at a time, in batches of one short transaction each. The row says how far it has come, so a killed process loses
//! at most a batch, and a batch that was done already finds nothing to do.

mod activation;
pub(crate) mod holders;
pub(crate) mod reseal;
pub(crate) mod root_rotation;
pub(crate) mod rotation;
pub(crate) mod status;
pub(crate) mod tenant_rotation;
pub(crate) mod uses;
pub(crate) mod versions;
pub(crate) mod work;

use sea_orm::{ColumnTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _};

use crate::database::roots::{RootState, active_root, root_id};
use crate::entity::root_key::{Column, Entity};
use crate::{Error, Store};

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
    /// Asks key managers anew for the keys in use whose time is over soon; one that fails is asked again the next time.
    pub async fn renew(&self) {
        let failed = self.store.keyring().renew().await;
        if failed > 0 {
            tracing::warn!(
                failed,
                "key managers did not renew keys in use; they are used until their time is over"
            );
        }
    }

    /// The generation of the root key that wraps. It is asked for before a key is wrapped, and compared when that is stored.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn generation(&self) -> Result<i64, Error> {
        let active = Entity::find().filter(Column::State.eq(RootState::Active.as_str()));
        Ok(active.one(&self.store.reader()).await?.ok_or(Error::Conflict)?.generation)
    }

    /// The generation of the root key that wraps, which stays the one until the transaction ends; `root` has wrapped a key
    /// since the generation was `before`.
    ///
    /// # Errors
    /// [`Error::Conflict`] if another root key, or a newer version of it, wraps meanwhile; the next attempt wraps with that
    /// one. A key that an older version has wrapped must not pass for one of the newest.
    pub(crate) async fn generation_of(
        &self,
        tx: &DatabaseTransaction,
        root: u32,
        before: i64,
    ) -> Result<i64, Error> {
        let active = active_root(tx).await?;
        let id = root_id(&active)?;
        if id != root || active.generation != before {
            self.store.keyring().activate(id)?;
            return Err(Error::Conflict);
        }
        Ok(active.generation)
    }
}
