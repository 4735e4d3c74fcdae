//! Erasing a tenant for good: one call asks, a second one confirms. What the vault says about an erasure it signs.

use credvault_domain::TenantId;
use credvault_identity::Facts;
use credvault_store::{Erasure, Listed, Recorded, RequestedErasure, SigningPublicKey};
use secrecy::SecretString;

use crate::{Call, Paging, Parsed, Refusal, Repeat, tenant_name};

/// What a call for an erasure has come to.
#[derive(Debug)]
pub enum EraseStep {
    /// Nothing has changed yet: a second call has to confirm.
    Requested(RequestedErasure),
    /// The tenant is erased.
    Confirmed(Box<Erasure>),
}

/// `EraseTenant`: without a token it asks, with one it confirms and erases. Rows that are left at the caller's deadline are
/// removed afterwards.
///
/// # Errors
/// There is no such tenant, policy does not permit it, or the token is not accepted.
pub async fn erase(
    call: &mut Call,
    tenant: TenantId,
    token: Option<SecretString>,
) -> Result<Recorded<EraseStep>, Refusal> {
    let (permit, scope) = call.administer(Some(tenant), Facts::default())?;
    // No request id: its memory would go with the tenant, and the token itself works once.
    let write = call.write(&permit, Ok(None))?;
    let erasures = call.context.store.erasures();
    match token {
        None => Ok(erasures.request(&scope, &write).await?.map(EraseStep::Requested)),
        Some(token) => {
            let until = call.patience().into_std();
            Ok(erasures
                .confirm(&scope, &token, &write, until)
                .await?
                .map(|erasure| EraseStep::Confirmed(Box::new(erasure))))
        }
    }
}

/// `GetErasure`.
///
/// # Errors
/// The tenant was not erased, or policy does not permit it.
pub async fn erasure(call: &mut Call, tenant: TenantId) -> Result<Recorded<Erasure>, Refusal> {
    let (permit, scope) = call.administer(Some(tenant), Facts::default())?;
    let erasure = call.context.store.erasures().get(&scope).await?;
    // In the platform's log, for that of an erased tenant cannot be read any more.
    call.subject.changed = vec![tenant_name(scope.tenant())];
    call.subject.tenant = Some(TenantId::platform());
    call.recorded(&permit, erasure).await
}

/// `ListErasures`: those of the tenants that policy shows to the caller.
///
/// # Errors
/// Policy does not permit the list as a whole.
pub async fn list_erasures(
    call: &mut Call,
    paging: Parsed<Paging>,
) -> Result<Recorded<Listed<Erasure>>, Refusal> {
    let page = call.page(None, paging).await?;
    let (permit, platform) = call.administer(None, Facts::default())?;
    let mut listed = call.context.store.erasures().list(&platform, &page).await?;
    listed.items.retain(|erasure| call.shows_tenant(&erasure.tenant));
    call.recorded(&permit, listed).await
}

/// `GetSigningKey`: the key that signs, and behind it those that it has replaced.
///
/// # Errors
/// Policy does not permit it.
pub async fn signing_keys(call: &mut Call) -> Result<Recorded<Vec<SigningPublicKey>>, Refusal> {
    let (permit, _) = call.administer(None, Facts::default())?;
    let keys = call.context.store.signing_keys().await?;
    call.recorded(&permit, keys).await
}

/// `RotateSigningKey`.
///
/// # Errors
/// Policy does not permit it.
pub async fn rotate_signing_key(
    call: &mut Call,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Recorded<SigningPublicKey>, Refusal> {
    let (permit, platform) = call.administer(None, Facts::default())?;
    let write = call.write(&permit, repeat)?;
    Ok(call.context.store.replace_signer(&platform, &write).await?)
}
