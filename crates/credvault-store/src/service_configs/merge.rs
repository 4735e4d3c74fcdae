//! A change of a config, and the mappings after it with every rule about them. Reads and writes nothing.

use std::collections::BTreeMap;

use credvault_domain::{
    Config, ConnectionId, Etag, MAX_MAPPINGS, MAX_SETTINGS_BYTES, MappingName, Owner, ProviderId,
    ServiceMapping, ServiceName, Violations,
};

/// What is to change of a service's config, or what a new one has.
#[derive(Clone, Debug)]
pub struct ServiceConfigChange {
    /// Whose it is: the tenant's or a user's.
    pub owner: Owner,
    /// The name of the service.
    pub service: ServiceName,
    /// The etag that it must have, if the caller names one.
    pub etag: Option<Etag>,
    /// Whether it is switched on; `None` leaves it, and means yes for a new one.
    pub enabled: Option<bool>,
    /// The mappings that are set. All others stay.
    pub set: Vec<MappingChange>,
    /// The mappings that are removed. One that is not there is no error.
    pub remove: Vec<MappingName>,
}

/// A mapping that is set. What is left out stays as it is stored.
#[derive(Clone, Debug)]
pub struct MappingChange {
    /// The mapping, new or stored.
    pub name: MappingName,
    /// The connection that it uses. A new mapping needs one.
    pub connection: Option<ConnectionId>,
    /// All its settings. A new mapping has none unless they are given.
    pub settings: Option<Config>,
}

/// What is there after the change, ordered by name. `providers` are those of the connections that are set.
pub(super) fn merged(
    before: Vec<ServiceMapping>,
    new: &ServiceConfigChange,
    providers: &[(ConnectionId, ProviderId)],
) -> Result<Vec<ServiceMapping>, Violations> {
    let mut violations = Violations::default();
    let mut all: BTreeMap<MappingName, ServiceMapping> =
        before.into_iter().map(|mapping| (mapping.name.clone(), mapping)).collect();
    all.retain(|name, _| !new.remove.contains(name));
    for (index, change) in new.set.iter().enumerate() {
        let before = all.remove(&change.name);
        let provider_of = |id: ConnectionId| providers.iter().find(|(known, _)| *known == id);
        let named = change.connection.and_then(provider_of).cloned();
        let stored = before.as_ref().map(|mapping| (mapping.connection, mapping.provider.clone()));
        let Some((connection, provider)) = named.or(stored) else {
            let rule = "must be given, because the service has no mapping of this name yet";
            violations.add(format!("mappings[{index}].connection_id"), rule);
            continue;
        };
        let settings = change.settings.clone().or(before.map(|mapping| mapping.settings)).unwrap_or_default();
        let mapping = ServiceMapping { name: change.name.clone(), connection, provider, settings };
        all.insert(change.name.clone(), mapping);
    }
    if all.len() > MAX_MAPPINGS {
        violations.add("mappings", "must be at most 32 for one service, with those that are stored");
    }
    let bytes = |mapping: &ServiceMapping| {
        serde_json::to_vec(mapping.settings.as_object()).map_or(usize::MAX, |json| json.len())
    };
    if all.values().map(bytes).fold(0, usize::saturating_add) > MAX_SETTINGS_BYTES {
        violations
            .add("mappings", "must have settings of at most 128 KiB in all, with those that are stored");
    }
    violations.into_result().map(|()| all.into_values().collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};
    use uuid::Uuid;

    use super::*;

    fn name(text: &str) -> MappingName {
        MappingName::parse(text).expect("name")
    }

    fn id(number: u128) -> ConnectionId {
        ConnectionId::from_uuid(Uuid::from_u128(number))
    }

    fn change(set: Vec<MappingChange>, remove: &[&str]) -> ServiceConfigChange {
        ServiceConfigChange {
            owner: Owner::Tenant,
            service: ServiceName::parse("report").expect("name"),
            etag: None,
            enabled: None,
            set,
            remove: remove.iter().map(|text| name(text)).collect(),
        }
    }

    fn mapping(text: &str, connection: Option<u128>, bytes: Option<usize>) -> MappingChange {
        let settings = |bytes| Map::from_iter([("a".to_owned(), json!("x".repeat(bytes)))]);
        let settings = bytes.map(|bytes| Config::new(settings(bytes)).expect("settings"));
        MappingChange { name: name(text), connection: connection.map(id), settings }
    }

    #[test]
    fn what_is_left_out_stays_and_what_is_new_needs_a_connection() {
        let providers = [1, 2].map(|number| (id(number), ProviderId::from_stored("generic".to_owned())));
        let first = change(vec![mapping("a", Some(1), Some(3)), mapping("b", Some(1), None)], &[]);
        let stored = merged(Vec::new(), &first, &providers).expect("stored");
        let moved = change(vec![mapping("a", Some(2), None)], &["b", "never-there"]);
        let moved = merged(stored.clone(), &moved, &providers).expect("moved");
        assert_eq!((moved.len(), moved[0].connection), (1, id(2)));
        assert_eq!(moved[0].settings, stored[0].settings, "they were not named");
        let wrong = merged(stored, &change(vec![mapping("c", None, Some(1))], &[]), &[]).expect_err("new");
        assert!(wrong.to_string().contains("mappings[0].connection_id must be given"), "{wrong}");
    }

    #[test]
    fn a_service_has_so_many_mappings_and_settings() {
        let providers = [(id(1), ProviderId::from_stored("generic".to_owned()))];
        let many = |count: usize, bytes: usize| {
            let set = (0..count).map(|i| mapping(&format!("m{i}"), Some(1), Some(bytes))).collect();
            merged(Vec::new(), &change(set, &[]), &providers)
        };
        assert!(many(MAX_MAPPINGS, 1).is_ok() && many(MAX_MAPPINGS + 1, 1).is_err());
        // Eight bytes stand around the text of each.
        assert!(many(8, MAX_SETTINGS_BYTES / 8 - 8).is_ok() && many(9, MAX_SETTINGS_BYTES / 8 - 8).is_err());
    }
}
