//! Fresh tokens for a caller: opens what was found, and refreshes an access token that is near its end.

use std::time::Duration;

use credvault_broker::{MIN_TOKEN_LIFETIME, Need};
use credvault_catalog::Mode;
use credvault_domain::TenantScope;
use credvault_store::{Error as StoreError, Fetched, OpenedCredential};
use tokio::time::Instant;

use crate::{Context, Refusal};

/// How long a fetch waits for a fresh token at most.
pub(super) const REFRESH_TIMEOUT: Duration = Duration::from_secs(12);

/// A credential whose access token, if it has one, is good for a while.
pub(crate) struct Fresh {
    pub(crate) fetched: Fetched,
    pub(crate) opened: OpenedCredential,
}

/// Opens what was found, and first refreshes an access token that is near its end. If the provider does not answer, a token
/// that still works is served. `None` if the connection has gone meanwhile, or is another one than was found.
pub(crate) async fn fresh(
    context: &Context,
    until: Instant,
    scope: &TenantScope,
    fetched: Fetched,
    mode: &Mode,
) -> Result<Option<Fresh>, Refusal> {
    let opened = open(context, &fetched, mode).await?;
    let absent = opened.fields.get("access_token").is_none();
    let left = left(context, &opened);
    if !mode.refreshes() || !opened.current || (!absent && left > MIN_TOKEN_LIFETIME) {
        return match left {
            Duration::ZERO => Err(StoreError::CredentialExpired.into()),
            _ => Ok(Some(Fresh { fetched, opened })),
        };
    }
    let until = until.min(Instant::now() + REFRESH_TIMEOUT);
    match context.broker.refreshed_by(until, fetched.key(), opened.generation, Need::Now).await {
        Ok(()) => refreshed(context, scope, &fetched, mode).await,
        // It works still, or the key that it is minted from is given out, too.
        Err(_) if (!absent && !left.is_zero()) || (absent && mode.hands_out_key()) => {
            Ok(Some(Fresh { fetched, opened }))
        }
        Err(error) => Err(error.into()),
    }
}

/// Reads a connection again whose token was refreshed: by its key, so that it is the very connection that policy was asked
/// about.
pub(super) async fn refreshed(
    context: &Context,
    scope: &TenantScope,
    before: &Fetched,
    mode: &Mode,
) -> Result<Option<Fresh>, Refusal> {
    let fetched = match context.store.credentials().again(scope, before).await {
        Err(StoreError::ConnectionNotFound) => return Ok(None),
        again => again?,
    };
    let opened = open(context, &fetched, mode).await?;
    if left(context, &opened).is_zero() {
        return Err(StoreError::CredentialExpired.into());
    }
    Ok(Some(Fresh { fetched, opened }))
}

async fn open(context: &Context, fetched: &Fetched, mode: &Mode) -> Result<OpenedCredential, StoreError> {
    let opened = context.store.credentials().open(fetched, context.now(), mode.refreshes()).await?;
    // Others may have changed them since they were put.
    if let Some(store) = &opened.adopted
        && mode.check_secrets("reference", &opened.fields).is_err()
    {
        let problem = "its fields are not those that the connection's auth mode takes";
        return Err(StoreError::ReferenceBroken { store: store.clone(), problem });
    }
    Ok(opened)
}

/// How long it still works.
fn left(context: &Context, opened: &OpenedCredential) -> Duration {
    opened.expire_time.map_or(Duration::MAX, |time| context.now().until(time))
}
