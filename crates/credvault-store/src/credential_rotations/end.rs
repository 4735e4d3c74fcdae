//! The steps of a rotation after the provider has answered: the new key is kept, and served once it was tested, or given up.

use std::time::Duration;

use credvault_domain::{
    Connection, Destinations, FieldName, Reason, SecretFields, TenantScope, Timestamp, Version,
};
use sea_orm::EntityTrait as _;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, QueryFilter as _};

use super::CredentialRotations;
use crate::change::{Change, retrying};
use crate::connections::lock::{find as find_connection, locked_at, locked_live};
use crate::connections::row::connection;
use crate::credential_rotations::automatic::failures_after;
use crate::credential_rotations::claim::{ClaimedRotation, MintedKey};
use crate::credential_rotations::doubtful::doubt_old_key;
use crate::credential_rotations::keys::{Kept, NEW, REPLACED, UNUSED, due_now, give_up, keep, new_key};
use crate::credential_rotations::left::{LeftKey, leave};
use crate::credential_rotations::old_keys::mark_revoked;
use crate::credential_rotations::row::{MINTED, MINTING, find, forget_failures, idle, release, save};
use crate::credentials::stored::{require_whole, store_version};
use crate::entity::{connection as connection_table, credential_rotation, rotated_key};
use crate::secrets::at_hand::{InHand, Wanted};
use crate::{Error, NewCredential, Recorded, Write};

/// A key that the provider has made.
#[derive(Debug)]
pub struct NewKey {
    /// All secret fields of the credential with this key.
    pub fields: SecretFields,
    /// When the key ends by itself.
    pub expire_time: Option<Timestamp>,
    /// Its id at the provider, if that is known.
    pub key_id: Option<String>,
}

/// What becomes of the key that a new one replaces.
#[derive(Clone, Debug)]
pub enum RotatedFrom {
    /// The vault revokes it at this instant, or right after.
    Revoked {
        /// When it is revoked.
        time: Timestamp,
        /// Its id at the provider, if that is known.
        key_id: Option<String>,
    },
    /// The provider ends it by itself.
    Ends {
        /// When it has ended.
        time: Timestamp,
        /// The fields that a new key changes.
        names: Vec<FieldName>,
    },
}

/// How an attempt ended that gave no new version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RotationFailure {
    /// How long the next attempt waits.
    pub retry: Duration,
    /// Why there is no new version.
    pub reason: Reason,
    /// Whether a key may have been made whose secret is lost.
    pub lost: bool,
    /// Whether a key was made, or may have been, that does not serve.
    pub in_vain: bool,
    /// Whether it does not pass by itself.
    pub lasting: bool,
}

