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
mod connect_sessions;
mod connections;
mod credentials;

mod dependants;

mod claims;
mod credential_rotations;

mod refreshes;
mod rejections;
mod revocations;

mod health;
mod incidents;
mod syncs;

mod events;
mod webhook_replays;

mod service_configs;
mod tools;

mod audit;

mod outcomes;
mod tenants;

mod keys;

mod secrets;

mod erasures;
mod signing;

mod usage;

mod backup;

mod hex;
mod page;
mod retention;
mod weights;

mod entity;

pub use audit::access::{AccessUse, AccessUses, CallingService, Period, UsesOf};
pub use audit::checkpoints::{AuditCheckpoint, AuditCheckpoints};
pub use audit::export::{Export, ExportScope};
pub use audit::filter::AuditFilter;
pub use audit::proofs::{ConsistencyProof, InclusionProof, ProvedRecord};
pub use audit::query::{AuditGroup, AuditSummary};
pub use audit::record::AuditRecord;
pub use audit::sequencer::{Sequenced, Sequencer};
pub use audit::signers::AuditSigner;
pub use audit::stretch::{LogBounds, LogEntry, Stretch};
pub use audit::tree::LogHead;
pub use audit::witnesses::{WitnessAsked, WitnessRequest};
pub use audit::{Audit, Recorded};
pub use authorizations::Authorizations;
pub use authorizations::awaited::AwaitedAuthorization;
pub use authorizations::begin::{Beginner, BegunAuthorization, NewAuthorization};
pub use authorizations::callbacks::KeptCallback;
pub use authorizations::returned::{Bringer, ReturnedAuthorization};
pub use backup::erased::ErasedTenants;
pub use backup::error::BackupError;
pub use backup::manifest::{Manifest, TableSummary};
pub use backup::progress::{BackupProgress, OnBackupProgress};
pub use backup::record::BackupPlace;
pub use backup::restore::{RestoreSettings, Restored, restore_backup};
pub use backup::tables::{BACKED_UP_TABLES, LEFT_OUT_TABLES};
pub use backup::verify::{Verified, verify_backup};
pub use backup::write::BackedUp;
pub use change::feed::{ChangeKind, ChangeSubject, Feed, FeedPage, FeedPosition, FeedRow};
pub use change::{RepeatKey, Write};
pub use connect_sessions::ConnectSessions;
pub use connect_sessions::found::ConnectSession;
pub use connect_sessions::made::{MadeConnectSession, NewConnectSession, connect_session_name};
pub use connection_key::ConnectionKey;
pub use connections::accepted::Accepted;
pub use connections::counts::{ConnectionCount, ConnectionKind};
pub use connections::due_tests::DueTest;
pub use connections::import::Imported;
pub use connections::import::item::{IMPORTED_FROM, ImportItem};
pub use connections::lifecycle::Purged;
pub use connections::listing::ConnectionFilter;
pub use connections::standing::{Candidates, ConnectionStanding};
pub use connections::test_results::Tested;
pub use connections::{ConnectionPatch, Connections, NewConnection};
pub use credential_rotations::CredentialRotations;
pub use credential_rotations::claim::{ClaimedRotation, MintedKey, RotationClaim, RotationWish};
pub use credential_rotations::end::{NewKey, RotatedFrom, RotationFailure};
pub use credential_rotations::old_keys::{KeyEnd, KeyToEnd};
pub use credential_rotations::plan::RotationPlan;
pub use credential_rotations::replaced::ReplacedKey;
pub use credential_rotations::search::RotationWork;
pub use credential_rotations::shared::KeySharing;
pub use credential_rotations::shown::{RotationRecord, RotationStage};
pub use credentials::found::{Fetched, OpenedCredential, Selector};
pub use credentials::stored::{NewCredential, NewSettings};
pub use credentials::{Consent, Credentials};
pub use credvault_migrations::{ROLE_NAME_RULE, is_role_name};
pub use database::file::FileError;
pub use database::open_error::OpenError;
pub use database::prepare::{MigrateError, migrate};
pub use database::roots::RootState;
pub use database::settings::{
    Buffered, Database, StoreSettings, VAULT_NAME_RULE, Witness, WitnessError, is_vault_name,
};
pub use database::turns::{Full, Turn, Turns};
pub use dependants::{Dependant, Dependants, Uses};
pub use erasures::Erasures;
pub use erasures::content::ErasureContent;
pub use erasures::record::{ErasedKey, ErasedStore, Erasure, ErasureState, SignedStatement};
pub use erasures::request::RequestedErasure;
pub use erasures::statement::ERASURE_STATEMENT;
pub use error::{AuthorizationError, ConfirmationError, ConnectSessionError, Error, Unproved};
pub use events::deliveries::attempt::Attempt;
pub use events::deliveries::search::EventsDue;
pub use events::deliveries::{ClaimedEvent, EndpointKey, EventDeliveries, EventDelivery, delivery_name};
pub use events::endpoint_secrets::{EventTarget, NewEventEndpoint};
pub use events::endpoints::{EventEndpoint, EventEndpoints, endpoint_name};
pub use health::read::{GrantEnd, HealthRecord};
pub use health::state::HealthFilter;
pub use incidents::{Incident, Signal, slot_of};
pub use keys::Keys;
pub use keys::root_rotation::RootRotation;
pub use keys::rotation::{Rotation, RotationKind, Urgency};
pub use keys::status::{KeyStatus, RootStatus, TenantKeyStatus};
pub use keys::tenant_rotation::TenantRotation;
pub use keys::uses::WornKey;
pub use keys::versions::OlderVersions;
pub use outcomes::pending::ProviderOutcome;
pub use outcomes::{OutcomeCount, OutcomeFilter};
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
pub use rejections::{Finding, GivenOut, Rejections, Reporter, Standing};
pub use revocations::{Revocations, ToRevoke};
pub use secrets::adopt::SecretReference;
pub use secrets::check::StoreCheck;
pub use secrets::content::{Adoption, SecretContent};
pub use secrets::status::{SecretPlace, SecretPlaces};
pub use secrets::{DATABASE as DATABASE_STORE, Secrets};
pub use service_configs::affected::{ConnectionUses, ServiceUse};
pub use service_configs::listing::ServiceConfigFilter;
pub use service_configs::{
    ConfiguredService, MappingChange, ServiceConfigChange, ServiceConfigs, service_config_name,
};
pub use signing::SigningPublicKey;
pub use store::Store;
pub use syncs::{SyncReport, Syncs};
pub use tenants::Tenants;
pub use tenants::apps::{AppRevision, Apps, OAuthApp, UsableApp};
pub use tenants::new_app::NewApp;
pub use tenants::rates::{RateLayer, Spent};
pub use tenants::rules::Rules;
pub use tenants::rules::row::TenantRules;
pub use tenants::use_of_limits::QuotaUse;
pub use tenants::user_deletions::{DeletedUser, GrantEnding, GrantEndings};
pub use tenants::users::{User, Users};
pub use tools::{NewTool, Tools, tool_name};
pub use usage::Usage;
pub use usage::known::UsedConnection;
pub use usage::query::{UsageRow, UsageSums};
pub use usage::report::{Reachable, Reported, UsageItem};
pub use usage::source::UsageFilter;
pub use weights::weight_in_credential;
