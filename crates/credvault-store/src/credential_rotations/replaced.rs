//! What became of the key that a rotation has replaced, for the answer to its caller, and to a caller that repeats the request.

use credvault_domain::{ConnectionId, TenantScope, Timestamp, Version};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};

use super::CredentialRotations;
use crate::Error;
use crate::credential_rotations::keys::REPLACED;
use crate::entity::{credential_rotation, credential_version, rotated_key};

/// What is known of a key that a rotation has replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplacedKey {
    /// When the vault revokes it, or tries that again; `None` if it does not any more.
    pub revoke_time: Option<Timestamp>,
    /// Since when, or from when on, the provider does not accept it.
    pub end_time: Option<Timestamp>,
    /// Whether it may be left at the provider, where it is not known to end.
    pub may_be_left: bool,
}

impl CredentialRotations<'_> {
    /// What became of the key of a version that a rotation has replaced.
    ///
    /// # Errors
    /// The tenant does not exist, or the database fails.
    pub async fn replaced(
        &self,
        scope: &TenantScope,
        connection: ConnectionId,
        version: Version,
    ) -> Result<ReplacedKey, Error> {
        let reading = self.store.read_any(scope.tenant()).await?;
        let (tenant, id) = (scope.tenant().as_str(), connection.as_uuid());
        use rotated_key::Column as Key;
        let waiting = rotated_key::Entity::find()
            .filter(Key::TenantId.eq(tenant))
            .filter(Key::ConnectionId.eq(id))
            .filter(Key::Role.eq(REPLACED))
            .filter(Key::Version.eq(version))
            .one(&reading.tx)
            .await?;
        let of_version = (tenant.to_owned(), id, version);
        let stored = credential_version::Entity::find_by_id(of_version).one(&reading.tx).await?;
        // The times of a key are noted at its versions that are there, so one that is gone or destroyed says nothing.
        let may_be_left = match &stored {
            Some(stored) if stored.sealed.is_some() => true,
            Some(_) | None => {
                let row =
                    credential_rotation::Entity::find_by_id((tenant.to_owned(), id)).one(&reading.tx).await?;
                row.is_some_and(|row| row.left_time.is_some())
            }
        };
        Ok(ReplacedKey {
            revoke_time: waiting.map(|key| Timestamp::from_micros(key.due_time)),
            end_time: stored.and_then(|stored| stored.key_revoke_time).map(Timestamp::from_micros),
            may_be_left,
        })
    }
}