impl CredentialRotations<'_> {
    /// What a repeated request has done before; `None` for a request that is made for the first time.
    ///
    /// # Errors
    /// The tenant is not served, the request id was used for another request, or the database fails.
    pub async fn repeated(
        &self,
        scope: &TenantScope,
        write: &Write,
    ) -> Result<Option<Recorded<(Connection, Version)>>, Error> {
        let mut change = self.store.change(scope, write).await?;
        let Some(prior) = change.prior() else { return Ok(None) };
        let id = prior.connection().ok_or(Error::ConnectionNotFound)?;
        let model = find_connection(&change.tx, scope, id).await?;
        change.set_connection(id, prior.version);
        change.set_owner(&model.owner_user);
        let version = prior.version.unwrap_or(model.current_version);
        change.commit((connection(model)?, version)).await.map(Some)
    }

    /// Keeps a key that the provider has made for the request `write`, sealed, before it is tested. `None` if the claim or the
    /// credential is another one by now. The job then revokes the key, or serves it if it has ended the one before. If the
    /// settings `to`, which decide the host, have changed, the key is dropped: another host must not get it.
    ///
    /// # Errors
    /// The connection is gone, or the database fails: try again, for nothing else has this key.
    pub async fn keep(
        &self,
        claimed: &ClaimedRotation,
        new: &NewKey,
        to: &Destinations,
        write: &Write,
    ) -> Result<Option<MintedKey>, Error> {
        let (mut change, _) = self.store.own_sealing_change(&claimed.key.tenant).await?;
        let (model, mut row) = locked(&change, claimed).await?;
        let is_ours = row.claim_id == Some(claimed.claim_id) && row.state == MINTING;
        if to.differ(&model.config, &claimed.connection.config) {
            leave(&mut change, &model, &mut row, LeftKey(new.key_id.clone()))?;
            if is_ours {
                idle(&mut row);
            }
            save(&change, &model, row).await?;
            return change.commit(None).await.map(Recorded::into_inner);
        }
        let serves = model.delete_time.is_none() && model.current_version == claimed.version;
        // Also if another process has taken the claim over, or another version is current: no other key may work, so the next
        // claim looks at what serves.
        let has_version = model.current_version > 0;
        let is_only =
            claimed.old_key_life.is_some() && has_version && new_key(&change, &model).await?.is_none();
        let is_used = (serves && is_ours) || is_only;
        let (role, due) = match row.lease_time {
            Some(lease) if is_used => (NEW, Timestamp::from_micros(lease)),
            Some(_) | None => (if is_used { NEW } else { UNUSED }, change.now),
        };
        let key = Kept {
            role,
            version: claimed.version,
            fields: &new.fields,
            key_id: new.key_id.as_deref(),
            expire_time: new.expire_time,
            due_time: due,
        };
        let number = keep(&change, &model, &mut row, key).await?;
        match (is_ours, is_used) {
            (true, true) => row.state = MINTED.to_owned(),
            (true, false) => idle(&mut row),
            (false, _) => {}
        }
        if is_used {
            row.request = change.noted(write)?;
            // A pause after earlier failures must not keep this key waiting.
            row.retry_time = None;
        }
        save(&change, &model, row).await?;
        let create_time = change.now;
        change.commit_preparation().await?;
        let NewKey { fields, expire_time, key_id } = new;
        let (fields, expire_time, key_id) = (fields.clone(), *expire_time, key_id.clone());
        Ok((is_ours && is_used).then_some(MintedKey { fields, expire_time, create_time, key_id, number }))
    }

    /// Serves a new key that was tested: stores it as a version, and keeps the key before until it has ended.
    ///
    /// # Errors
    /// The credential is another one by now ([`Error::VersionMismatch`]), another process has taken the rotation over, the
    /// connection is gone or deleted, or the database fails.
    pub async fn store(
        &self,
        scope: &TenantScope,
        (claimed, minted): (&ClaimedRotation, &MintedKey),
        credential: &NewCredential,
        from: &RotatedFrom,
        write: &Write,
    ) -> Result<Recorded<(Connection, Version)>, Error> {
        let in_hand = &self.store.bring_to_hand(&claimed.key, Wanted::All).await?;
        retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            if let Some(prior) = change.prior() {
                let (model, mut row) = locked(&change, claimed).await?;
                // The key was made for a request that was done meanwhile.
                if row.claim_id == Some(claimed.claim_id) {
                    give_new_up(&mut change, &model, &mut row).await?;
                    save(&change, &model, row).await?;
                }
                change.set_connection(claimed.key.connection, prior.version);
                change.set_owner(&model.owner_user);
                let version = prior.version.unwrap_or(model.current_version);
                return change.commit((connection(model)?, version)).await;
            }
            let model = locked_live(&mut change, scope, claimed.key.connection, None).await?;
            let id = (model.tenant_id.clone(), model.id);
            let row = find(&change.tx, id).await?.filter(|row| row.claim_id == Some(claimed.claim_id));
            let mut row = row.ok_or(Error::CredentialRotationRunning)?;
            if model.current_version != claimed.version {
                return Err(Error::VersionMismatch { current: model.current_version });
            }
            require_whole(&change, &model).await?;
            delete_key(&change, &model, minted.number).await?;
            replaced((&mut change, in_hand), (&model, &mut row), claimed, from).await?;
            if row.revoke_now {
                due_now(&change, &model).await?;
            }
            let noted = row.request.clone();
            idle(&mut row);
            forget_failures(&mut row);
            save(&change, &model, row).await?;
            let (model, version) = store_version(&mut change, model, &credential.into(), None).await?;
            // The process that was asked for the key may be another one.
            if let Some(noted) = noted {
                change.remember_noted(&noted, claimed.key.connection, version.version).await?;
            }
            change.commit((connection(model)?, version.version)).await
        })
        .await
    }

    /// Gives a new key up: it is revoked, and the credential before serves on.
    ///
    /// # Errors
    /// The database fails.
    pub async fn discard(&self, claimed: &ClaimedRotation, failure: RotationFailure) -> Result<(), Error> {
        let (mut change, _) = self.store.own_sealing_change(&claimed.key.tenant).await?;
        let (model, mut row) = match locked(&change, claimed).await {
            Err(Error::ConnectionNotFound) => return Ok(()),
            locked => locked?,
        };
        if row.claim_id != Some(claimed.claim_id) {
            return Ok(());
        }
        give_new_up(&mut change, &model, &mut row).await?;
        failed(&change, &mut row, failure);
        save(&change, &model, row).await?;
        change.commit(()).await.map(Recorded::into_inner)
    }

    /// Leaves a new key to be tested again later, for the provider has not said whether it works.
    ///
    /// # Errors
    /// The database fails.
    pub async fn postpone(&self, claimed: &ClaimedRotation, failure: RotationFailure) -> Result<(), Error> {
        let change = self.store.own_change(&claimed.key.tenant).await?;
        let (model, mut row) = match locked(&change, claimed).await {
            Err(Error::ConnectionNotFound) => return Ok(()),
            locked => locked?,
        };
        if row.claim_id != Some(claimed.claim_id) {
            return Ok(());
        }
        release(&mut row);
        failed(&change, &mut row, failure);
        use rotated_key::Column;
        let retry = row.retry_time.unwrap_or(change.now.micros());
        rotated_key::Entity::update_many()
            .col_expr(Column::DueTime, Expr::value(retry))
            .filter(Column::TenantId.eq(model.tenant_id.as_str()))
            .filter(Column::ConnectionId.eq(model.id))
            .filter(Column::Role.eq(NEW))
            .exec(&change.tx)
            .await?;
        save(&change, &model, row).await?;
        change.commit_preparation().await
    }

    /// Ends a claim of which no key came.
    ///
    /// # Errors
    /// The database fails.
    pub async fn fail(&self, claimed: &ClaimedRotation, failure: RotationFailure) -> Result<(), Error> {
        let mut change = self.store.own_change(&claimed.key.tenant).await?;
        let (mut model, mut row) = match locked(&change, claimed).await {
            Err(Error::ConnectionNotFound) => return Ok(()),
            locked => locked?,
        };
        if row.claim_id != Some(claimed.claim_id) {
            return Ok(());
        }
        if failure.lost {
            leave(&mut change, &model, &mut row, LeftKey(None))?;
            let now = change.now;
            doubt_old_key(&mut change, &mut model, &row, now).await?;
        }
        idle(&mut row);
        failed(&change, &mut row, failure);
        save(&change, &model, row).await?;
        change.commit(()).await.map(Recorded::into_inner)
    }
}

