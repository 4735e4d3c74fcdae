//! The users of a tenant, known to the vault by id only.

use credvault_domain::{Owner, TenantId, UserId};
use credvault_identity::Facts;
use credvault_store::{Listed, Recorded, User};

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

/// `DeleteUser`: removes all that the user owns, and tells how many connections that were.
///
/// # Errors
/// There is no such tenant, or policy does not permit it.
pub async fn delete_user(
    call: &mut Call,
    tenant: TenantId,
    user: UserId,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Recorded<i64>, Refusal> {
    call.about(Subject { owner_user: Some(user.clone()), ..Subject::default() });
    let owner = Owner::User(user.clone());
    let (permit, scope) = call.administer(Some(tenant), Facts { owner: Some(&owner), ..Facts::default() })?;
    let write = call.write(&permit, repeat)?;
    let until = call.patience().into_std();
    Ok(call.context.store.users().delete(&scope, &user, &write, until).await?)
}
