//! Between the wire and the domain: requests into domain types, domain types into responses, and errors into
//! statuses. No other module looks into a message.

mod events;
mod json;
mod page;
mod parse;
mod render;
mod status;

pub(crate) use events::{
    delivery_state, event_delivery, event_endpoint, event_endpoint_id, event_id, new_event_endpoint,
    optional_event_endpoint_id, stored_event_endpoint,
};
pub(crate) use json::{struct_of, value_of};
pub(crate) use page::{Paged, page};
pub(crate) use parse::{
    FetchQuery, UpdateField, account_name, audit_filter, audit_groups, connection_filter, connection_id,
    display_name, etag, expected_version, external_account_id, fetch_query, labels, new_app, new_credential,
    optional_tenant_id, owner, parameters, provider_id, request_id, scopes, session, tenant_id, tenant_state,
    update_mask, user_id, version, way_back,
};
pub(crate) use render::{
    audit_event, audit_summary, connection, credential, credential_version, key_status, oauth_app, provider,
    tenant, timestamp, user,
};
pub(crate) use status::{code_name, fetch_error, reason_of, status};

#[cfg(test)]
mod tests;
