//! Configs of services, and tools: none takes more bytes than are counted.

use credvault_domain::{
    AccountName, AuthMode, Config, MappingName, ProviderId, Requirement, ServiceConfig, ServiceMapping,
    ServiceName, Tool, ToolName,
};
use credvault_operations::Fault;
use credvault_operations::services::{Configured, ConfiguredMapping};
use credvault_store::{ConfiguredService, ConnectionStanding};
use prost::Message;
use serde_json::{Value, json};

use super::{NUMBER, TIME, a_connection, check, many, text, values};
use crate::grpc::wire::{service_config, tool};

/// A config whose mappings show the most that they can.
fn a_service(config: Value, bytes: usize) -> ConfiguredService {
    let Value::Object(settings) = config else { panic!("no object") };
    let connection = a_connection(json!({}), bytes);
    let standing = ConnectionStanding {
        id: connection.id,
        owner: connection.owner.clone(),
        provider: connection.provider.clone(),
        account_name: connection.account_name,
        auth_mode: connection.auth_mode,
        state: connection.state,
        error: connection.error,
        enabled: true,
        default: true,
        current_version: NUMBER,
        expire_time: Some(TIME),
        grant_end: Some(TIME),
        failing: None,
        scopes_asked: Vec::new(),
        scopes_granted: Vec::new(),
        delete_time: None,
    };
    let mapping = |index: usize| ServiceMapping {
        name: MappingName::from_stored(text(index)),
        connection: connection.id,
        provider: connection.provider.clone(),
        settings: Config::from_stored(settings.clone()),
    };
    let config = ServiceConfig {
        id: uuid::Uuid::max(),
        service: ServiceName::from_stored(text(64)),
        owner: connection.owner,
        enabled: true,
        mappings: (0..32).map(mapping).collect(),
        revision: NUMBER,
        create_time: TIME,
        update_time: TIME,
    };
    ConfiguredService { config, connections: vec![standing] }
}

/// The same as an operation gives it, with the largest fault.
fn as_configured(stored: ConfiguredService) -> Configured {
    let ConfiguredService { mut config, connections } = stored;
    let one = |mapping| ConfiguredMapping {
        mapping,
        connection: connections.first().cloned(),
        fault: connections
            .first()
            .and_then(|known| known.error.clone())
            .map(|error| Fault::Credential(error.reason, error.time)),
    };
    let mappings = std::mem::take(&mut config.mappings).into_iter().map(one).collect();
    Configured { config, mappings }
}

#[test]
fn no_service_and_no_tool_takes_more_than_is_counted() {
    for bytes in [0, 1, 130, 1000] {
        let config = json!({ "": values(2), "a": text(bytes) });
        check(a_service(config, bytes), |item| service_config(as_configured(item)).encoded_len());
        let requirement = Requirement {
            provider: ProviderId::from_stored(text(64)),
            auth_modes: (0..16).map(|index| AuthMode::from_stored(text(index))).collect(),
            scopes: many(),
            account: AccountName::parse(&"é".repeat(128)).ok(),
            works_without: true,
        };
        let one = Tool {
            name: ToolName::from_stored(text(64)),
            description: text(bytes),
            requirements: vec![requirement; 100],
            revision: NUMBER,
            create_time: TIME,
            update_time: TIME,
        };
        check(one, |item| tool(item).encoded_len());
    }
}
