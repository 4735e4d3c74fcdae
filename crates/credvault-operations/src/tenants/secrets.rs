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

/// `CheckSecretStore`: a page of what differs between a store and the database.
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
    let check = call.context.store.secrets().check(store, position, repair).await?;
    if repair {
        call.subject.changed.extend(check.orphans.iter().cloned());
    }
    call.recorded(&permit, check).await
}
