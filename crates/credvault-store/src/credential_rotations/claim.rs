//! Claiming a rotation: before the provider is asked for a key, so that a crash leaves a trace.

use std::time::Duration;

use credvault_domain::{Connection, Etag, SecretFields, Timestamp, Version};
use sea_orm::ActiveValue::Set;
use sea_orm::{ActiveModelTrait as _, EntityTrait as _, IntoActiveModel as _};
use uuid::Uuid;

use super::CredentialRotations;
use crate::change::Change;
use crate::claims::{Running, claimed_at, lease_from};
use crate::connections::lock::{DELETED, locked_at};
use crate::connections::row::connection;
use crate::credential_rotations::automatic::failures_after;
use crate::credential_rotations::doubtful::doubt_old_key;
use crate::credential_rotations::keys::{due_now, for_version, give_up, last_end, new_key, open};
use crate::credential_rotations::left::{LeftKey, leave};
use crate::credential_rotations::old_keys::mark_revoked;
use crate::credential_rotations::row::{MINTED, MINTING, find, find_or_new, holder, idle, release, save};
use crate::credential_rotations::shared::{changed_fields, is_same_key, serving};
use crate::credentials::current::open_current;
use crate::credentials::open_version;
use crate::database::session::served;
use crate::entity::{connection as connection_table, credential_rotation, credential_version, rotated_key};
use crate::secrets::at_hand::{InHand, Wanted};
use crate::secrets::content::SecretContent;
use crate::{ConnectionKey, Error, Recorded, Write};

/// Why the vault does not rotate a secret of others.
const ADOPTED: &str =
    "others keep this credential in a secret store, and the vault only reads it; replace it there";
/// How long the next attempt waits after a claim whose process has gone. Doubled with each failure.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);
/// When a new key of a deleted connection is looked at again.
const WHILE_DELETED: Duration = Duration::from_secs(3600);

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
    /// The request that it is for was done before.
    Done,
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
    /// After how long the key before ends because another one is made; `None` if it does not.
    pub(super) old_key_life: Option<Duration>,
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
    /// Claims the rotation of a connection's credential, as the vault's own work.
    ///
    /// # Errors
    /// As for [`CredentialRotations::claim_for`].
    pub async fn claim(
        &self,
        key: &ConnectionKey,
        etag: Option<Etag>,
        wish: RotationWish,
    ) -> Result<RotationClaim, Error> {
        self.claim_for(key, etag, wish, None).await
    }

    /// Claims the rotation of a connection's credential for a caller's request.
    ///
    /// # Errors
    /// The connection is deleted, has another etag or no credential, the tenant is not served, the request id was used for
    /// another request, a sealed value does not open, or the database fails.
    pub async fn claim_for(
        &self,
        key: &ConnectionKey,
        etag: Option<Etag>,
        wish: RotationWish,
        write: Option<&Write>,
    ) -> Result<RotationClaim, Error> {
        let store = self.store;
        let Some(process) = store.liveness().process_id() else { return Ok(RotationClaim::Unproven) };
        // A new key may be for an earlier version.
        let wanted = if wish.old_key_life.is_some() { Wanted::All } else { Wanted::Current };
        let in_hand = store.bring_to_hand(key, wanted).await?;
        let (mut change, state) = store.own_sealing_change(&key.tenant).await?;
        served(&key.tenant, state)?;
        let now = store.database_time(&change.tx).await?;
        let mut model = locked_at(&change.tx, key).await?.ok_or(Error::ConnectionNotFound)?;
        // It may have been done while this one waited for the row.
        if let Some(write) = write
            && change.was_made(write).await?
        {
            return Ok(RotationClaim::Done);
        }
        let is_wanted = match check(&model, etag) {
            Err(_) if wish.new_key_only => false,
            checked => checked.map(|()| true)?,
        };
        let mut row = find_or_new(&change.tx, &model, wish.mints).await?;
        if row.process_id.is_some() && !store.is_gone(&change.tx, holder(&row), process, now).await? {
            return Ok(RotationClaim::Busy);
        }
        abandon(&mut change, &mut model, &mut row).await?;
        row.mints = wish.mints;
        match ready(&mut change, &in_hand, (&model, &mut row), is_wanted, wish).await? {
            Ready::Not(answer) => {
                save(&change, &model, row).await?;
                change.commit(answer).await.map(Recorded::into_inner)
            }
            Ready::For(minted) => {
                self.hold(change, in_hand, (model, row), key, (wish, minted, process, now)).await
            }
        }
    }

    /// Makes the claim stand.
    async fn hold(
        &self,
        change: Change<'_>,
        in_hand: InHand,
        (model, mut row): (connection_table::Model, credential_rotation::Model),
        key: &ConnectionKey,
        (wish, minted, process, now): (RotationWish, Option<MintedKey>, Uuid, i64),
    ) -> Result<RotationClaim, Error> {
        let (content, _) = open_current(&change.tx, change.keys()?, &model).await?;
        if matches!(content, SecretContent::Adopted(_)) {
            return Err(Error::State(ADOPTED));
        }
        let claim_id = self.store.new_id()?;
        // Whatever can fail fails before the claim stands.
        let claimed = ClaimedRotation {
            key: key.clone(),
            connection: connection(model.clone())?,
            fields: in_hand.into_fields(&content)?,
            version: model.current_version,
            failures: u32::try_from(row.failures).unwrap_or(u32::MAX),
            claim_id,
            process,
            _running: Running::begin(self.store.running_claims(), claim_id),
            old_key_life: wish.old_key_life,
            minted,
        };
        hold(&mut row, &claimed, wish, now);
        save(&change, &model, row).await?;
        change.commit(RotationClaim::Ours(Box::new(claimed))).await.map(Recorded::into_inner)
    }

    /// Notes, where the key before ends because another one is made, that the call for that is about to be sent: from then on
    /// a claim whose process is gone leaves a doubt about the key before.
    ///
    /// # Errors
    /// Another process has taken the rotation over, or the database fails: then nothing must be sent.
    pub async fn sending(&self, claimed: &ClaimedRotation) -> Result<(), Error> {
        let Some(life) = claimed.old_key_life else { return Ok(()) };
        let change = self.store.own_change(&claimed.key.tenant).await?;
        let row = find(&change.tx, claimed.key.row_id()).await?;
        let row = row.filter(|row| row.claim_id == Some(claimed.claim_id));
        let mut row = row.ok_or(Error::CredentialRotationRunning)?.into_active_model();
        row.old_key_life = Set(Some(micros(life)));
        row.update(&change.tx).await?;
        change.commit_preparation().await
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
    // For a call that is still to be made, see `sending`.
    row.old_key_life = wish.old_key_life.filter(|_| has_key).map(micros);
    // From now on it says nothing any more.
    row.retry_time = None;
    (row.claim_id, row.process_id, row.lease_time) =
        (Some(claimed.claim_id), Some(claimed.process), Some(lease_from(now)));
}

