//! Requests about connections into domain types.

use credvault_domain::{AccountName, ConnectionState, HealthState, ProviderId, Violations};
use credvault_operations::connections::{Create, Update};
use credvault_store::ConnectionFilter;

use super::credential::given_credential;
use super::rotation::rotation_period;
use super::{
    account_name, connection_id, etag, external_account_id, labels, optional, owner, provider_id, repeat,
    timestamp,
};
use crate::grpc::wire::value_of;
use credvault_proto::v1;

pub(crate) fn create_connection(request: v1::CreateConnectionRequest) -> Result<Create, Violations> {
    let repeat = repeat(&request.request_id, &request);
    Ok(Create {
        provider: provider_id(&request.provider)?,
        owner: owner(request.owner),
        repeat,
        auth_mode: request.auth_mode,
        account_name: account_name("account_name", &request.account_name),
        config: value_of(request.config.unwrap_or_default()),
        labels: labels("labels", request.labels),
        external_account_id: external_account_id("external_account_id", request.external_account_id),
        rotation_period: rotation_period("rotation_period", request.rotation_period),
        credential: request.credential.map(given_credential),
        verify: false,
        enabled: !request.disabled,
    })
}

/// The fields of a connection that an update changes, as the mask and the audit record name them.
const UPDATE_FIELDS: [&str; 6] =
    ["account_name", "enabled", "config", "labels", "external_account_id", "rotation_period"];
/// The path that clears the note about a key that was left at the provider. "*" does not have it.
const LEFT_KEY: &str = "rotation.left_key_time";

pub(crate) fn update_connection(mut request: v1::UpdateConnectionRequest) -> Result<Update, Violations> {
    let fields = update_mask(request.update_mask.clone())?;
    let repeat = repeat(&request.request_id, &request);
    let new = request.connection.take().filter(|connection| !connection.id.is_empty());
    let new = new.ok_or_else(|| Violations::of("connection", "must be given, with its id"))?;
    let given = |field: &str| fields.contains(&field);
    Ok(Update {
        connection: connection_id(&new.id)?,
        etag: etag("connection.etag", &new.etag)?,
        repeat,
        account_name: given("account_name")
            .then(|| account_name("connection.account_name", &new.account_name)),
        enabled: given("enabled").then_some(new.enabled),
        config: given("config").then(|| value_of(new.config.unwrap_or_default())),
        labels: given("labels").then(|| labels("connection.labels", new.labels)),
        external_account_id: given("external_account_id")
            .then(|| external_account_id("connection.external_account_id", new.external_account_id)),
        rotation_period: given("rotation_period")
            .then(|| rotation_period("connection.rotation_period", new.rotation_period)),
        forgets_left_key: given(LEFT_KEY),
    })
}

fn update_mask(mask: Option<prost_types::FieldMask>) -> Result<Vec<&'static str>, Violations> {
    const RULE: &str = "must name some of account_name, enabled, config, labels, external_account_id, rotation_period, \
                        or be \"*\" for all; rotation.left_key_time clears that";
    let paths = mask.unwrap_or_default().paths;
    if paths == ["*"] {
        return Ok(UPDATE_FIELDS.to_vec());
    }
    let field = |path: &String| UPDATE_FIELDS.into_iter().chain([LEFT_KEY]).find(|field| field == path);
    let fields: Option<Vec<_>> = paths.iter().map(field).collect();
    fields.filter(|fields| !fields.is_empty()).ok_or_else(|| Violations::of("update_mask", RULE))
}

pub(crate) fn connection_filter(
    request: &v1::ListConnectionsRequest,
) -> Result<(ConnectionFilter, Option<HealthState>), Violations> {
    let mut violations = Violations::default();
    let owner = violations.collect(owner(request.owner.clone())).flatten();
    if request.owner.is_some() && owner.is_none() && violations.is_empty() {
        violations.add("owner.kind", "must be given in a filter; leave owner out for all");
    }
    let provider = violations.collect(optional("provider", &request.provider, ProviderId::parse)).flatten();
    let name =
        violations.collect(optional("account_name", &request.account_name, AccountName::parse)).flatten();
    let state = violations.collect(connection_state(request.state)).flatten();
    let health = violations.collect(health_state(request.health)).flatten();
    let ends_before = request.ends_before.map(|time| timestamp("ends_before", time));
    let ends_before = ends_before.and_then(|time| violations.collect(time));
    let due_before = request.rotation_due_before.map(|time| timestamp("rotation_due_before", time));
    let rotation_due_before = due_before.and_then(|time| violations.collect(time));
    violations.into_result()?;
    let show_deleted = request.show_deleted;
    let filter = ConnectionFilter {
        owner,
        provider,
        account_name: name,
        state,
        ends_before,
        rotation_due_before,
        show_deleted,
        ..ConnectionFilter::default()
    };
    Ok((filter, health))
}

pub(super) fn connection_state(state: i32) -> Result<Option<ConnectionState>, Violations> {
    let unknown = |_| Violations::of("state", "must be one of the states that the protos name");
    Ok(match v1::ConnectionState::try_from(state).map_err(unknown)? {
        v1::ConnectionState::Unspecified => None,
        v1::ConnectionState::Disconnected => Some(ConnectionState::Disconnected),
        v1::ConnectionState::Connecting => Some(ConnectionState::Connecting),
        v1::ConnectionState::Connected => Some(ConnectionState::Connected),
        v1::ConnectionState::Error => Some(ConnectionState::Error),
    })
}

pub(super) fn health_state(state: i32) -> Result<Option<HealthState>, Violations> {
    let unknown = |_| Violations::of("health", "must be one of the states that the protos name");
    Ok(match v1::HealthState::try_from(state).map_err(unknown)? {
        v1::HealthState::Unspecified => None,
        v1::HealthState::NotConnected => Some(HealthState::NotConnected),
        v1::HealthState::Ok => Some(HealthState::Ok),
        v1::HealthState::Ending => Some(HealthState::Ending),
        v1::HealthState::Ended => Some(HealthState::Ended),
        v1::HealthState::Error => Some(HealthState::Error),
        v1::HealthState::Uncertain => Some(HealthState::Uncertain),
        v1::HealthState::ProviderIncident => Some(HealthState::ProviderIncident),
    })
}
