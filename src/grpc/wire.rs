//! Between the wire and the domain: requests into domain types, domain types into responses, and errors into
//! statuses.

mod access;
mod audit_streams;
mod connect;
mod erasure;
mod events;
mod import;
mod json;
mod keys;
mod limits;
mod ocsf;
mod oversight;
mod parse;
mod policy;
mod record;
mod render;
mod requirements;
mod secrets;
mod services;
mod status;

pub(crate) use access::{access_question, access_report};
pub(crate) use audit_streams::{export_part, export_request, export_summary, tail_part, tail_start};
pub(crate) use connect::{create_connect_session, created_connect_session};
pub(crate) use erasure::{confirmation_token, erase_step, erasure, signing_key, signing_keys};
pub(crate) use events::{
    delivery_state, event_delivery, event_endpoint, event_endpoint_id, event_id, optional_event_endpoint_id,
    put_event_endpoint, stored_event_endpoint,
};
pub(crate) use import::{import, import_result};
pub(crate) use json::{struct_of, value_of};
pub(crate) use keys::{key_status, older_versions, records_per_second, root_key_id, rotation};
pub(crate) use limits::{limit_changes, source_rules, sources, tenant_limits};
pub(crate) use oversight::{changed_connection, connection_counts, provider_rates};
pub(crate) use parse::{
    audit_filter, audit_groups, bulk_change, connection_filter, connection_id, connection_selection,
    counted_tenants, create_connection, display_name, etag, expected_version, fetch, optional_provider_id,
    optional_tenant_id, outcome_filter, owner, paging, proved_record, provider_id, put_app, put_credential,
    received, repeat, rotate_credential, scopes, secret_store, session, sync_report, tenant_id, tenant_state,
    tree_sizes, update_connection, usage_question, usage_report, user_id, version,
};
pub(crate) use policy::{explained_policy, optional_connection_id, policy_question};
pub(crate) use record::name_record;
pub(crate) use render::{
    audit_event, audit_signer, audit_summary, begun_consent, checkpoints, connection, consistency_proof,
    credential, credential_version, deleted_user, dependant, described, fetch_result, grant_outcome,
    inclusion_proof, oauth_app, provider, rotated, sync_state, tenant, tested_connection, timestamp, usage,
    usage_outcome, user, webhook_verdict,
};
pub(crate) use requirements::{check_requirements, checked, put_tool, tool, tool_name};
pub(crate) use secrets::{secret_places, store_check};
pub(crate) use services::{
    affected_services, service_config, service_config_filter, service_name, set_service_config,
};
pub(crate) use status::{code_name, fetch_error, item_status, reason_of, status};

#[cfg(test)]
mod tests;
