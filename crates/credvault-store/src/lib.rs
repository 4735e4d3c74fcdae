//! credvault's database: what is stored, and the only ways to read and change it.
//!
//! [`Store`] opens a PostgreSQL or SQLite database that [`migrate`] has prepared. Its repositories (`connections`,
//! `credentials`, `audit`, ...) take a [`TenantScope`](credvault_domain::TenantScope) first, so nothing is read or
//! changed without a verified tenant. Entities never leave this crate.
//!
//! A change, its audit record, its row in the change feed, the events that it causes and the memory of its request id
//! are one transaction (`change.rs`). What a method returns as [`Recorded`] has its audit record durable; a response can be made
//! of nothing else, so none can leave unrecorded.

mod settings;

mod store;

mod connect;
mod file;
mod prepare;
mod role_check;
mod startup;

mod error;

mod session;

mod change;

mod binding;
mod connection_row;
mod connections;
mod listing;
mod quota;

mod credentials;
mod versions;

mod deliveries;

mod fetch;

mod presence;
mod refreshes;
mod revocations;

mod apps;

mod authorizations;
mod budgets;
mod callbacks;
mod handoffs;
mod integrity;

mod event_deliveries;
mod event_endpoints;
mod events;

mod audit;
mod audit_log;
mod audit_query;

mod keys;
mod tenants;
mod user_deletions;
mod users;
mod verifications;

mod page;
mod weight;

mod pieces;
mod upkeep;

mod turns;

mod entity;

pub use apps::{AppRevision, Apps, NewApp, OAuthApp, UsableApp};
pub use audit::{Audit, Recorded};
pub use audit_query::{AuditFilter, AuditGroup, AuditRecord, AuditSummary};
pub use authorizations::{
    AuthorizationError, Authorizations, AwaitedAuthorization, Beginner, BegunAuthorization, Bringer,
    NewAuthorization, ReturnedAuthorization,
};
pub use callbacks::KeptCallback;
pub use change::{RepeatKey, Write};
pub use connections::{ConnectionPatch, Connections, NewConnection, Tested};
pub use credentials::{Consent, Credentials, NewCredential, NewSettings, Renewal};
pub use error::Error;
pub use event_deliveries::{
    Attempt, ClaimedEvent, EventDeliveries, EventDelivery, EventPlace, EventsDue, delivery_name,
};
pub use event_endpoints::{EventEndpoint, EventEndpoints, EventTarget, NewEventEndpoint, endpoint_name};
pub use fetch::{Fetched, OpenedCredential, Selector};
pub use file::FileError;
pub use keys::{KeyStatus, Keys, RootStatus, TenantKeyStatus};
pub use listing::ConnectionFilter;
pub use page::{Listed, Page};
pub use prepare::{MigrateError, migrate};
pub use refreshes::{
    AppFault, AppKey, Claim, Claimed, Due, DueFound, LeftOut, Pause, Perseverance, Place, RefreshFailure,
    Refreshes, Renewed, RepeatRisk,
};
pub use revocations::{Revocations, ToRevoke};
pub use settings::{Database, StoreSettings};
pub use startup::OpenError;
pub use store::Store;
pub use tenants::Tenants;
pub use turns::{Full, Turn, Turns};
pub use users::{User, Users};
pub use verifications::DueVerification;
pub use weight::{PAGE_BYTES, Weighed};
