//! The changes of a connection that differ little but in what the store does: deleted, undeleted, made the default,
//! purged. What is deleted or purged may have its grant revoked in the same call.

use credvault_domain::{Action, Connection, ConnectionId, Etag, Permit, Revocation, TenantScope};
use credvault_identity::Facts;
use credvault_store::{Error as StoreError, Purged as Left, Recorded};

use super::disconnect::first_attempt;
use super::grant::{Gone, GrantOutcome};
use crate::services::{Affected, affected};
use crate::{Call, Parsed, Refusal, Repeat, Write};

/// A connection that was deleted.
#[derive(Debug)]
pub struct Deleted {
    /// The connection as it is now.
    pub connection: Connection,
    /// The services that use it.
    pub affected: Affected,
    /// What becomes of its grant at the provider.
    pub grant: GrantOutcome,
}

/// What became of a connection that was to be purged.
#[derive(Debug)]
pub struct Purged {
    /// What becomes of its grant at the provider. `None` if a repetition finds nothing of the connection any more.
    pub grant: Option<GrantOutcome>,
    /// Whether the connection is kept until its revocation is settled.
    pub waits: bool,
}

/// A change by the store's method of the same name.
macro_rules! change {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// Policy does not permit it, or the connection's state or etag is another.
        pub async fn $name(
            call: &mut Call,
            id: ConnectionId,
            etag: Option<Etag>,
            repeat: Parsed<Option<Repeat>>,
        ) -> Result<Recorded<Connection>, Refusal> {
            let scope = call.scope()?;
            let (permit, _) = call.connection(id).await?;
            let write = call.write(&permit, repeat)?;
            Ok(call.context.store.connections().$name(&scope, id, etag, &write).await?)
        }
    )*};
}

change! {
    /// `UndeleteConnection`: a deleted connection is served again.
    undelete,
    /// `SetDefaultConnection`: a fetch by provider finds it from now on.
    set_default,
}

/// `DeleteConnection`: it is not served from now on, and purged after a while. The configs of services that use it stay. With
/// `revoke` its secret is destroyed in the same change, and its grant revoked.
///
/// # Errors
/// Policy does not permit it, nor to disconnect what is revoked, or the connection's state or etag is another.
pub async fn delete(
    call: &mut Call,
    id: ConnectionId,
    etag: Option<Etag>,
    revoke: bool,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Recorded<Deleted>, Refusal> {
    let scope = call.scope()?;
    let (permit, found) = call.connection(id).await?;
    let write = write(call, &scope, permit, &found, revoke, repeat)?;
    // Before the change: once that is durable, nothing may fail any more.
    let affected = affected(call, &scope, id).await?;
    let context = call.context.clone();
    let connections = context.store.connections();
    if !revoke {
        let deleted = connections.delete(&scope, id, etag, &write).await?;
        let grant = GrantOutcome::of(&context, deleted.get(), Gone::Deleted);
        return Ok(deleted.map(|connection| Deleted { connection, affected, grant }));
    }
    let revocable = context.is_revocable(&found.provider, &found.auth_mode);
    let deleted = connections.delete_and_revoke(&scope, id, etag, revocable, &write).await?;
    let connection = first_attempt(call, &scope, deleted.get()).await;
    let grant = GrantOutcome::of(&context, &connection, Gone::Deleted);
    Ok(deleted.map(|_| Deleted { connection, affected, grant }))
}

/// `PurgeConnection`: nothing of it is kept. With `revoke`, or if its grant is being revoked already, that comes first.
///
/// # Errors
/// Policy does not permit it, nor to disconnect what is revoked, or the connection is not deleted.
pub async fn purge(
    call: &mut Call,
    id: ConnectionId,
    etag: Option<Etag>,
    revoke: bool,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Recorded<Purged>, Refusal> {
    let scope = call.scope()?;
    let repeats = !matches!(repeat, Ok(None));
    let context = call.context.clone();
    let connections = context.store.connections();
    let left = match call.connection(id).await {
        Ok((permit, found)) => {
            let write = write(call, &scope, permit, &found, revoke, repeat)?;
            if revoke {
                let revocable = context.is_revocable(&found.provider, &found.auth_mode);
                connections.purge_and_revoke(&scope, id, etag, revocable, &write).await?
            } else {
                connections.purge(&scope, id, etag, &write).await?
            }
        }
        // What this very request has purged before is not there any more, and nothing is left that policy could be asked
        // about: the memory of the first request answers.
        Err(Refusal::Store(StoreError::ConnectionNotFound)) if repeats => {
            let write = call.write(&call.permit_repetition(&scope), repeat)?;
            connections.purged_before(&scope, &write).await?
        }
        Err(refusal) => return Err(refusal),
    };
    let purged = settled(call, &scope, left.get()).await;
    Ok(left.map(|_| purged))
}

/// What accompanies the change. To revoke takes the permission to disconnect as well, and is on record.
fn write(
    call: &Call,
    scope: &TenantScope,
    permit: Permit,
    found: &Connection,
    revoke: bool,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Write, Refusal> {
    if !revoke {
        return call.write(&permit, repeat);
    }
    let disconnecting = call.part(Action::DisconnectConnection).permit(scope, Facts::of(found))?;
    Ok(call.write(&permit.and(disconnecting), repeat)?.changing(["revocation".to_owned()]))
}

/// Makes the attempt that a purge waits for, and says what the purge has come to.
async fn settled(call: &Call, scope: &TenantScope, left: &Left) -> Purged {
    let Left { connection, waits } = left;
    let Some(connection) = connection else { return Purged { grant: None, waits: *waits } };
    let connection = match *waits {
        true => first_attempt(call, scope, connection).await,
        false => connection.clone(),
    };
    let waits = *waits && connection.revocation == Some(Revocation::Pending);
    Purged { grant: Some(GrantOutcome::of(&call.context, &connection, Gone::Purged)), waits }
}
