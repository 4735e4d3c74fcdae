//! Reading what a transaction will need of external stores before it begins: none is open while a store is asked.

use std::collections::BTreeMap;

use credvault_crypto::Context;
use credvault_domain::{FieldName, SecretFields, chain};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use uuid::Uuid;

use super::content::{Adoption, SecretContent};
use super::unconfigured;
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

/// What was read of a connection's secrets in external stores before a transaction began.
#[derive(Default)]
pub(crate) struct InHand {
    read: BTreeMap<Source, Result<SecretFields, Error>>,
    /// Whether this process has no external store, so that nothing was looked for.
    without_stores: bool,
}

impl InHand {
    /// The fields of a record; `None` if they cannot be read where they are kept.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the record has changed since [`Store::bring_to_hand`].
    pub(crate) fn fields(&self, content: &SecretContent) -> Result<Option<SecretFields>, Error> {
        match source(content) {
            Ok(fields) => Ok(Some(fields.clone())),
            Err(source) => match self.read.get(&source) {
                Some(read) => Ok(read.as_ref().ok().cloned()),
                None if self.without_stores => Ok(None),
                None => Err(Error::Conflict),
            },
        }
    }

    /// The fields of a record, for what needs no other one.
    ///
    /// # Errors
    /// The reason why they cannot be read; [`Error::Conflict`] if the record has changed since [`Store::bring_to_hand`].
    pub(crate) fn into_fields(mut self, content: &SecretContent) -> Result<SecretFields, Error> {
        match source(content) {
            Ok(fields) => Ok(fields.clone()),
            Err(source) => match (self.read.remove(&source), content.store()) {
                (Some(read), _) => read,
                (None, Some(store)) if self.without_stores => Err(unconfigured(store)),
                (None, _) => Err(Error::Conflict),
            },
        }
    }

    /// Whether what the vault has kept for a record is lost, or is not what was kept.
    pub(crate) fn is_damaged(&self, content: &SecretContent) -> bool {
        let read = source(content).err().and_then(|source| self.read.get(&source));
        matches!(read, Some(Err(error)) if error.is_damage())
    }
}

/// What tells secrets in external stores apart.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Payload(Uuid),
    Adopted { store: String, name: String, version: Option<String>, field: Option<FieldName> },
}

/// Where the fields of a record are kept, unless the record itself has them.
fn source(content: &SecretContent) -> Result<&SecretFields, Source> {
    match content {
        SecretContent::Fields(fields) => Ok(fields),
        SecretContent::Placed(placement) => Err(Source::Payload(placement.payload)),
        SecretContent::Adopted(Adoption { store, name, version, field, .. }) => {
            let (store, name) = (store.clone(), name.clone());
            Err(Source::Adopted { store, name, version: version.clone(), field: field.clone() })
        }
    }
}

impl Store {
    /// Reads what is kept of a connection's credential in external stores, for a transaction that follows. What a store does
    /// not have, or refuses, is in the way of that secret alone.
    ///
    /// # Errors
    /// A store does not answer, or the database fails.
    pub(crate) async fn bring_to_hand(&self, key: &ConnectionKey, wanted: Wanted) -> Result<InHand, Error> {
        if !self.has_secret_stores() {
            return Ok(InHand { without_stores: true, ..InHand::default() });
        }
        let mut in_hand = InHand::default();
        for content in self.contents(key, wanted).await? {
            let Err(source) = source(&content) else { continue };
            if in_hand.read.contains_key(&source) {
                continue;
            }
            let read = self.fields_of(&key.tenant, key.connection, content).await;
            match &read {
                Ok(_) => {}
                Err(error) if error.is_transient() => return read.map(|_| in_hand),
                Err(error) => tracing::warn!(
                    error = chain(error), tenant = %key.tenant, connection = %key.connection,
                    "a secret cannot be read where it is kept"
                ),
            }
            in_hand.read.insert(source, read);
        }
        Ok(in_hand)
    }

    /// What the wanted records hold, as far as they open.
    async fn contents(&self, key: &ConnectionKey, wanted: Wanted) -> Result<Vec<SecretContent>, Error> {
        let mut contents = Vec::new();
        let reading = self.read_any(&key.tenant).await?;
        let Some(model) = connection::Entity::find_by_id(key.row_id()).one(&reading.tx).await? else {
            return Ok(contents);
        };
        if model.current_version > 0 {
            contents
                .extend(open_current(&reading.tx, &reading.keys, &model).await.map(|(content, _)| content));
        }
        if wanted == Wanted::All {
            contents.extend(elsewhere(&reading, key, &model).await?);
        }
        Ok(contents)
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