/// The locked rows of a claimed rotation.
async fn locked(
    change: &Change<'_>,
    claimed: &ClaimedRotation,
) -> Result<(connection_table::Model, credential_rotation::Model), Error> {
    let model = locked_at(&change.tx, &claimed.key).await?.ok_or(Error::ConnectionNotFound)?;
    let row = find(&change.tx, claimed.key.row_id()).await?.ok_or(Error::ConnectionNotFound)?;
    Ok((model, row))
}

/// Gives the new key up that waits, and nothing is in progress any more.
async fn give_new_up(
    change: &mut Change<'_>,
    model: &connection_table::Model,
    row: &mut credential_rotation::Model,
) -> Result<(), Error> {
    if let Some(key) = new_key(change, model).await?
        && let Some(left) = give_up(change, model, key).await?
    {
        leave(change, model, row, left)?;
    }
    idle(row);
    Ok(())
}

/// What an attempt without a new version leaves in the row.
fn failed(change: &Change<'_>, row: &mut credential_rotation::Model, failure: RotationFailure) {
    row.failures = failures_after(row.failures, failure.lasting);
    row.in_vain += i64::from(failure.in_vain);
    row.retry_time = Some(change.now.after(failure.retry).micros());
    row.trouble = Some(failure.reason.as_str().to_owned());
}

/// The key of the version that is replaced is kept until the vault revokes it, or has ended.
async fn replaced(
    (change, in_hand): (&mut Change<'_>, &InHand),
    (model, row): (&connection_table::Model, &mut credential_rotation::Model),
    claimed: &ClaimedRotation,
    from: &RotatedFrom,
) -> Result<(), Error> {
    match from {
        RotatedFrom::Revoked { time, key_id } => {
            let old = Kept {
                role: REPLACED,
                version: claimed.version,
                fields: &claimed.fields,
                key_id: key_id.as_deref(),
                expire_time: None,
                due_time: *time,
            };
            keep(change, model, row, old).await.map(drop)
        }
        RotatedFrom::Ends { time, names } => {
            mark_revoked((change, in_hand), model, (&claimed.fields, names), *time).await
        }
    }
}

async fn delete_key(change: &Change<'_>, model: &connection_table::Model, number: i64) -> Result<(), Error> {
    let id = (model.tenant_id.clone(), model.id, number);
    rotated_key::Entity::delete_by_id(id).exec(&change.tx).await?;
    Ok(())
}
