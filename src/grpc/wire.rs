//! Between the wire and the domain: requests into domain types, domain types into responses, and errors into
//! statuses.

mod events;
mod import;
mod json;
mod parse;
mod render;
mod status;

pub(crate) use events::{
    delivery_state, event_delivery, event_endpoint, event_endpoint_id, event_id, optional_event_endpoint_id,
    put_event_endpoint, stored_event_endpoint,
};
pub(crate) use import::{import, import_result};
pub(crate) use json::{struct_of, value_of};
pub(crate) use parse::{
    audit_filter, audit_groups, connection_filter, connection_id, create_connection, display_name, etag,
    expected_version, fetch, optional_tenant_id, paging, provider_id, put_app, put_credential, received,
    repeat, scopes, session, tenant_id, tenant_state, update_connection, user_id, version,
};
pub(crate) use render::{
    audit_event, audit_summary, begun_consent, connection, credential, credential_version, fetch_result,
    key_status, oauth_app, provider, tenant, tested_connection, timestamp, user, webhook_verdict,
};
pub(crate) use status::{code_name, fetch_error, reason_of, status};

#[cfg(test)]
mod tests;
