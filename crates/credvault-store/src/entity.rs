//! The tables as sea-orm sees them. Never seen outside of this crate.

#![expect(unreachable_pub, reason = "sea-orm's derives want public items")]

pub(crate) mod app_webhook_replay;
pub(crate) mod audit_bundle;
pub(crate) mod audit_event;
pub(crate) mod audit_journal;
pub(crate) mod audit_tile;
pub(crate) mod authorization;
pub(crate) mod callback;
pub(crate) mod change;
pub(crate) mod client_registration;
pub(crate) mod connect_session;
pub(crate) mod connection;
pub(crate) mod connection_health;
pub(crate) mod credential_rotation;
pub(crate) mod credential_version;
pub(crate) mod delivered_key;
pub(crate) mod endpoint_deletion;
pub(crate) mod erasure;
pub(crate) mod erasure_request;
pub(crate) mod event_delivery;
pub(crate) mod event_endpoint;
pub(crate) mod external_payload;
pub(crate) mod oauth_app;
pub(crate) mod payload_work;
pub(crate) mod refresh;
pub(crate) mod rejection;
pub(crate) mod request;
pub(crate) mod revocation;
pub(crate) mod root_key;
pub(crate) mod rotated_key;
pub(crate) mod rotation;
pub(crate) mod service_config;
pub(crate) mod service_mapping;
pub(crate) mod signing_key;
pub(crate) mod sync_state;
pub(crate) mod tenant;
pub(crate) mod tenant_key;
pub(crate) mod token;
pub(crate) mod tool;
pub(crate) mod webhook_replay;
