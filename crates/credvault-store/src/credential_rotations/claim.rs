//! Claiming a rotation: before the provider is asked for a key, so that a crash leaves a trace.

use std::time::Duration;

use credvault_domain::{Connection, Etag, SecretFields, Timestamp, Version};
use uuid::Uuid;

use super::CredentialRotations;
use crate::change::Change;
use crate::claims::{Running, claimed_at, lease_from};
use crate::connections::lock::{DELETED, locked_at};
use crate::connections::row::connection;
use crate::credential_rotations::doubtful::doubt_old_key;
use crate::credential_rotations::keys::{due_now, give_up, last_end, new_key, open};
use crate::credential_rotations::left::{LeftKey, leave};
use crate::credential_rotations::row::{MINTED, MINTING, find_or_new, holder, idle, release, save};
use crate::credentials::current::open_current;
use crate::database::session::served;
use crate::entity::{connection as connection_table, credential_rotation};
use crate::secrets::at_hand::Wanted;
use crate::secrets::content::SecretContent;
use crate::{ConnectionKey, Error, Recorded};

/// Why the vault does not rotate a secret of others.
const ADOPTED: &str =
    "others keep this credential in a secret store, and the vault only reads it; replace it there";

/// What became of an attempt to claim a rotation.
#[derive(Debug)]
pub enum RotationClaim {
    /// It is ours: ask the provider for a key now, or test the one that is there.
    Ours(Box<ClaimedRotation>),
    /// Another attempt is at it.
    Busy,
    /// This process cannot prove at the moment that it lives, so it may claim nothing.
    Unproven,
    /// The last attempts failed, so the next one must wait until then.
    Later(Timestamp),
    /// There is no new key to be tested, and no other one is wanted.
    Nothing,
    /// An earlier key is still to end, and must before another one is made.
    Ending,
}

/// What an attempt to rotate is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RotationWish {
    /// Whether it ignores that the last attempt failed a moment ago.
    pub forced: bool,
    /// Whether the provider has a call that makes a key.
    pub mints: bool,
    /// Whether it only tests a new key that is there, and makes none.
    pub new_key_only: bool,
    /// Whether all keys before are revoked as soon as the new one serves, without an overlap.
    pub revoke_now: bool,
    /// Whether no key may be made while another one is still to end.
    pub one_by_one: bool,
    /// After how long the provider ends the key before by itself once another one was made; `None` if it does not.
    pub old_key_life: Option<Duration>,
}

/// A rotation that this process has claimed.
#[derive(Debug)]
pub struct ClaimedRotation {
    /// The key of the connection.
    pub key: ConnectionKey,
    /// The connection as it is now.
    pub connection: Connection,
    /// The secret fields of the current version.
    pub fields: SecretFields,
    /// The version that is current.
    pub version: Version,
    /// How many attempts have failed in a row.
    pub failures: u32,
    /// A new key that an earlier attempt has left to be tested.
    pub minted: Option<MintedKey>,
    pub(super) claim_id: Uuid,
    /// Whether the key before ends because another one is made.
    pub(super) ends_old: bool,
    process: Uuid,
    _running: Running,
}

/// A new key that is sealed, and neither tested nor served yet.
#[derive(Clone, Debug)]
pub struct MintedKey {
    /// All secret fields of the credential with this key.
    pub fields: SecretFields,
    /// When the key ends by itself.
    pub expire_time: Option<Timestamp>,
    /// When the vault got it.
    pub create_time: Timestamp,
    /// Its id at the provider, if that is known.
    pub key_id: Option<String>,
    pub(super) number: i64,
}

