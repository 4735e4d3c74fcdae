//! The changes of a connection that differ little but in what the store does: deleted, undeleted, made the default,
//! purged.

use credvault_domain::{Connection, ConnectionId, Etag};
use credvault_store::{Error as StoreError, Recorded};

use super::Stopped;
use crate::services::affected;
use crate::{Call, Parsed, Refusal, Repeat};

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

/// `DeleteConnection`: it is not served from now on, and purged after a while. The configs of services that use it stay.
///
/// # Errors
/// Policy does not permit it, or the connection's state or etag is another.
pub async fn delete(
    call: &mut Call,
    id: ConnectionId,
    etag: Option<Etag>,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Recorded<Stopped>, Refusal> {
    let scope = call.scope()?;
    let (permit, _) = call.connection(id).await?;
    let write = call.write(&permit, repeat)?;
    // Before the change: once that is durable, nothing may fail any more.
    let affected = affected(call, &scope, id).await?;
    let deleted = call.context.store.connections().delete(&scope, id, etag, &write).await?;
    Ok(deleted.map(|connection| Stopped { connection, affected }))
}

/// `PurgeConnection`: nothing of it is kept.
///
/// # Errors
/// Policy does not permit it, or the connection is not deleted.
pub async fn purge(
    call: &mut Call,
    id: ConnectionId,
    etag: Option<Etag>,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Recorded<()>, Refusal> {
    let scope = call.scope()?;
    let repeats = !matches!(repeat, Ok(None));
    let context = call.context.clone();
    let connections = context.store.connections();
    match call.connection(id).await {
        Ok((permit, _)) => {
            let write = call.write(&permit, repeat)?;
            Ok(connections.purge(&scope, id, etag, &write).await?)
        }
        // What this very request has purged before is not there any more, and nothing is left that policy could be asked
        // about: the memory of the first request answers.
        Err(Refusal::Store(StoreError::ConnectionNotFound)) if repeats => {
            let write = call.write(&call.permit_repetition(&scope), repeat)?;
            Ok(connections.purged_before(&scope, &write).await?)
        }
        Err(refusal) => Err(refusal),
    }
}
