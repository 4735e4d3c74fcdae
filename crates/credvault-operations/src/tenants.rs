//! Administration of tenants: themselves and their end, their users, keys, limits and source rules, their apps at
//! providers, what policies say about calls for them, and who may read a connection and did. Each request names its tenant;
//! none means the platform.

mod access;
mod apps;
mod bulk;
mod counts;
mod erasure;
mod explained;
mod keys;
mod limits;
mod oversight;
mod rates;
mod secrets;
mod sources;
mod users;

use credvault_domain::{Tenant, TenantId, TenantState};
use credvault_identity::Facts;
use credvault_store::{Listed, Recorded};

use crate::{Call, Paging, Parsed, Refusal, Repeat};

pub use access::{AccessQuestion, AccessReport, KindAccess, ServiceAccess, Who, WhoMay, access_report};
pub use apps::{PutApp, delete_app, list_apps, put_app};
pub use bulk::{BulkChange, ChangeKind, ChangedConnection, ChangedConnections, Outcome, change_connections};
pub use counts::{ConnectionSum, ConnectionSums, CountedTenants, TenantSums, count_connections};
pub use erasure::{EraseStep, erase, erasure, list_erasures, rotate_signing_key, signing_keys};
pub use explained::{ExplainedCall, explain_policy};
pub use keys::{
    RotateRootKey, RotateTenantKey, destroy_older_versions, key_status, progress, rotate_audit_signer,
    rotate_root_key, rotate_tenant_key,
};
pub use limits::{LimitState, LimitStates, limits, set_limits};
pub use oversight::{CountedConnections, list_connections};
pub use rates::{ProviderCounts, success_rates};
pub use secrets::{
    MoveSecrets, check_secret_store, move_secrets, own_secret_stores, secret_places, write_off_secret_store,
};
pub use sources::{Sources, set_sources, sources};
pub use users::{delete_user, list_users};

/// `CreateTenant`.
///
/// # Errors
/// Policy does not permit it, or the id is taken.
pub async fn create(
    call: &mut Call,
    id: TenantId,
    display_name: &str,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Recorded<Tenant>, Refusal> {
    let (permit, scope) = call.administer(Some(id), Facts::default())?;
    let write = call.write(&permit, repeat)?;
    Ok(call.context.store.tenants().create(&scope, display_name, &write).await?)
}

/// `GetTenant`.
///
/// # Errors
/// There is no such tenant, or policy does not permit it.
pub async fn get(call: &mut Call, id: TenantId) -> Result<Recorded<Tenant>, Refusal> {
    let (permit, scope) = call.administer(Some(id), Facts::default())?;
    let tenant = call.context.store.tenants().get(&scope).await?;
    call.recorded(&permit, tenant).await
}

/// `ListTenants`: those in this state that policy shows to the caller.
///
/// # Errors
/// Policy does not permit the list as a whole.
pub async fn list(
    call: &mut Call,
    state: Option<TenantState>,
    paging: Parsed<Paging>,
) -> Result<Recorded<Listed<Tenant>>, Refusal> {
    let page = call.page(None, paging).await?;
    let (permit, platform) = call.administer(None, Facts::default())?;
    let mut listed = call.context.store.tenants().list(&platform, state, &page).await?;
    listed.items.retain(|tenant| call.shows_tenant(&tenant.id));
    call.recorded(&permit, listed).await
}

/// `SuspendTenant` and `ResumeTenant`: whether the tenant is served.
///
/// # Errors
/// There is no such tenant, or policy does not permit it.
pub async fn set_state(
    call: &mut Call,
    id: TenantId,
    state: TenantState,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Recorded<Tenant>, Refusal> {
    let (permit, scope) = call.administer(Some(id), Facts::default())?;
    let write = call.write(&permit, repeat)?;
    Ok(call.context.store.tenants().set_state(&scope, state, &write).await?)
}
