//! Where the secrets of a tenant are kept: choosing that, and looking whether all of them are there.

use credvault_domain::TenantId;
use credvault_identity::Facts;
use credvault_store::{Recorded, Rotation, RotationKind, SecretPlaces, StoreCheck};

use super::keys::latest;
use crate::{Call, Parsed, Refusal, Repeat};

/// A request to keep a tenant's secrets elsewhere.
#[derive(Debug)]
pub struct MoveSecrets {
    /// The tenant; none for the platform.
    pub tenant: Option<TenantId>,
    /// The store, or `database`; none for what the deployment has chosen.
    pub store: Option<String>,
    /// Whether the latest move is only watched.
    pub watch: bool,
    /// The most connections a second, if not as usual.
    pub records_per_second: Option<u32>,
}

/// `MoveSecrets`: chooses the store and begins to move, or finds the latest move, and gives how far it is.
///
/// # Errors
/// There is no such tenant or store, or policy does not permit it.
pub async fn move_secrets(
    call: &mut Call,
    asked: MoveSecrets,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Recorded<Rotation>, Refusal> {
    let (permit, scope) = call.administer(asked.tenant, Facts::default())?;
    if asked.watch {
        let latest = latest(call, &scope, RotationKind::Secrets).await?;
        return call.recorded(&permit, latest).await;
    }
    let rate = asked.records_per_second.unwrap_or(call.context.rotation.records_per_second);
    let chosen = asked.store.clone().unwrap_or_else(|| "secrets.store".to_owned());
    let write = call.write(&permit, repeat)?.changing([chosen]);
    Ok(call.context.store.secrets().begin_move(&scope, asked.store.as_deref(), rate, &write).await?)
}

/// `GetSecretPlaces`.
///
/// # Errors
/// There is no such tenant, or policy does not permit it.
pub async fn secret_places(
    call: &mut Call,
    tenant: Option<TenantId>,
) -> Result<Recorded<SecretPlaces>, Refusal> {
    let (permit, scope) = call.administer(tenant, Facts::default())?;
    let places = call.context.store.secrets().places(&scope).await?;
    call.recorded(&permit, places).await
}

/// `CheckSecretStore`: a page of what differs between a store and the database. With `repair`, what the vault does not know of
/// is removed, and each removal is on record, also if a later one fails.
///
/// # Errors
/// There is no such store, policy does not permit it, or the store does not answer.
pub async fn check_secret_store(
    call: &mut Call,
    store: &str,
    position: Option<&str>,
    repair: bool,
) -> Result<Recorded<StoreCheck>, Refusal> {
    let (permit, _) = call.administer(None, Facts::default())?;
    call.subject.changed.push(store.to_owned());
    let secrets = call.context.store.secrets();
    let check = secrets.check(store, position).await?;
    if repair {
        let changed = &mut call.subject.changed;
        let on_removed = |orphan: &str| changed.push(orphan.to_owned());
        secrets.remove_orphans(store, &check.orphans, on_removed).await?;
    }
    call.recorded(&permit, check).await
}

/// `WriteOffSecretStore`: gives up what a lost store has, and tells how many payloads that are.
///
/// # Errors
/// Policy does not permit it, the vault never had anything in such a store, or it is configured with it and that is not
/// `confirmed`.
pub async fn write_off_secret_store(
    call: &mut Call,
    store: &str,
    confirmed: bool,
) -> Result<Recorded<u64>, Refusal> {
    let (permit, platform) = call.administer(None, Facts::default())?;
    call.subject.changed.push(store.to_owned());
    // No request id: a second call finds nothing more to give up.
    let write = call.write(&permit, Ok(None))?;
    Ok(call.context.store.secrets().write_off(&platform, store, confirmed, &write).await?)
}

/// `OwnSecretStores`: lets a vault remove things from its stores although its database was restored.
///
/// # Errors
/// Policy does not permit it.
pub async fn own_secret_stores(call: &mut Call) -> Result<Recorded<bool>, Refusal> {
    let (permit, platform) = call.administer(None, Facts::default())?;
    let write = call.write(&permit, Ok(None))?;
    Ok(call.context.store.secrets().own(&platform, &write).await?)
}
