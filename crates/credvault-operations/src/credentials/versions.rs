//! The versions of a credential: listed, rolled back to, destroyed.

use credvault_catalog::{Mode, Rotation};
use credvault_domain::{ConnectionId, CredentialVersion, Grant, Version};
use credvault_store::{Error as StoreError, Listed, Recorded, RefreshSchedule};

use crate::{Call, Paging, Parsed, Refusal, Repeat};

/// `ListCredentialVersions`.
///
/// # Errors
/// There is no such connection, or policy does not permit it.
pub async fn list(
    call: &mut Call,
    id: ConnectionId,
    paging: Parsed<Paging>,
) -> Result<Recorded<Listed<CredentialVersion>>, Refusal> {
    let scope = call.scope()?;
    let (permit, connection) = call.connection(id).await?;
    let page = call.page(Some(&scope), paging).await?;
    let Listed { items, next_page_token } = call.context.store.credentials().list(&scope, id, &page).await?;
    let refreshes = call.context.mode(&connection.provider, &connection.auth_mode);
    let refreshes = refreshes.is_ok_and(|mode| mode.refreshes());
    let items = items.into_iter().map(|version| with_own_end(version, refreshes)).collect();
    call.recorded(&permit, Listed { items, next_page_token }).await
}

/// A version with the time when it stops being served. One that is refreshed has none: what is stored is when the access
/// token ends that came with it, and others have followed since.
fn with_own_end(version: CredentialVersion, refreshes: bool) -> CredentialVersion {
    CredentialVersion { expire_time: version.expire_time.filter(|_| !refreshes), ..version }
}

/// `RollbackCredential`: stores the content of an earlier version as a new one.
///
/// # Errors
/// The version is not there, or its tokens were spent by refreshes.
pub async fn rollback(
    call: &mut Call,
    id: ConnectionId,
    to: Version,
    expected: Option<Version>,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Recorded<CredentialVersion>, Refusal> {
    let scope = call.scope()?;
    let (permit, connection) = call.connection(id).await?;
    let mode = call.context.mode(&connection.provider, &connection.auth_mode)?;
    check_unspent(mode)?;
    let schedule = mode.refreshes().then_some(RefreshSchedule {
        due_time: None,
        client_id: None,
        // The next refresh tells when it ends.
        grant: Grant::renewed(None),
    });
    let write = call.write(&permit, repeat)?;
    let credentials = call.context.store.credentials();
    Ok(credentials.rollback(&scope, id, to, expected, schedule.as_ref(), &write).await?)
}

/// Refuses to go back where tokens rotate: an earlier version holds the tokens that it began with, which are spent, and
/// sending one again is what a thief would do.
fn check_unspent(mode: &Mode) -> Result<(), StoreError> {
    let refresh = mode.refresh().filter(|_| mode.code_grant().is_some());
    if refresh.is_some_and(|refresh| refresh.policy.rotates != Rotation::No) {
        return Err(StoreError::State(
            "the provider's tokens rotate, so an earlier version's are spent; BeginAuthorization gets new ones",
        ));
    }
    Ok(())
}

/// `DestroyCredentialVersion`: destroys a version for good.
///
/// # Errors
/// The connection or the version is not there.
pub async fn destroy(
    call: &mut Call,
    id: ConnectionId,
    version: Version,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Recorded<CredentialVersion>, Refusal> {
    let scope = call.scope()?;
    let (permit, connection) = call.connection(id).await?;
    call.subject.version = Some(version);
    let refreshes = call.context.mode(&connection.provider, &connection.auth_mode);
    let refreshes = refreshes.is_ok_and(|mode| mode.refreshes());
    let write = call.write(&permit, repeat)?;
    let destroyed = call.context.store.credentials().destroy(&scope, id, version, &write).await?;
    Ok(destroyed.map(|version| with_own_end(version, refreshes)))
}
