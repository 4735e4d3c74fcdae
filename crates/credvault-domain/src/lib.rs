//! The nouns and rules of credvault: callers, connections, credentials, and the changes that their states allow.
//!
//! Everything here is a value. Nothing reads a clock, draws a random number, awaits or touches a disk, so each
//! rule can be read and tested by itself. Text from outside becomes a type here once, and the type is passed on.

mod time;

mod tenant;
mod user;

mod service;

mod scope;

mod permit;

mod name;

mod id;

mod provider;

mod app_place;

mod adopt_rules;

mod connection;

mod connect;

mod config;

mod service_config;

mod requirement;

mod hint;

mod credential;

mod event;

mod usage;

mod health;

mod sync;

mod action;

mod limit;

mod source;

mod reason;

mod violation;

mod cause;

mod audit;

mod random;

mod wording;

pub use action::{Action, ActionKind, ActionTarget};
pub use adopt_rules::AdoptRules;
pub use app_place::AppPlace;
pub use audit::{AuditEvent, AuditOutcome, TenantSource, TraceId};
pub use cause::chain;
pub use config::{Config, ConfigError, Destinations, MAX_CONFIG_BYTES};
pub use connect::{ConnectAction, ConnectTerms, MAX_CONNECT_PROVIDERS, check_language};
pub use connection::{
    Connection, ConnectionState, ErrorCause, Etag, Owner, Revocation, StateChange, StateError,
};
pub use credential::{
    CredentialVersion, MAX_CREDENTIAL_BYTES, MAX_CREDENTIAL_FIELDS, SecretFields, Version, VersionState,
};
pub use event::{DeliveryState, EventType};
pub use health::{
    Grant, GrantLife, Health, HealthState, LastError, PASSING_PAUSES, Renewal, RotationDue, Words,
};
pub use hint::mask;
pub use id::{ConnectSessionId, ConnectionId, EventEndpointId, EventId};
pub use limit::{LimitKind, LimitOverrides, LimitSubject, LimitValues};
pub use name::{AccountName, LABELS_MAX, Labels, NameError, Purpose, RequestId};
pub use permit::Permit;
pub use provider::{AuthMode, FieldName, ProviderId};
pub use random::{Exhausted, Random, jitter};
pub use reason::Reason;
pub use requirement::{MAX_REQUIREMENTS, Requirement, Tool};
pub use scope::{Reach, TenantScope};
pub use service::{ServiceId, ServiceIdError, TrustDomain};
pub use service_config::{
    MAX_MAPPINGS, MAX_SETTINGS_BYTES, MappingName, ServiceConfig, ServiceMapping, ServiceName, ToolName,
};
pub use source::{AddressRange, SourceRule, SourceRules};
pub use sync::{
    MAX_CURSOR_BYTES, MAX_SYNC_ERROR_BYTES, MAX_SYNC_RESOURCES, SyncCounts, SyncResource, SyncState,
    SyncStatus, sanitised,
};
pub use tenant::{Tenant, TenantId, TenantState};
pub use time::{Clock, Present, Timestamp};
pub use usage::{Day, EndpointName, MAX_ITEM_COUNT, UsageCounts, UsageGroup};
pub use user::UserId;
pub use violation::{Violation, Violations};
pub use wording::{is_key, rule_of};
