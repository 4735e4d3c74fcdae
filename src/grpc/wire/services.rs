//! Configs of services between the wire and the domain.

use credvault_domain::{Config, ConnectionId, MappingName, ServiceName, Violations};
use credvault_operations::Fault;
use credvault_operations::services::{Affected, Configured, ConfiguredMapping, SetService};
use credvault_store::{MappingChange, ServiceConfigFilter, ServiceUse};

use super::json::{struct_of, value_of};
use super::parse::{etag, optional, owner, repeat, required};
use super::render::{owner_of, timestamp};
use credvault_proto::v1;

pub(crate) fn service_name(text: &str) -> Result<ServiceName, Violations> {
    required("service", text, ServiceName::parse)
}

pub(crate) fn set_service_config(request: v1::SetServiceConfigRequest) -> Result<SetService, Violations> {
    let repeat = repeat(&request.request_id, &request);
    Ok(SetService {
        service: service_name(&request.service)?,
        owner: owner(request.owner),
        etag: etag("etag", &request.etag)?,
        enabled: request.enabled,
        mappings: mapping_changes(request.mappings),
        remove: removed(&request.remove_mappings),
        repeat,
    })
}

fn mapping_changes(mappings: Vec<v1::ServiceMapping>) -> Result<Vec<MappingChange>, Violations> {
    let mut violations = Violations::default();
    check_count("mappings", mappings.len(), &mut violations);
    let mut changes = Vec::with_capacity(mappings.len());
    for (index, mapping) in mappings.into_iter().enumerate() {
        let field = |name: &str| format!("mappings[{index}].{name}");
        let name = violations.note(&field("mapping"), MappingName::parse_or_default(&mapping.mapping));
        let id = optional(&field("connection_id"), &mapping.connection_id, str::parse::<ConnectionId>);
        let id = violations.collect(id).flatten();
        let settings = mapping.settings.map(|settings| Config::new(value_of(settings))).transpose();
        let settings = violations.note(&field("settings"), settings).flatten();
        changes.extend(name.map(|name| MappingChange { name, connection: id, settings }));
    }
    violations.into_result().map(|()| changes)
}

fn removed(names: &[String]) -> Result<Vec<MappingName>, Violations> {
    let mut violations = Violations::default();
    check_count("remove_mappings", names.len(), &mut violations);
    let note = |(index, name): (usize, &String)| {
        violations.note(&format!("remove_mappings[{index}]"), MappingName::parse(name))
    };
    let parsed = names.iter().enumerate().filter_map(note).collect();
    violations.into_result().map(|()| parsed)
}

fn check_count(field: &str, count: usize, violations: &mut Violations) {
    if count > credvault_domain::MAX_MAPPINGS {
        violations.add(field, "must be at most 32");
    }
}

pub(crate) fn service_config_filter(
    request: &v1::ListServiceConfigsRequest,
) -> Result<ServiceConfigFilter, Violations> {
    let mut violations = Violations::default();
    let owner = violations.collect(owner(request.owner.clone())).flatten();
    if request.owner.is_some() && owner.is_none() && violations.is_empty() {
        violations.add("owner.kind", "must be given in a filter; leave owner out for all");
    }
    let service = violations.collect(optional("service", &request.service, ServiceName::parse)).flatten();
    let connection = optional("connection_id", &request.connection_id, str::parse::<ConnectionId>);
    let connection = violations.collect(connection).flatten();
    let enabled = request.enabled;
    violations.into_result().map(|()| ServiceConfigFilter { owner, service, connection, enabled })
}

pub(crate) fn service_config(configured: Configured) -> v1::ServiceConfig {
    let Configured { config, mappings } = configured;
    v1::ServiceConfig {
        service: config.service.as_str().to_owned(),
        owner: Some(owner_of(&config.owner)),
        enabled: config.enabled,
        mappings: mappings.into_iter().map(service_mapping).collect(),
        etag: config.etag().to_string(),
        create_time: Some(timestamp(config.create_time)),
        update_time: Some(timestamp(config.update_time)),
    }
}

fn service_mapping(configured: ConfiguredMapping) -> v1::ServiceMapping {
    let ConfiguredMapping { mapping, connection, fault } = configured;
    let state = match (&connection, &fault) {
        (None, _) => v1::MappingState::Missing,
        (Some(_), None) => v1::MappingState::Connected,
        (Some(_), Some(Fault::Disabled)) => v1::MappingState::Disabled,
        (Some(_), Some(Fault::NoCredential)) => v1::MappingState::Disconnected,
        (Some(_), Some(Fault::Deleted(_))) => v1::MappingState::Deleted,
        (Some(_), Some(Fault::Credential(..) | Fault::Refresh(_) | Fault::Uncatalogued)) => {
            v1::MappingState::Error
        }
    };
    let reason = fault.as_ref().filter(|_| state == v1::MappingState::Error).map(Fault::reason);
    v1::ServiceMapping {
        mapping: mapping.name.as_str().to_owned(),
        connection_id: mapping.connection.to_string(),
        settings: Some(struct_of(mapping.settings.as_object())),
        provider: mapping.provider.as_str().to_owned(),
        account_name: connection.map(|known| known.account_name.as_str().to_owned()).unwrap_or_default(),
        state: state.into(),
        reason: reason.unwrap_or_default().to_owned(),
        state_time: fault.as_ref().and_then(Fault::time).map(timestamp),
    }
}

/// The services that a change breaks, and how many more there are.
pub(crate) fn affected_services(affected: Affected) -> (Vec<v1::AffectedService>, i32) {
    let Affected { services, hidden } = affected;
    (services.into_iter().map(affected_service).collect(), hidden.try_into().unwrap_or(i32::MAX))
}

fn affected_service(used: ServiceUse) -> v1::AffectedService {
    let ServiceUse { service, mapping, owner, enabled, provider: _ } = used;
    v1::AffectedService {
        service: service.as_str().to_owned(),
        mapping: mapping.as_str().to_owned(),
        owner: Some(owner_of(&owner)),
        enabled,
    }
}
