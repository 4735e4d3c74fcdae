//! `DisconnectConnection`: destroys the credential, and has the provider revoke it where it can.

use credvault_domain::{Connection, ConnectionId, Etag, Revocation, TenantScope};
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
    let revocable = call.context.is_revocable(&connection.provider, &connection.auth_mode);
    let write = call.write(&permit, repeat)?;
    let affected = affected(call, &scope, id).await?;
    let store = &call.context.store;
    let disconnected = store.revocations().disconnect(&scope, id, etag, revocable, &write).await?;
    let connection = first_attempt(call, &scope, disconnected.get()).await;
    Ok(disconnected.map(|_| Stopped { connection, affected }))
}

/// Makes the first attempt of a revocation that is pending, within the call's time, and gives the connection after it.
pub(super) async fn first_attempt(call: &Call, scope: &TenantScope, before: &Connection) -> Connection {
    if before.revocation != Some(Revocation::Pending) {
        return before.clone();
    }
    let key = call.context.store.connection_key(scope, before.id);
    let attempt = tokio::time::timeout_at(call.patience(), call.context.broker.revoke(&key)).await;
    // However the attempt ended, the job that revokes continues from here.
    match attempt {
        Ok(Ok(Some(after))) => after,
        Ok(Ok(None) | Err(_)) | Err(_) => before.clone(),
    }
}
