//! credvault's database: what is stored, and the only ways to read and change it.
//!
//! [`Store`] opens a PostgreSQL or SQLite database that [`migrate`] has prepared. Its repositories (`connections`,
//! `credentials`, `audit`, ...) take a [`TenantScope`](credvault_domain::TenantScope) first, so nothing is read or
//! changed without a verified tenant. Entities never leave this crate.
//!
//! A change, its audit record, its row in the change feed, the events that it causes and the memory of its request id
//! are one transaction (`change.rs`). What a method returns as [`Recorded`] has its audit record durable; a response can be made
//! of nothing else, so none can leave unrecorded.

mod database;
mod store;

mod error;

mod change;

mod authorizations;
mod connections;
mod credentials;
mod refreshes;
mod revocations;

mod events;
mod webhook_replays;

mod audit;

mod tenants;

mod page;
mod retention;

mod entity;

pub use audit::query::{AuditFilter, AuditGroup, AuditRecord, AuditSummary};
pub use audit::{Audit, Recorded};
pub use authorizations::callbacks::KeptCallback;
pub use authorizations::{
    AuthorizationError, Authorizations, AwaitedAuthorization, Beginner, BegunAuthorization, Bringer,
    NewAuthorization, ReturnedAuthorization,
};
pub use change::{RepeatKey, Write};
pub use connections::due_tests::DueVerification;
pub use connections::listing::ConnectionFilter;
pub use connections::{ConnectionPatch, Connections, NewConnection, Tested};
pub use credentials::fetch::{Fetched, OpenedCredential, Selector};
pub use credentials::{Consent, Credentials, NewCredential, NewSettings, Renewal};
pub use database::file::FileError;
pub use database::prepare::{MigrateError, migrate};
pub use database::settings::{Database, StoreSettings};
pub use database::startup::OpenError;
pub use database::turns::{Full, Turn, Turns};
pub use error::Error;
pub use events::deliveries::{
    Attempt, ClaimedEvent, EventDeliveries, EventDelivery, EventPlace, EventsDue, delivery_name,
};
pub use events::endpoints::{EventEndpoint, EventEndpoints, EventTarget, NewEventEndpoint, endpoint_name};
pub use page::weight::{PAGE_BYTES, Weighed};
pub use page::{Listed, Page};
pub use refreshes::{
    AppFault, AppKey, Claim, Claimed, Due, DueFound, LeftOut, Pause, Perseverance, Place, RefreshFailure,
    Refreshes, Renewed, RepeatRisk,
};
pub use revocations::{Revocations, ToRevoke};
pub use store::Store;
pub use tenants::Tenants;
pub use tenants::apps::{AppRevision, Apps, NewApp, OAuthApp, UsableApp};
pub use tenants::keys::{KeyStatus, Keys, RootStatus, TenantKeyStatus};
pub use tenants::users::{User, Users};
