//! What the record of a connection's current credential holds, the newest tokens among them.

use credvault_crypto::Context;
use credvault_domain::{ConnectionId, TenantId, Timestamp};
use sea_orm::{DatabaseTransaction, EntityTrait as _};

use crate::Error;
use crate::credentials::binding;
use crate::database::tenant_keys::TenantKeys;
use crate::entity::{connection, credential_version, token};
use crate::sealed::SealedRecord;
use crate::secrets::content::SecretContent;

/// Opens the current credential of a row, and says when it, or its access token, ends.
///
/// # Errors
/// The connection has no credential, or a sealed value does not open.
pub(crate) async fn open_current(
    tx: &DatabaseTransaction,
    keys: &TenantKeys,
    model: &connection::Model,
) -> Result<(SecretContent, Option<Timestamp>), Error> {
    let (tenant, id) = (TenantId::from_stored(model.tenant_id.clone()), ConnectionId::from_uuid(model.id));
    let bound = binding::of_row(model);
    let tokens = token::Entity::find_by_id((model.tenant_id.clone(), model.id)).one(tx).await?;
    if let Some(tokens) = tokens.filter(|tokens| tokens.version == model.current_version) {
        let (schema, key_version) = (tokens.schema, tokens.key_version);
        let record = SealedRecord { schema, key_version, bytes: &tokens.sealed };
        let content = record.open_content(&tenant, keys, |schema| {
            Context::tokens(&tenant, id, tokens.generation, schema, bound)
        })?;
        return Ok((content, tokens.expire_time.map(Timestamp::from_micros)));
    }
    let key = (model.tenant_id.clone(), model.id, model.current_version);
    let version = credential_version::Entity::find_by_id(key).one(tx).await?.ok_or(Error::NoCredential)?;
    let bytes = version.sealed.as_deref().ok_or(Error::NoCredential)?;
    let record = SealedRecord { schema: version.schema, key_version: version.key_version, bytes };
    let content = record.open_content(&tenant, keys, |schema| {
        Context::credential(&tenant, id, version.version, schema, bound)
    })?;
    Ok((content, version.expire_time.map(Timestamp::from_micros)))
}
