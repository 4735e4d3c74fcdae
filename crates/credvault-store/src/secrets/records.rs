//! The records of a connection that hold a secret, or say where it is kept: reading, opening and replacing them.
//!
//! A process that opens one holds the lock of the connection's row, under which it was read: neither what a record is
//! bound to nor the keys change meanwhile, so one that does not open was altered.

use std::collections::HashSet;

use credvault_crypto::Context;
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, DatabaseTransaction, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _, QueryOrder as _,
};
use uuid::Uuid;

use super::content::{Placement, SecretContent};
use super::payloads::Unreferred;
use crate::connections::lock::locked_at;
use crate::credentials::binding;
use crate::database::tenant_keys::TenantKeys;
use crate::entity::{connection, credential_version, revocation, token};
use crate::sealed::{Sealed, SealedRecord};
use crate::{ConnectionKey, Error, Store};

/// Which record of a connection.
#[derive(Clone, Copy)]
pub(super) enum RecordId {
    Tokens,
    Version(i64),
    Revocation,
}

/// A record as it is stored.
pub(super) enum Record {
    Tokens(token::Model),
    Version(credential_version::Model),
    Revocation(revocation::Model),
}

impl RecordId {
    /// The record, if the connection still has it.
    pub(super) async fn read(
        self,
        tx: &DatabaseTransaction,
        key: &ConnectionKey,
    ) -> Result<Option<Record>, Error> {
        let (tenant, connection) = key.row_id();
        Ok(match self {
            Self::Tokens => {
                token::Entity::find_by_id((tenant, connection)).one(tx).await?.map(Record::Tokens)
            }
            Self::Version(version) => {
                let row =
                    credential_version::Entity::find_by_id((tenant, connection, version)).one(tx).await?;
                row.filter(|row| row.sealed.is_some()).map(Record::Version)
            }
            Self::Revocation => {
                revocation::Entity::find_by_id((tenant, connection)).one(tx).await?.map(Record::Revocation)
            }
        })
    }
}

/// All records of a connection. The tokens come first, for they are what is served, and then the newest version.
pub(super) async fn all(tx: &DatabaseTransaction, key: &ConnectionKey) -> Result<Vec<Record>, Error> {
    let versions = credential_version::Entity::find()
        .filter(credential_version::Column::TenantId.eq(key.tenant.as_str()))
        .filter(credential_version::Column::ConnectionId.eq(key.connection.as_uuid()))
        .filter(credential_version::Column::Sealed.is_not_null())
        .order_by_desc(credential_version::Column::Version)
        .all(tx)
        .await?;
    let mut records: Vec<_> = RecordId::Tokens.read(tx, key).await?.into_iter().collect();
    records.extend(versions.into_iter().map(Record::Version));
    records.extend(RecordId::Revocation.read(tx, key).await?);
    Ok(records)
}

impl Record {
    pub(super) fn id(&self) -> RecordId {
        match self {
            Self::Tokens(_) => RecordId::Tokens,
            Self::Version(row) => RecordId::Version(row.version),
            Self::Revocation(_) => RecordId::Revocation,
        }
    }

    /// The payload that the record refers to, as the column says, which is not sealed.
    pub(super) fn payload(&self) -> Option<Uuid> {
        match self {
            Self::Tokens(row) => row.payload,
            Self::Version(row) => row.payload,
            Self::Revocation(row) => row.payload,
        }
    }

    /// Whether the columns say that the record refers to a secret of others, which stays where it is.
    pub(super) fn is_adopted(&self) -> bool {
        match self {
            Self::Version(row) => row.store.is_some() && row.payload.is_none(),
            Self::Tokens(_) | Self::Revocation(_) => false,
        }
    }

