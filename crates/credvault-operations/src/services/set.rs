//! `SetServiceConfig`: switches a service on or off, and sets the mappings that a request names.

use credvault_domain::{Etag, MappingName, Owner, Permit, ServiceName, TenantScope, Violations};
use credvault_identity::Facts;
use credvault_store::{
    Error as StoreError, MappingChange, Recorded, ServiceConfigChange, service_config_name,
};

use super::{Configured, permit_providers, with_faults};
use crate::call::Subject;
use crate::{Call, Parsed, Refusal, Repeat};

/// A config to be set, as a caller gives it.
#[derive(Debug)]
pub struct SetService {
    /// The name of the service.
    pub service: ServiceName,
    /// Whose config it is, if the request names an owner.
    pub owner: Parsed<Option<Owner>>,
    /// The etag that it must have, if the caller names one.
    pub etag: Option<Etag>,
    /// Whether it is switched on; `None` leaves it.
    pub enabled: Option<bool>,
    /// The mappings that are set.
    pub mappings: Parsed<Vec<MappingChange>>,
    /// The mappings that are removed.
    pub remove: Parsed<Vec<MappingName>>,
    /// How a repetition is recognised.
    pub repeat: Parsed<Option<Repeat>>,
}

/// `SetServiceConfig`.
///
/// # Errors
/// Policy does not permit it, a connection is not one that the owner reaches, or a mapping breaks a rule.
pub async fn set(call: &mut Call, set: SetService) -> Result<Recorded<Configured>, Refusal> {
    let SetService { service, owner, etag, enabled, mappings, remove, repeat } = set;
    let scope = call.scope()?;
    call.about(Subject { other: Some(service_config_name(&service)), ..Subject::default() });
    let owner = call.owner(&scope, owner?)?;
    let permit = call.permit(&scope, Facts { owner: Some(&owner), ..Facts::default() })?;
    let repeat = repeat?;
    let (mappings, remove) = checked(&owner, mappings, remove)?;
    call.subject.changed = changed(enabled, &mappings, &remove);
    call.subject.connection = mappings.iter().find_map(|mapping| mapping.connection);
    let change = ServiceConfigChange { owner, service, etag, enabled, set: mappings, remove };
    let permit = permitted(call, &scope, permit, &change).await?;
    let context = call.context.clone();
    let write = call.write(&permit, Ok(repeat))?;
    let stored = context.store.service_configs().set(&scope, &change, &write).await?;
    Ok(stored.map(|stored| with_faults(&context, stored)))
}

/// Refuses what no config can have, whatever is stored.
fn checked(
    owner: &Owner,
    mappings: Parsed<Vec<MappingChange>>,
    remove: Parsed<Vec<MappingName>>,
) -> Parsed<(Vec<MappingChange>, Vec<MappingName>)> {
    let mut violations = Violations::default();
    if *owner == Owner::Platform {
        violations.add("owner.kind", "must be a tenant or a user of one; name the tenant in the call");
    }
    let mappings = violations.collect(mappings).unwrap_or_default();
    let remove = violations.collect(remove).unwrap_or_default();
    for (index, mapping) in mappings.iter().enumerate() {
        let before = mappings.iter().take(index);
        if remove.contains(&mapping.name) || before.into_iter().any(|other| other.name == mapping.name) {
            let rule = "must be named once, either in mappings or in remove_mappings";
            violations.add(format!("mappings[{index}].mapping"), rule);
        }
    }
    violations.into_result().map(|()| (mappings, remove))
}

/// The names of the fields that change, as the audit record has them.
fn changed(enabled: Option<bool>, set: &[MappingChange], remove: &[MappingName]) -> Vec<String> {
    let switched = enabled.map(|_| "enabled".to_owned());
    let names = set.iter().map(|mapping| &mapping.name).chain(remove);
    switched.into_iter().chain(names.map(|name| format!("mappings/{name}"))).collect()
}

/// Asks policy about the connections that the config uses now, and about those that it will use.
async fn permitted(
    call: &Call,
    scope: &TenantScope,
    permit: Permit,
    change: &ServiceConfigChange,
) -> Result<Permit, Refusal> {
    let store = &call.context.store;
    let stored = store.service_configs().find(scope, &change.owner, &change.service).await?;
    let permit = match &stored {
        Some(stored) => permit_providers(call, scope, permit, stored)?,
        None => permit,
    };
    let ids: Vec<_> = change.set.iter().filter_map(|mapping| mapping.connection).collect();
    let found = store.connections().standings(scope, ids.iter().copied()).await?;
    if ids.iter().any(|id| found.iter().all(|found| found.id != *id)) {
        return Err(StoreError::ConnectionNotFound.into());
    }
    found.iter().try_fold(permit, |permit, found| {
        let (provider, owner) = (Some(&found.provider), Some(&found.owner));
        Ok(permit.and(call.permit(scope, Facts { provider, owner, purpose: None })?))
    })
}