impl CredentialRotations<'_> {
    /// Claims the rotation of a connection's credential.
    ///
    /// # Errors
    /// The connection is deleted, has another etag or no credential, the tenant is not served, a sealed value does not open,
    /// or the database fails.
    pub async fn claim(
        &self,
        key: &ConnectionKey,
        etag: Option<Etag>,
        wish: RotationWish,
    ) -> Result<RotationClaim, Error> {
        let (store, RotationWish { forced, mints, new_key_only, .. }) = (self.store, wish);
        let Some(process) = store.liveness().process_id() else { return Ok(RotationClaim::Unproven) };
        let in_hand = store.bring_to_hand(key, Wanted::Current).await?;
        let (mut change, state) = store.own_sealing_change(&key.tenant).await?;
        served(&key.tenant, state)?;
        let now = store.database_time(&change.tx).await?;
        let mut model = locked_at(&change.tx, key).await?.ok_or(Error::ConnectionNotFound)?;
        let is_wanted = match check(&model, etag) {
            // The key is given up then.
            Err(_) if new_key_only => false,
            checked => checked.map(|()| true)?,
        };
        let mut row = find_or_new(&change.tx, &model, mints).await?;
        if row.process_id.is_some() && !store.is_gone(&change.tx, holder(&row), process, now).await? {
            return Ok(RotationClaim::Busy);
        }
        if let Some(retry) = row.retry_time.filter(|retry| !forced && *retry > change.now.micros()) {
            return Ok(RotationClaim::Later(Timestamp::from_micros(retry)));
        }
        abandon(&mut change, &mut model, &mut row).await?;
        let minted = waiting(&mut change, &model, &mut row, is_wanted).await?;
        row.mints = mints;
        if new_key_only && minted.is_none() {
            idle(&mut row);
            save(&change, &model, row).await?;
            return change.commit(RotationClaim::Nothing).await.map(Recorded::into_inner);
        }
        if minted.is_none() && wish.one_by_one && is_ending(&change, &model, &mut row, wish).await? {
            save(&change, &model, row).await?;
            return change.commit(RotationClaim::Ending).await.map(Recorded::into_inner);
        }
        let (content, _) = open_current(&change.tx, change.keys()?, &model).await?;
        if matches!(content, SecretContent::Adopted(_)) {
            return Err(Error::State(ADOPTED));
        }
        let claim_id = store.new_id()?;
        // Whatever can fail fails before the claim stands.
        let claimed = ClaimedRotation {
            key: key.clone(),
            connection: connection(model.clone())?,
            fields: in_hand.into_fields(&content)?,
            version: model.current_version,
            failures: u32::try_from(row.failures).unwrap_or(u32::MAX),
            claim_id,
            process,
            _running: Running::begin(store.running_claims(), claim_id),
            ends_old: wish.old_key_life.is_some(),
            minted,
        };
        hold(&mut row, &claimed, wish, now);
        save(&change, &model, row).await?;
        change.commit(RotationClaim::Ours(Box::new(claimed))).await.map(Recorded::into_inner)
    }

    /// Whether a call may still be sent for what was claimed: this process is still provably the one that claimed.
    pub fn may_send(&self, claimed: &ClaimedRotation) -> bool {
        self.store.liveness().process_id() == Some(claimed.process)
    }
}

/// Notes in the row who has claimed the rotation, and what for.
fn hold(row: &mut credential_rotation::Model, claimed: &ClaimedRotation, wish: RotationWish, now: i64) {
    let has_key = claimed.minted.is_some();
    row.state = if has_key { MINTED } else { MINTING }.to_owned();
    row.version = Some(claimed.version);
    // What was wanted when the key was made still holds.
    row.revoke_now = wish.revoke_now || (row.revoke_now && has_key);
    row.old_key_life = wish.old_key_life.map(|life| i64::try_from(life.as_micros()).unwrap_or(i64::MAX));
    (row.claim_id, row.process_id, row.lease_time) =
        (Some(claimed.claim_id), Some(claimed.process), Some(lease_from(now)));
}

/// Refuses a rotation of what has another etag, or nothing to rotate.
fn check(model: &connection_table::Model, etag: Option<Etag>) -> Result<(), Error> {
    if model.delete_time.is_some() {
        return Err(Error::State(DELETED));
    }
    if etag.is_some_and(|etag| etag.revision() != model.revision) {
        return Err(Error::EtagMismatch);
    }
    if model.current_version == 0 { Err(Error::NoCredential) } else { Ok(()) }
}

/// Ends a claim whose process is gone. A call that it may have sent may have made a key that no one knows.
///
/// # Errors
/// The database or the random generator fails.
pub(super) async fn abandon(
    change: &mut Change<'_>,
    model: &mut connection_table::Model,
    row: &mut credential_rotation::Model,
) -> Result<(), Error> {
    if row.state == MINTING {
        leave(change, model, row, LeftKey(None))?;
        // The call was sent soon after the claim.
        let sent = row.lease_time.map_or(change.now, |lease| Timestamp::from_micros(claimed_at(lease)));
        doubt_old_key(change, model, row, sent).await?;
        idle(row);
    }
    release(row);
    Ok(())
}

/// Whether an earlier key is still to end, so that none may be made before. The vault then waits with its own attempts, and
/// the keys end at once if the caller wants that.
async fn is_ending(
    change: &Change<'_>,
    model: &connection_table::Model,
    row: &mut credential_rotation::Model,
    wish: RotationWish,
) -> Result<bool, Error> {
    let Some(last) = last_end(change, model).await? else { return Ok(false) };
    if wish.revoke_now {
        due_now(change, model).await?;
    } else {
        row.retry_time = Some(last);
    }
    Ok(true)
}

/// The new key that waits to be tested, for the version that is still current. One for another version is not used.
async fn waiting(
    change: &mut Change<'_>,
    model: &connection_table::Model,
    row: &mut credential_rotation::Model,
    is_wanted: bool,
) -> Result<Option<MintedKey>, Error> {
    let Some(key) = new_key(change, model).await? else { return Ok(None) };
    let fields = open(change.keys()?, model, &key).ok();
    let Some(fields) = fields.filter(|_| is_wanted && key.version == model.current_version) else {
        if let Some(left) = give_up(change, model, key).await? {
            leave(change, model, row, left)?;
        }
        return Ok(None);
    };
    Ok(Some(MintedKey {
        fields,
        expire_time: key.expire_time.map(Timestamp::from_micros),
        create_time: Timestamp::from_micros(key.create_time),
        key_id: key.key_id,
        number: key.number,
    }))
}
