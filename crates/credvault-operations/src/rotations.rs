//! Credentials that are replaced at their providers: on request, and by the vault when they are due.
//! `docs/credential-rotation.md` has the protocol and its reasons.

mod attempt;
mod by_hand;
pub mod due;
mod ends;
mod wish;

use std::sync::Arc;
use std::time::Duration;

use credvault_catalog::{Mint, Mode, OldKeyEnd};
use credvault_domain::{Connection, ConnectionId, Etag, TenantScope, Timestamp, Version};
use credvault_store::{
    ClaimedRotation, ConnectionKey, Error as StoreError, Recorded, ReplacedKey, RotationClaim, RotationWish,
    Write,
};
use tokio::time::Instant;

use crate::{Call, Parsed, Refusal, Repeat};
use attempt::Attempt;
use wish::wish;

/// How often a process that cannot prove yet that it lives tries again to claim.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A credential to be replaced.
#[derive(Debug)]
pub struct Rotate {
    /// The connection whose credential it is.
    pub connection: ConnectionId,
    /// The etag that it must have, if the caller names one.
    pub etag: Option<Etag>,
    /// How a repetition is recognised.
    pub repeat: Parsed<Option<Repeat>>,
    /// Whether the keys before are revoked at once, and not after the time for which both are accepted.
    pub revoke_now: bool,
}

/// A credential that was replaced.
#[derive(Debug)]
pub struct Rotated {
    /// The connection as it is now.
    pub connection: Connection,
    /// The version that has the new key.
    pub version: Version,
    /// What becomes of the key before.
    pub old_key: OldKey,
}

/// What becomes of a key that was replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OldKey {
    /// The provider does not accept it any more.
    Ended,
    /// The vault revokes it, at this instant or right after.
    Revoked(Option<Timestamp>),
    /// The provider ends it by itself, at about this instant.
    EndsByItself(Option<Timestamp>),
    /// The vault cannot revoke it: a person has to.
    Left,
}

/// `RotateCredential`: has the provider make another key, tests it, serves it in place of the one before, and has that one
/// end.
///
/// # Errors
/// Policy does not permit it, the provider makes no key or none that works, or another credential was stored meanwhile.
pub async fn rotate(call: &mut Call, rotate: Rotate) -> Result<Recorded<Rotated>, Refusal> {
    let Rotate { connection: id, etag, repeat, revoke_now } = rotate;
    let scope = call.scope()?;
    let (permit, connection) = call.connection(id).await?;
    let write = call.write(&permit, repeat)?;
    let context = Arc::clone(&call.context);
    let mode = context.mode(&connection.provider, &connection.auth_mode)?;
    let mint = mode.mint().ok_or_else(|| by_hand::error(&context, &connection, mode))?;
    mode.check_destinations(&connection.config).map_err(Refusal::Settings)?;
    if let Some(before) = repeated(call, &scope, mint, &write).await? {
        return Ok(before);
    }
    call.count_forced(&scope).await?;
    let key = context.store.connection_key(&scope, id);
    let wish = RotationWish { forced: true, revoke_now, ..wish(mode, &connection.config) };
    let Some((started, claimed)) = claimed(call, (&key, etag), mode, wish, &write).await? else {
        let before = repeated(call, &scope, mint, &write).await?;
        return before.ok_or_else(|| StoreError::CredentialRotationRunning.into());
    };
    let (of_attempt, in_scope) = (Arc::clone(&context), Arc::clone(&scope));
    let attempt = Attempt { context: of_attempt, scope: in_scope, write, claimed, started };
    // A key that was made must not be lost because its caller has gone.
    let working = tokio::time::timeout_at(call.patience(), context.spawn(attempt.run())).await;
    let served = working.map_err(|_| Refusal::Deadline)?.map_err(|_| Refusal::Internal)??;
    if revoke_now {
        // However it ends, the job that ends keys continues from here.
        let _ = tokio::time::timeout_at(call.patience(), ends::end_now(&context, &key, mode)).await;
    }
    let old_key = old_key(call, &scope, served.get(), mint).await;
    Ok(served.map(|(connection, version)| Rotated { connection, version, old_key }))
}

/// What the same request has done before, if it was made before.
async fn repeated(
    call: &Call,
    scope: &TenantScope,
    mint: &Mint,
    write: &Write,
) -> Result<Option<Recorded<Rotated>>, Refusal> {
    let rotations = call.context.store.credential_rotations();
    let Some(before) = rotations.repeated(scope, write).await? else { return Ok(None) };
    let old_key = old_key(call, scope, before.get(), mint).await;
    Ok(Some(before.map(|(connection, version)| Rotated { connection, version, old_key })))
}

/// Claims the rotation of a connection, and tells since when it is claimed; `None` if the same request has been done. An
/// earlier key that must end before another one is made has one attempt for that.
///
/// # Errors
/// Another attempt is at it, or an earlier key has still to end; the credential cannot be replaced.
async fn claimed(
    call: &Call,
    (key, etag): (&ConnectionKey, Option<Etag>),
    mode: &Mode,
    wish: RotationWish,
    write: &Write,
) -> Result<Option<(Instant, Box<ClaimedRotation>)>, Refusal> {
    let rotations = call.context.store.credential_rotations();
    let mut has_ended = false;
    loop {
        let started = Instant::now();
        match rotations.claim_for(key, etag, wish, Some(write)).await? {
            RotationClaim::Ours(claimed) => return Ok(Some((started, claimed))),
            RotationClaim::Done => return Ok(None),
            RotationClaim::Unproven if started < call.patience() => tokio::time::sleep(POLL_INTERVAL).await,
            RotationClaim::Ending if !has_ended => {
                ends::end_now(&call.context, key, mode).await?;
                has_ended = true;
            }
            RotationClaim::Busy
            | RotationClaim::Unproven
            | RotationClaim::Later(_)
            | RotationClaim::Ending
            | RotationClaim::Nothing => return Err(StoreError::CredentialRotationRunning.into()),
        }
    }
}

/// What becomes of the key in whose place a version has come.
async fn old_key(
    call: &Call,
    scope: &TenantScope,
    (connection, version): &(Connection, Version),
    mint: &Mint,
) -> OldKey {
    let rotations = call.context.store.credential_rotations();
    let replaced = match rotations.replaced(scope, connection.id, version - 1).await {
        Ok(replaced) => replaced,
        // The rotation is durable, so its answer must not fail.
        Err(error) => {
            tracing::warn!(connection = %connection.id, %error, "what becomes of a replaced key was not read");
            return match mint.end {
                OldKeyEnd::Revoked(_) => OldKey::Revoked(None),
                OldKeyEnd::ByItself(_) => OldKey::EndsByItself(None),
                OldKeyEnd::AtOnce => OldKey::Ended,
            };
        }
    };
    let ReplacedKey { revoke_time, end_time, may_be_left } = replaced;
    match (revoke_time, end_time) {
        (Some(time), _) => OldKey::Revoked(Some(time)),
        (None, Some(time)) if time > call.now() => OldKey::EndsByItself(Some(time)),
        (None, Some(_)) => OldKey::Ended,
        (None, None) => match mint.end {
            OldKeyEnd::Revoked(_) if may_be_left => OldKey::Left,
            OldKeyEnd::ByItself(_) => OldKey::EndsByItself(None),
            OldKeyEnd::Revoked(_) | OldKeyEnd::AtOnce => OldKey::Ended,
        },
    }
}
