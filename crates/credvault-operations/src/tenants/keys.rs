//! Keys: what is known of them, and their rotation.

use std::sync::Arc;
use std::time::Duration;

use credvault_domain::{TenantId, TenantScope};
use credvault_identity::Facts;
use credvault_store::{
    AuditSigner, Error, KeyStatus, OlderVersions, Recorded, RootRotation, Rotation, RotationKind,
    TenantRotation,
};
use futures::Stream;
use futures::stream::unfold;

use crate::{Call, Context, Parsed, Refusal, Repeat};

/// How often the progress of a rotation is looked at for those who watch it.
const LOOK: Duration = Duration::from_millis(500);

/// A request to rotate a tenant's key, or the platform's own.
#[derive(Debug)]
pub struct RotateTenantKey {
    /// The tenant; none for the platform.
    pub tenant: Option<TenantId>,
    /// Whether the latest rotation is only watched.
    pub watch: bool,
    /// The most records a second, if not as usual.
    pub records_per_second: Option<u32>,
    /// Whether the keys that are replaced are destroyed as soon as nothing is under them, and not after the usual time.
    pub retire_at_once: bool,
}

/// A request to rotate the root key.
#[derive(Debug)]
pub struct RotateRootKey {
    /// The root key to move to; none for the other one that the vault has.
    pub target: Option<u32>,
    /// Whether its key manager makes a new version of it first.
    pub new_version: bool,
    /// Whether the latest rotation is only watched.
    pub watch: bool,
    /// The most tenants a second, if not as usual.
    pub records_per_second: Option<u32>,
}

/// `GetKeyStatus`.
///
/// # Errors
/// There is no such tenant, or policy does not permit it.
pub async fn key_status(call: &mut Call, tenant: Option<TenantId>) -> Result<Recorded<KeyStatus>, Refusal> {
    let (permit, scope) = call.administer(tenant, Facts::default())?;
    let status = call.context.store.keys().status(&scope).await?;
    call.recorded(&permit, status).await
}

/// `RotateTenantKey`: begins the rotation, or finds the latest one, and gives how far it is.
///
/// # Errors
/// There is no such tenant, policy does not permit it, or a rotation is in progress.
pub async fn rotate_tenant_key(
    call: &mut Call,
    asked: RotateTenantKey,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Recorded<Rotation>, Refusal> {
    let (permit, scope) = call.administer(asked.tenant, Facts::default())?;
    if asked.watch {
        let latest = latest(call, &scope, RotationKind::Tenant).await?;
        return call.recorded(&permit, latest).await;
    }
    let usual = call.context.rotation;
    let how = TenantRotation {
        records_per_second: asked.records_per_second.unwrap_or(usual.records_per_second),
        retire_after: if asked.retire_at_once { Duration::ZERO } else { usual.retire_after },
    };
    let write = call.write(&permit, repeat)?;
    Ok(call.context.store.keys().begin_tenant_rotation(&scope, how, &write).await?)
}

/// `RotateRootKey`: begins the rotation, or finds the latest one, and gives how far it is.
///
/// # Errors
/// Policy does not permit it, a rotation is in progress, or the root key is not one that all replicas have.
pub async fn rotate_root_key(
    call: &mut Call,
    asked: RotateRootKey,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Recorded<Rotation>, Refusal> {
    let (permit, platform) = call.administer(None, Facts::default())?;
    if asked.watch {
        let latest = latest(call, &platform, RotationKind::Root).await?;
        return call.recorded(&permit, latest).await;
    }
    let usual = call.context.rotation.records_per_second;
    let how = RootRotation {
        target: asked.target,
        new_version: asked.new_version,
        records_per_second: asked.records_per_second.unwrap_or(usual),
    };
    let write = call.write(&permit, repeat)?;
    Ok(call.context.store.keys().begin_root_rotation(&platform, how, &write).await?)
}

/// `DestroyOlderRootKeyVersions`: tells what the end of the older versions of the root key means, and if it is `confirmed`, has
/// the key manager destroy them.
///
/// # Errors
/// Policy does not permit it, something is under an older version as far as the vault knows, or the key manager leaves that to
/// people.
pub async fn destroy_older_versions(
    call: &mut Call,
    confirmed: bool,
) -> Result<Recorded<OlderVersions>, Refusal> {
    let (permit, platform) = call.administer(None, Facts::default())?;
    let step = if confirmed { "older_versions.confirmed" } else { "older_versions.shown" };
    // No request id: a second end of the same versions changes nothing.
    let write = call.write(&permit, Ok(None))?.changing([step.to_owned()]);
    Ok(call.context.store.keys().destroy_older_versions(&platform, confirmed, &write).await?)
}

pub(super) async fn latest(
    call: &Call,
    scope: &TenantScope,
    kind: RotationKind,
) -> Result<Rotation, Refusal> {
    let latest = call.context.store.keys().rotation(scope.tenant(), kind).await?;
    Ok(latest.ok_or(Error::State("there was none yet; call without watch to begin"))?)
}

/// How a rotation that a call has begun or found gets on, until it has ended or the vault stops. `target` is where it leads
/// to. This only looks: the rotation goes its way in any case.
pub fn progress(
    context: &Arc<Context>,
    tenant: TenantId,
    kind: RotationKind,
    target: i64,
) -> impl Stream<Item = Result<Rotation, Refusal>> + Send + use<> {
    unfold(Some((Arc::clone(context), tenant)), move |watched| async move {
        let (context, tenant) = watched?;
        context.stopping.run_until_cancelled(tokio::time::sleep(LOOK)).await?;
        match context.store.keys().rotation(&tenant, kind).await {
            Ok(Some(now)) if now.target == target => {
                let next = now.running.then_some((context, tenant));
                Some((Ok(now), next))
            }
            // Another one has begun since: this one has ended.
            Ok(_) => None,
            Err(error) => Some((Err(error.into()), None)),
        }
    })
}

/// `RotateAuditSigner`.
///
/// # Errors
/// Policy does not permit it.
pub async fn rotate_audit_signer(
    call: &mut Call,
    retire_at_once: bool,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Recorded<AuditSigner>, Refusal> {
    let (permit, platform) = call.administer(None, Facts::default())?;
    let write = call.write(&permit, repeat)?;
    Ok(call.context.store.rotate_audit_signer(&platform, &write, retire_at_once).await?)
}