    /// What the record is bound to.
    pub(super) fn place<'a>(
        &self,
        key: &'a ConnectionKey,
        model: &connection::Model,
        schema: u16,
    ) -> Context<'a> {
        let (tenant, id, bound) = (&key.tenant, key.connection, binding::of_row(model));
        match self {
            Self::Tokens(row) => Context::tokens(tenant, id, row.generation, schema, bound),
            Self::Version(row) => Context::credential(tenant, id, row.version, schema, bound),
            Self::Revocation(row) => Context::revocation(tenant, id, row.generation, schema, bound),
        }
    }

    /// What the record holds.
    ///
    /// # Errors
    /// [`Error::Integrity`] if it does not open.
    pub(super) fn open(
        &self,
        key: &ConnectionKey,
        keys: &TenantKeys,
        model: &connection::Model,
    ) -> Result<SecretContent, Error> {
        let (schema, key_version, bytes) = match self {
            Self::Tokens(row) => (row.schema, row.key_version, row.sealed.as_slice()),
            Self::Version(row) => {
                (row.schema, row.key_version, row.sealed.as_deref().ok_or(Error::Integrity)?)
            }
            Self::Revocation(row) => (row.schema, row.key_version, row.sealed.as_slice()),
        };
        let record = SealedRecord { schema, key_version, bytes };
        record.open_content(&key.tenant, keys, |schema| self.place(key, model, schema))
    }

    /// Whether this is the same secret as in a record that was read earlier: it may have been replaced by a refresh, or
    /// moved by another replica.
    fn is_same(&self, earlier: &Self) -> bool {
        let generations = match (self, earlier) {
            (Self::Tokens(now), Self::Tokens(before)) => now.generation == before.generation,
            (Self::Revocation(now), Self::Revocation(before)) => now.generation == before.generation,
            (Self::Version(now), Self::Version(before)) => now.version == before.version,
            (Self::Tokens(_) | Self::Version(_) | Self::Revocation(_), _) => false,
        };
        generations && self.payload() == earlier.payload()
    }

    /// Replaces the record if it still has the secret that was read. Gives whether it does.
    pub(super) async fn replace(
        &self,
        tx: &DatabaseTransaction,
        key: &ConnectionKey,
        sealed: Sealed,
        content: &SecretContent,
    ) -> Result<bool, Error> {
        let Some(now) = self.id().read(tx, key).await?.filter(|now| now.is_same(self)) else {
            return Ok(false);
        };
        match now {
            Self::Tokens(row) => {
                let mut row = row.into_active_model();
                (row.schema, row.key_version) = (Set(sealed.schema), Set(sealed.key_version));
                (row.sealed, row.payload) = (Set(sealed.bytes), Set(content.payload()));
                row.update(tx).await?;
            }
            Self::Version(row) => {
                let mut row = row.into_active_model();
                (row.schema, row.key_version) = (Set(sealed.schema), Set(sealed.key_version));
                (row.sealed, row.payload) = (Set(Some(sealed.bytes)), Set(content.payload()));
                row.store = Set(content.store().map(str::to_owned));
                row.update(tx).await?;
            }
            Self::Revocation(row) => {
                let mut row = row.into_active_model();
                (row.schema, row.key_version) = (Set(sealed.schema), Set(sealed.key_version));
                (row.sealed, row.payload) = (Set(sealed.bytes), Set(content.payload()));
                row.update(tx).await?;
            }
        }
        Ok(true)
    }
}

/// What the sealed records of a connection name in external stores.
#[derive(Default)]
pub(super) struct Named {
    payloads: HashSet<Uuid>,
    references: HashSet<(String, String)>,
}

impl Named {
    /// Whether a record needs this payload, whatever the columns say.
    pub(super) fn has(&self, payload: &Unreferred) -> bool {
        let reference = payload.reference.clone().map(|reference| (payload.store.clone(), reference));
        self.payloads.contains(&payload.id)
            || reference.is_some_and(|reference| self.references.contains(&reference))
    }
}

/// Opens all records of a connection, for what they name. A connection that is gone names nothing.
///
/// # Errors
/// [`Error::Integrity`] if one does not open: it may name anything.
pub(super) async fn named(store: &Store, key: &ConnectionKey) -> Result<Named, Error> {
    let (change, _) = store.own_sealing_change(&key.tenant).await?;
    let mut named = Named::default();
    let Some(model) = locked_at(&change.tx, key).await? else { return Ok(named) };
    for record in all(&change.tx, key).await? {
        let content = record.open(key, change.keys()?, &model)?;
        if let SecretContent::Placed(Placement { store, reference, payload, .. }) = content {
            named.payloads.insert(payload);
            named.references.insert((store, reference));
        }
    }
    change.tx.rollback().await?;
    Ok(named)
}
