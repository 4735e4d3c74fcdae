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

mod connection_key;
mod error;

mod integrity;
mod sealed;

mod change;

mod authorizations;
mod connections;
mod credentials;

mod refreshes;
mod rejections;
mod revocations;

mod events;
mod webhook_replays;

mod audit;

mod tenants;

mod page;
mod retention;
mod weights;

mod entity;

pub use audit::query::{AuditFilter, AuditGroup, AuditRecord, AuditSummary};
pub use audit::{Audit, Recorded};
pub use authorizations::Authorizations;
pub use authorizations::awaited::AwaitedAuthorization;
pub use authorizations::begin::{Beginner, BegunAuthorization, NewAuthorization};
pub use authorizations::callbacks::KeptCallback;
pub use authorizations::returned::{Bringer, ReturnedAuthorization};
pub use change::feed::{ChangeKind, ChangeSubject, Feed, FeedPage, FeedPosition, FeedRow};
pub use change::{RepeatKey, Write};
pub use connection_key::ConnectionKey;
pub use connections::due_tests::DueTest;
pub use connections::import::Imported;
pub use connections::import::item::{IMPORTED_FROM, ImportItem};
pub use connections::listing::ConnectionFilter;
pub use connections::test_results::Tested;
pub use connections::{ConnectionPatch, Connections, NewConnection};
pub use credentials::found::{Fetched, OpenedCredential, Selector};
pub use credentials::stored::{NewCredential, NewSettings};
pub use credentials::{Consent, Credentials};
pub use credvault_migrations::{ROLE_NAME_RULE, is_role_name};
pub use database::file::FileError;
pub use database::open_error::OpenError;
pub use database::prepare::{MigrateError, migrate};
pub use database::settings::{Database, StoreSettings};
pub use database::turns::{Full, Turn, Turns};
pub use error::{AuthorizationError, Error};
pub use events::deliveries::attempt::Attempt;
pub use events::deliveries::search::EventsDue;
pub use events::deliveries::{ClaimedEvent, EndpointKey, EventDeliveries, EventDelivery, delivery_name};
pub use events::endpoint_secrets::{EventTarget, NewEventEndpoint};
pub use events::endpoints::{EventEndpoint, EventEndpoints, endpoint_name};
pub use page::{Listed, PAGE_BYTES, Page, Weighed};
pub use refreshes::Refreshes;
pub use refreshes::budgets::AppKey;
pub use refreshes::claim::{Claim, Claimed, GiveUp, RepeatRisk};
pub use refreshes::end::RefreshedTokens;
pub use refreshes::failure::RefreshFailure;
pub use refreshes::pause::{AppFault, Pause};
pub use refreshes::schedule::RefreshSchedule;
pub use refreshes::search::{Due, DueFound, LeftOut};
pub use rejections::claim::{ClaimedInquiry, Inquiry};
pub use rejections::{Finding, GivenOut, Rejections, Standing};
pub use revocations::{Revocations, ToRevoke};
pub use store::Store;
pub use tenants::Tenants;
pub use tenants::apps::{AppRevision, Apps, OAuthApp, UsableApp};
pub use tenants::keys::{KeyStatus, Keys, RootStatus, TenantKeyStatus};
pub use tenants::new_app::NewApp;
pub use tenants::users::{User, Users};
pub use weights::weight_in_credential;