fn micros(life: Duration) -> i64 {
    i64::try_from(life.as_micros()).unwrap_or(i64::MAX)
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
        let pause = FIRST_PAUSE.saturating_mul(1_u32 << row.failures.clamp(0, 16)).min(LONGEST_PAUSE);
        row.retry_time = Some(change.now.after(pause).micros());
        row.failures = failures_after(row.failures, true);
        row.in_vain += 1;
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

/// Whether a rotation can be claimed.
enum Ready {
    /// It can, with the new key that waits, or for another one to be made.
    For(Option<MintedKey>),
    /// It cannot be claimed now.
    Not(RotationClaim),
}

/// Finds out what there is to do for a connection that no process rotates.
async fn ready(
    change: &mut Change<'_>,
    in_hand: &InHand,
    (model, row): (&connection_table::Model, &mut credential_rotation::Model),
    is_wanted: bool,
    wish: RotationWish,
) -> Result<Ready, Error> {
    if let Some(retry) = row.retry_time.filter(|retry| !wish.forced && *retry > change.now.micros()) {
        return Ok(Ready::Not(RotationClaim::Later(Timestamp::from_micros(retry))));
    }
    let minted = waiting((&mut *change, in_hand), (model, &mut *row), is_wanted, wish.old_key_life).await?;
    if minted.is_some() {
        return Ok(Ready::For(minted));
    }
    if wish.new_key_only {
        idle(row);
        return Ok(Ready::Not(RotationClaim::Nothing));
    }
    let must_wait = wish.one_by_one && is_ending(change, model, row, wish).await?;
    Ok(if must_wait { Ready::Not(RotationClaim::Ending) } else { Ready::For(None) })
}

/// The new key that waits to be tested, for the version that is still current. One for another version is not used, unless
/// that has the same key: see [`replaced_by`].
async fn waiting(
    (change, in_hand): (&mut Change<'_>, &InHand),
    (model, row): (&connection_table::Model, &mut credential_rotation::Model),
    is_wanted: bool,
    old_key_life: Option<Duration>,
) -> Result<Option<MintedKey>, Error> {
    let Some(mut key) = new_key(change, model).await? else { return Ok(None) };
    let fields = open(change.keys()?, model, &key).ok();
    let serves = match (&fields, old_key_life) {
        (None, _) => false,
        (Some(_), None) => is_wanted && key.version == model.current_version,
        // After it was undeleted, no other key will work.
        (Some(_), Some(_)) if model.delete_time.is_some() && model.current_version > 0 => {
            let mut key = key.into_active_model();
            key.due_time = Set(change.now.after(WHILE_DELETED).micros());
            key.update(&change.tx).await?;
            return Ok(None);
        }
        (Some(_), Some(_)) if key.version == model.current_version => is_wanted,
        (Some(fields), Some(life)) => {
            is_wanted && replaced_by((&mut *change, in_hand), model, (&key, fields), life).await?
        }
    };
    let Some(fields) = fields.filter(|_| serves) else {
        if let Some(left) = give_up(change, model, key).await? {
            leave(change, model, row, left)?;
        }
        return Ok(None);
    };
    if key.version != model.current_version {
        key = for_version(change, model, (key, &fields), model.current_version).await?;
    }
    Ok(Some(MintedKey {
        fields,
        expire_time: key.expire_time.map(Timestamp::from_micros),
        create_time: Timestamp::from_micros(key.create_time),
        key_id: key.key_id,
        number: key.number,
    }))
}

/// Whether the current version has the key that the provider ends because it has made this new one: a caller has put that once
/// more, or rolled back to it. If it has another key, the old one is noted to end.
async fn replaced_by(
    (change, in_hand): (&mut Change<'_>, &InHand),
    model: &connection_table::Model,
    (key, new): (&rotated_key::Model, &SecretFields),
    life: Duration,
) -> Result<bool, Error> {
    let id = (model.tenant_id.clone(), model.id, key.version);
    let Some(version) = credential_version::Entity::find_by_id(id).one(&change.tx).await? else {
        return Ok(false);
    };
    let Ok(content) = open_version(change, model, &version) else { return Ok(false) };
    let Some(old) = in_hand.fields(&content)? else { return Ok(false) };
    let names = changed_fields(&old, new);
    let Some(serving) = serving(change, model, in_hand).await? else { return Ok(false) };
    if is_same_key(&serving, &old, &names) {
        return Ok(true);
    }
    let end = Timestamp::from_micros(key.create_time).after(life);
    mark_revoked((change, in_hand), model, (&old, &names), end).await?;
    Ok(false)
}
