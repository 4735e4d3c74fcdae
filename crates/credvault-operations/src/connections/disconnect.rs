//! `DisconnectConnection`: destroys the credential, and has the provider revoke it where it can.

use credvault_domain::{ConnectionId, Etag, Revocation};
use credvault_store::Recorded;

use super::Stopped;
use crate::services::affected;
use crate::{Call, Parsed, Refusal, Repeat};

/// `DisconnectConnection`. The vault tells the provider within the call's time if it can; later attempts follow otherwise.
///
/// # Errors
/// Policy does not permit it, or the connection's state or etag is another.
pub async fn disconnect(
    call: &mut Call,
    id: ConnectionId,
    etag: Option<Etag>,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Recorded<Stopped>, Refusal> {
    let scope = call.scope()?;
    let (permit, connection) = call.connection(id).await?;
    // A provider that is not in the catalog any more learns nothing; the secret goes all the same.
    let mode = call.context.mode(&connection.provider, &connection.auth_mode);
    let revocable = mode.is_ok_and(|mode| mode.revocation.is_some());
    let write = call.write(&permit, repeat)?;
    let affected = affected(call, &scope, id).await?;
    let store = &call.context.store;
    let disconnected = store.revocations().disconnect(&scope, id, etag, revocable, &write).await?;
    if disconnected.get().revocation != Some(Revocation::Pending) {
        return Ok(disconnected.map(|connection| Stopped { connection, affected }));
    }
    let key = store.connection_key(&scope, id);
    let attempt = tokio::time::timeout_at(call.patience(), call.context.broker.revoke(&key)).await;
    // However the attempt ended, the job that revokes continues from here.
    let told = match attempt {
        Ok(Ok(told)) => told,
        _ => None,
    };
    Ok(disconnected.map(|before| Stopped { connection: told.unwrap_or(before), affected }))
}
