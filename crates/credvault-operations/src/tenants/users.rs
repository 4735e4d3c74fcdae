//! The users of a tenant, known to the vault by id only.

use credvault_domain::{Action, AuthMode, Owner, Permit, ProviderId, TenantId, TenantScope, UserId};
use credvault_identity::Facts;
use credvault_store::{DeletedUser, GrantEnding, GrantEndings, Listed, Recorded, User};

use crate::call::Subject;
use crate::{Call, Paging, Parsed, Refusal, Repeat};

/// `ListUsers`: those that policy shows to the caller.
///
/// # Errors
/// There is no such tenant, or policy does not permit the list as a whole.
pub async fn list_users(
    call: &mut Call,
    tenant: TenantId,
    paging: Parsed<Paging>,
) -> Result<Recorded<Listed<User>>, Refusal> {
    let (permit, scope) = call.administer(Some(tenant), Facts::default())?;
    let page = call.page(None, paging).await?;
    let mut listed = call.context.store.users().list(&scope, &page).await?;
    let mut shown = call.shown(&scope);
    listed.items.retain(|user| shown.shows(None, Some(&Owner::User(user.id.clone()))));
    call.recorded(&permit, listed).await
}

/// `DeleteUser`: removes all that the user owns, and tells what that was. With `revoke` the grants of the user's connections
/// are revoked before their rows go.
///
/// # Errors
/// There is no such tenant, or policy does not permit it, nor to disconnect what is revoked.
pub async fn delete_user(
    call: &mut Call,
    tenant: TenantId,
    user: UserId,
    revoke: bool,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Recorded<DeletedUser>, Refusal> {
    call.about(Subject { owner_user: Some(user.clone()), ..Subject::default() });
    let owner = Owner::User(user.clone());
    let (permit, scope) = call.administer(Some(tenant), Facts { owner: Some(&owner), ..Facts::default() })?;
    let context = call.context.clone();
    let users = context.store.users();
    let until = call.patience().into_std();
    if !revoke {
        let write = call.write(&permit, repeat)?;
        return Ok(users.delete(&scope, &user, None, &write, until).await?);
    }
    let permit = permit_to_disconnect(call, &scope, &user, permit).await?;
    let write = call.write(&permit, repeat)?.changing(["revocation".to_owned()]);
    // Asked again about each connection: the user may have got one since, at another provider.
    let disconnecting = call.part(Action::DisconnectConnection);
    let end = |provider: &ProviderId, mode: &AuthMode| {
        let facts = Facts { provider: Some(provider), owner: Some(&owner), purpose: None };
        match (disconnecting.permit(&scope, facts), context.is_revocable(provider, mode)) {
            (Err(_), _) => GrantEnding::Leave,
            (Ok(_), true) => GrantEnding::Revoke,
            (Ok(_), false) => GrantEnding::Unsupported,
        }
    };
    let ends: GrantEndings<'_> = &end;
    Ok(users.delete(&scope, &user, Some(ends), &write, until).await?)
}

/// Asks policy whether the caller may disconnect what the user has: once for each provider, for policy knows no more of the
/// connections.
async fn permit_to_disconnect(
    call: &Call,
    scope: &TenantScope,
    user: &UserId,
    permit: Permit,
) -> Result<Permit, Refusal> {
    let providers = call.context.store.users().providers_of(scope, user).await?;
    let (disconnecting, owner) = (call.part(Action::DisconnectConnection), Owner::User(user.clone()));
    providers.iter().try_fold(permit, |permit, provider| {
        let facts = Facts { provider: Some(provider), owner: Some(&owner), purpose: None };
        Ok(permit.and(disconnecting.permit(scope, facts)?))
    })
}
