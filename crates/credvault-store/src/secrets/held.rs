//! A database that was restored from a backup: the vault that was backed up may still serve, with the same stores. So nothing
//! is removed there until an operator says that this vault alone keeps secrets in them.
//!
//! The mark is a row of the queue that is never due. It comes with the restored rows, in the same transaction.

use std::sync::Arc;

use credvault_crypto::SecretStore;
use credvault_domain::{TenantId, TenantScope};
use sea_orm::{ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _};

use super::Secrets;
use crate::change::retrying;
use crate::database::transaction::{Access, begin};
use crate::entity::payload_work::{Column, Entity};
use crate::{Error, Recorded, Store, Write};

/// When the row that marks a restored database is due.
pub(crate) const NEVER: i64 = i64::MAX;

/// Why nothing is removed.
const HELD: &str = "this database was restored from a backup, and the vault that was backed up may still keep its secrets in the \
                    same stores: once no other vault does, say so with OwnSecretStores (credvault secrets own)";

impl Store {
    /// Whether nothing may be removed from stores.
    pub(crate) async fn holds_secret_stores(&self) -> Result<bool, Error> {
        let platform = TenantId::platform();
        let tx = begin(&self.reader(), self.database(), Access::Read, &platform).await?;
        let mark = Entity::find().filter(mark()).one(&tx).await?;
        tx.rollback().await?;
        Ok(mark.is_some())
    }

    /// The external store of this name, to remove something there.
    ///
    /// # Errors
    /// Nothing may be removed, or this process is not configured with the store.
    pub(crate) async fn store_to_remove_from(&self, name: &str) -> Result<&Arc<dyn SecretStore>, Error> {
        if self.holds_secret_stores().await? {
            return Err(Error::State(HELD));
        }
        self.secret_store(name)
    }
}

impl Secrets<'_> {
    /// Whether this process has stores, and removes nothing there because the database was restored.
    ///
    /// # Errors
    /// The database fails.
    pub async fn are_held(&self) -> Result<bool, Error> {
        Ok(self.store.has_secret_stores() && self.store.holds_secret_stores().await?)
    }

    /// Ends that nothing is removed from stores because the database was restored. `platform` is the platform's own scope.
    /// Tells whether that was so.
    ///
    /// # Errors
    /// The database fails.
    pub async fn own(&self, platform: &TenantScope, write: &Write) -> Result<Recorded<bool>, Error> {
        retrying(write, || async move {
            let (change, _) = self.store.change_any(platform, write).await?;
            let ended = Entity::delete_many().filter(mark()).exec(&change.tx).await?;
            change.commit(ended.rows_affected > 0).await
        })
        .await
    }
}

fn mark() -> Condition {
    Condition::all().add(Column::TenantId.eq(TenantId::PLATFORM)).add(Column::DueTime.eq(NEVER))
}
