//! Reading what a transaction will need of external stores before it begins: none is open while a store is asked.

use credvault_crypto::{Context, SecretStoreError};
use credvault_domain::SecretFields;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};

use super::content::SecretContent;
use crate::change::Change;
use crate::credentials::binding;
use crate::credentials::current::open_current;
use crate::database::session::Reading;
use crate::entity::{connection, credential_version};
use crate::sealed::SealedRecord;
use crate::{ConnectionKey, Error, Store};

/// Which versions of a credential are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    /// What is served now.
    Current,
    /// Every version that is kept.
    All,
}

impl Store {
    /// Reads what is kept of a connection's credential in external stores, so that [`at_hand`] finds it.
    ///
    /// # Errors
    /// A store, or the database, fails.
    pub(crate) async fn bring_to_hand(&self, key: &ConnectionKey, wanted: Wanted) -> Result<(), Error> {
        if !self.has_secret_stores() {
            return Ok(());
        }
        let reading = self.read_any(&key.tenant).await?;
        let Some(model) = connection::Entity::find_by_id(key.row_id()).one(&reading.tx).await? else {
            return Ok(());
        };
        let mut contents = Vec::new();
        if model.current_version > 0 {
            contents
                .extend(open_current(&reading.tx, &reading.keys, &model).await.map(|(content, _)| content));
        }
        if wanted == Wanted::All {
            contents.extend(elsewhere(&reading, key, &model).await?);
        }
        drop(reading);
        for content in contents {
            let brought = self.fields_of(&key.tenant, key.connection, content).await;
            // What is gone, or does not open, shows where it is needed.
            if let Err(error @ Error::SecretStore { problem: SecretStoreError::Unavailable(_), .. }) = brought
            {
                return Err(error);
            }
        }
        Ok(())
    }
}

/// The versions whose secrets are in external stores, as far as their records open.
async fn elsewhere(
    reading: &Reading,
    key: &ConnectionKey,
    model: &connection::Model,
) -> Result<Vec<SecretContent>, Error> {
    let versions = credential_version::Entity::find()
        .filter(credential_version::Column::TenantId.eq(key.tenant.as_str()))
        .filter(credential_version::Column::ConnectionId.eq(model.id))
        .filter(credential_version::Column::Sealed.is_not_null())
        .filter(credential_version::Column::Store.is_not_null())
        .all(&reading.tx)
        .await?;
    let bound = binding::of_row(model);
    let open = |row: &credential_version::Model| {
        let bytes = row.sealed.as_deref()?;
        let record = SealedRecord { schema: row.schema, key_version: row.key_version, bytes };
        let opened = record.open_content(&key.tenant, &reading.keys, |schema| {
            Context::credential(&key.tenant, key.connection, row.version, schema, bound)
        });
        opened.ok()
    };
    Ok(versions.iter().filter_map(open).collect())
}

/// The fields of a connection's record, within a transaction.
///
/// # Errors
/// [`Error::Conflict`] if they are not at hand: the record has changed since [`Store::bring_to_hand`]. They do not open.
pub(crate) fn at_hand(
    change: &Change<'_>,
    model: &connection::Model,
    content: &SecretContent,
) -> Result<SecretFields, Error> {
    let id = credvault_domain::ConnectionId::from_uuid(model.id);
    change.store.known_fields_of(change.tenant(), id, content).unwrap_or(Err(Error::Conflict))
}
