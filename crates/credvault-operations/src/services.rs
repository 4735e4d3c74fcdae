//! Configs of internal services: which services a tenant or a user has switched on, and the connections that they use.

mod affected;
mod set;

use credvault_domain::{Etag, Owner, Permit, ServiceConfig, ServiceMapping, ServiceName, TenantScope};
use credvault_identity::Facts;
use credvault_store::{
    ConfiguredService, ConnectionStanding, Error as StoreError, Listed, Recorded, ServiceConfigFilter,
    service_config_name,
};

use crate::call::Subject;
use crate::standing::{Fault, fault};
use crate::{Call, Context, Paging, Parsed, Refusal, Repeat};

pub use affected::Affected;
pub(crate) use affected::affected;
pub use set::{SetService, set};

/// A config with the state of each connection that it uses.
#[derive(Debug)]
pub struct Configured {
    /// The config. Its mappings are below.
    pub config: ServiceConfig,
    /// The mappings with their connections, ordered by name.
    pub mappings: Vec<ConfiguredMapping>,
}

/// A mapping with the state of its connection.
#[derive(Debug)]
pub struct ConfiguredMapping {
    /// The mapping as it is stored.
    pub mapping: ServiceMapping,
    /// Its connection; `None` if it is purged.
    pub connection: Option<ConnectionStanding>,
    /// What is wrong with the connection, if it is there and something is.
    pub fault: Option<Fault>,
}

/// Takes a config apart into its mappings, each with its connection.
fn with_faults(context: &Context, stored: ConfiguredService) -> Configured {
    let ConfiguredService { mut config, connections } = stored;
    let one = |mapping: ServiceMapping| {
        let connection = connections.iter().find(|connection| connection.id == mapping.connection).cloned();
        let fault = connection.as_ref().and_then(|connection| fault(context, connection));
        ConfiguredMapping { mapping, connection, fault }
    };
    let mappings = std::mem::take(&mut config.mappings).into_iter().map(one).collect();
    Configured { config, mappings }
}

/// `ListServiceConfigs`: those that pass the filter, with the mappings that policy shows to the caller.
///
/// # Errors
/// Policy does not permit the list as a whole, or the filter's owner is out of reach.
pub async fn list(
    call: &mut Call,
    filter: ServiceConfigFilter,
    paging: Parsed<Paging>,
) -> Result<Recorded<Listed<Configured>>, Refusal> {
    let scope = call.scope()?;
    if let Some(owner) = &filter.owner {
        call.check_owner(&scope, owner)?;
    }
    let page = call.page(Some(&scope), paging).await?;
    let permit = call.permit(&scope, Facts { owner: filter.owner.as_ref(), ..Facts::default() })?;
    let context = call.context.clone();
    let mut listed = context.store.service_configs().list(&scope, &filter, &page).await?;
    let mut shown = call.shown(&scope);
    listed.items.retain_mut(|item| {
        let owner = Some(&item.config.owner);
        if item.config.mappings.is_empty() {
            return shown.shows(None, owner);
        }
        item.config.mappings.retain(|mapping| shown.shows(Some(&mapping.provider), owner));
        !item.config.mappings.is_empty()
    });
    let items = listed.items.into_iter().map(|item| with_faults(&context, item)).collect();
    let listed = Listed { items, next_page_token: listed.next_page_token };
    call.recorded(&permit, listed).await
}

/// `DeleteServiceConfig`: removes a config, and returns it as it was; `None` for a repeated request.
///
/// # Errors
/// The owner has no such config, policy does not permit it, or its etag is another.
pub async fn delete(
    call: &mut Call,
    service: ServiceName,
    owner: Parsed<Option<Owner>>,
    etag: Option<Etag>,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Recorded<Option<Configured>>, Refusal> {
    let scope = call.scope()?;
    call.about(Subject { other: Some(service_config_name(&service)), ..Subject::default() });
    let owner = call.owner(&scope, owner?)?;
    let permit = call.permit(&scope, Facts { owner: Some(&owner), ..Facts::default() })?;
    let repeats = !matches!(repeat, Ok(None));
    let context = call.context.clone();
    let configs = context.store.service_configs();
    let permit = match configs.find(&scope, &owner, &service).await? {
        Some(stored) => permit_providers(call, &scope, permit, &stored)?,
        // The store answers a repetition from its memory of the first request.
        None if repeats => permit,
        None => return Err(StoreError::ServiceConfigNotFound.into()),
    };
    let write = call.write(&permit, repeat)?;
    let deleted = configs.delete(&scope, &owner, &service, etag, &write).await?;
    let connections = match deleted.get() {
        Some(config) => {
            let ids = config.mappings.iter().map(|mapping| mapping.connection);
            // The config is gone by now: what cannot be read of its connections is left out of the answer.
            context.store.connections().standings(&scope, ids).await.unwrap_or_default()
        }
        None => Vec::new(),
    };
    Ok(deleted
        .map(|config| config.map(|config| with_faults(&context, ConfiguredService { config, connections }))))
}

/// Asks policy about the provider of each connection that a stored config uses.
fn permit_providers(
    call: &Call,
    scope: &TenantScope,
    permit: Permit,
    stored: &ServiceConfig,
) -> Result<Permit, Refusal> {
    let owner = Some(&stored.owner);
    let mut asked = Vec::new();
    stored.mappings.iter().try_fold(permit, |permit, mapping| {
        let provider = &mapping.provider;
        if asked.contains(&provider) {
            return Ok(permit);
        }
        asked.push(provider);
        let more = call.permit(scope, Facts { provider: Some(provider), owner, purpose: None })?;
        Ok(permit.and(more))
    })
}
