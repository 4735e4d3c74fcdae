//! What a repository can answer instead of what was asked.

mod key;
mod sql;
mod unaccepted;
mod unproved;

use std::time::Duration;

use credvault_crypto::SecretStoreError;
use credvault_domain::{StateError, TenantId, ToolName, Version, Violations};
use sea_orm::DbErr;

use sql::does_not_decode;
pub(crate) use sql::{of_the_data, of_the_statement, of_the_url, sql_state, still_referenced, violates};
pub use unaccepted::{AuthorizationError, ConfirmationError, ConnectSessionError};
pub use unproved::Unproved;

/// An error of the store, without secrets and statement values. Exhaustive on purpose: the code that answers callers
/// must handle each of them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such tenant.
    #[error(
        "there is no tenant of this id; ListTenants shows those that there are, and CreateTenant makes one"
    )]
    TenantNotFound(TenantId),
    /// The id is taken.
    #[error("a tenant with this id exists; use it, or another id")]
    TenantExists(TenantId),
    /// A tenant of this id was erased.
    #[error("a tenant with this id was erased, so the id cannot be used again; choose another id")]
    TenantErased(TenantId),
    /// The tenant was not erased.
    #[error("no tenant of this id was erased; ListErasures shows those that were")]
    NotErased,
    /// The erasure of a tenant is not confirmed by this token.
    #[error(transparent)]
    Confirmation(#[from] ConfirmationError),
    /// The tenant is suspended.
    #[error("the tenant is suspended; ResumeTenant ends that")]
    TenantSuspended(TenantId),
    /// There is no such connection in this scope.
    #[error("there is no such connection; ListConnections shows those that this caller can reach")]
    ConnectionNotFound,
    /// Owner, provider and account name are taken.
    #[error(
        "a connection with this owner, provider and account name exists; choose another account_name or use that one"
    )]
    ConnectionExists,
    /// The connection is switched off.
    #[error("the connection is disabled; UpdateConnection with enabled = true ends that")]
    ConnectionDisabled,
    /// There is no such version, or it was destroyed.
    #[error("the version does not exist or was destroyed; ListCredentialVersions shows what there is")]
    VersionNotFound(Version),
    /// The connection has no credential.
    #[error("the connection has no credential; PutCredential stores one")]
    NoCredential,
    /// The credential's time is over.
    #[error("the credential has expired; PutCredential stores a new one")]
    CredentialExpired,
    /// The resource changed since it was read.
    #[error(
        "the resource has changed since it was read; read it again and repeat the change with its new etag"
    )]
    EtagMismatch,
    /// The credential changed since it was read.
    #[error("the current version is {current}, not the expected one; fetch it and decide anew")]
    VersionMismatch {
        /// The version that is current.
        current: Version,
    },
    /// The state of a synchronisation changed since it was read.
    #[error(
        "the current revision is {current}, not the expected state; read the connection's sync_states and go on from there"
    )]
    SyncMismatch {
        /// The revision that is current; 0 if nothing was reported.
        current: i64,
    },
    /// The connection has as many resources as may be.
    #[error(
        "the connection has 100 synchronised resources already, the maximum; report under one of their names"
    )]
    TooManySyncResources,
    /// A consent's state is not accepted.
    #[error(transparent)]
    Authorization(#[from] AuthorizationError),
    /// A session of the connect page is not accepted.
    #[error(transparent)]
    ConnectSession(#[from] ConnectSessionError),
    /// As many connect pages of the tenant are open as may be.
    #[error(
        "5,000 connect pages of this tenant are open, the maximum; each ends by its lifetime, so try again after the retry \
         delay, and ask for a shorter lifetime"
    )]
    TooManyConnectSessions {
        /// Until some of them may have ended.
        retry: Duration,
    },
    /// As many consents are open as may be.
    #[error(
        "too many consents are open for this user or tenant; complete them, or wait as long as the retry delay says"
    )]
    TooManyAuthorizations {
        /// Until one of them has expired.
        retry: Duration,
    },
    /// As many consents have begun within a minute as may.
    #[error("too many consents were begun within a minute; try again after the retry delay")]
    TooManyStarts {
        /// Until one may begin.
        retry: Duration,
    },
    /// The tenant has as many lists and queries of the log under way as it may.
    #[error("this tenant has too many lists and audit log queries in progress; try again")]
    TooManyQueries,
    /// The records of a summary have more combinations of what they are grouped by than are counted.
    #[error(
        "the records have more than 100,000 combinations of these groups; ask for fewer groups, a shorter time or a \
         narrower filter"
    )]
    TooManyAuditGroups,
    /// As many reports of usage wait as may.
    #[error(
        "too many usage reports wait to be stored; send this one again, with the same request_id, after the retry delay"
    )]
    TooManyReports,
    /// There is no such event endpoint in this namespace.
    #[error("there is no such event endpoint; ListEventEndpoints shows those of this tenant_id")]
    EventEndpointNotFound,
    /// There is no such delivery of an event in this namespace.
    #[error("there is no such delivery; ListEventDeliveries shows those of this tenant_id")]
    EventDeliveryNotFound,
    /// The owner has no config of this service.
    #[error("this owner has no config of this service; ListServiceConfigs shows those that there are")]
    ServiceConfigNotFound,
    /// The mappings of a service's config break a rule, together with those that are stored.
    #[error("the mappings of the service are not valid: {0}")]
    Mappings(Violations),
    /// The owner has as many configs as may be.
    #[error("the owner already has 256 services, the maximum; delete one with DeleteServiceConfig")]
    TooManyServiceConfigs,
    /// No tool of this name is registered.
    #[error("no tool of this name is registered; ListTools shows those that are, and PutTool registers one")]
    ToolNotFound(ToolName),
    /// There are as many tools as may be.
    #[error("there are already 1,000 tools, the maximum; delete one with DeleteTool")]
    TooManyTools,
    /// There are as many event endpoints as may be.
    #[error("there are already 16 event endpoints, the maximum; delete one with DeleteEventEndpoint")]
    TooManyEventEndpoints,
    /// The tenant has as many connections as may be.
    #[error(
        "the tenant has reached its quota of {most} connections; delete and purge some (PurgeConnection), \
             or have an administrator raise the tenant's limit connections (SetTenantLimits)"
    )]
    TenantFull {
        /// The largest number that is allowed.
        most: u32,
    },
    /// The user has as many connections as may be.
    #[error(
        "the user has reached the quota of {most} connections; delete and purge some (PurgeConnection), \
             or have an administrator raise the tenant's limit user_connections (SetTenantLimits)"
    )]
    UserFull {
        /// The largest number that is allowed.
        most: u32,
    },
    /// The consent or the credential is another account's.
    #[error(
        "this is the consent or the credential of an account other than this connection's; create another connection for it"
    )]
    OtherAccount,
    /// New settings would have the stored credential sent to another host.
    #[error(
        "the new settings lead to another host than the stored credential is for; PutCredential takes them together \
         with the credential for that host"
    )]
    DestinationChanged,
    /// The expiry of something new has passed already.
    #[error("the credential's expire_time must be in the future")]
    ExpiredAlready,
    /// The resource is in another state than the change needs.
    #[error("{0}")]
    State(&'static str),
    /// The connection's state machine refuses.
    #[error(transparent)]
    StateMachine(#[from] StateError),
    /// The page token is not one of this tenant and query.
    #[error("the page token does not belong to this caller and query; list from the beginning")]
    PageToken,
    /// The request id was used for another request.
    #[error("this request_id was used for another request; use a new one for a new request")]
    RequestIdReused,
    /// A stored value is not what was stored.
    #[error(
        "a stored value does not decrypt: it was altered outside of the vault. To replace it, call PutCredential with \
         config for a connection; delete and put an app (PutOAuthApp) or an event endpoint (PutEventEndpoint)"
    )]
    Integrity,
    /// A value is larger than what can be sealed.
    #[error("a value is too large to be stored")]
    TooLarge,
    /// A rotation of this key is in progress.
    #[error(
        "a rotation of this key is in progress; GetKeyStatus shows since when and how far it is, and the next one can \
         begin when it has ended"
    )]
    RotationRunning,
    /// A rotation of this credential is in progress.
    #[error(
        "a rotation of this credential is in progress, or an earlier key has still to end; GetConnection shows how far it is, \
         and the next one can begin when it has ended"
    )]
    CredentialRotationRunning,
    /// The key of that version was revoked at the provider by a rotation.
    #[error(
        "the provider does not accept the key of version {0} any more: a rotation has replaced it. Roll back to a later \
         version, or store another key with PutCredential"
    )]
    KeyRevoked(Version),
    /// The process does not have the root key that is asked for.
    #[error(
        "root_key_id is of no root key that this vault is configured with; GetKeyStatus shows those that it has. \
         Configure the new one as other_root_key on every replica"
    )]
    RootKeyUnknown,
    /// There is no root key to rotate to.
    #[error(
        "there is no other root key to rotate to: configure one as other_root_key on every replica, and rotate then"
    )]
    NoOtherRootKey,
    /// The only other root key is the one that the vault has left.
    #[error(
        "the other root key is the one that the vault has moved from; to go back to it, name it in root_key_id. GetKeyStatus \
         shows the ids"
    )]
    RootKeyWasLeft,
    /// Other replicas do not have the root key that is asked for.
    #[error(
        "{without} other processes have served within the last half minute without that root key; configure it there as \
         other_root_key, and rotate half a minute after the last of them has restarted"
    )]
    RootKeyNotEverywhere {
        /// How many replicas lack it.
        without: usize,
    },
    /// An external store of secrets did not do what was asked.
    #[error("the secret store {store} does not serve the vault: {problem}")]
    SecretStore {
        /// The name of the store in the settings.
        store: String,
        /// What is the matter.
        #[source]
        problem: SecretStoreError,
    },
    /// This process has no external store of that name.
    #[error(
        "this vault has no secret store of that name; GetSecretPlaces shows those that it has, and secrets.stores in the \
         settings configures them"
    )]
    SecretStoreUnknown,
    /// The tenant may not refer to that secret.
    #[error(
        "the settings of the secret store {store} do not let this tenant refer to a secret of that name; an operator allows \
         names with secrets.stores.{store}.adopt"
    )]
    ReferenceDenied {
        /// The name of the store in the settings.
        store: String,
    },
    /// A secret that is referred to is of no use.
    #[error(
        "the secret that the reference names in the secret store {store} cannot be used: {problem}; mend it there, or \
         PutCredential another one"
    )]
    ReferenceBroken {
        /// The name of the store in the settings.
        store: String,
        /// What is the matter with the secret.
        problem: &'static str,
    },
    /// The key manager leaves this to people; the text says what to do.
    #[error("{0}")]
    ByHand(&'static str),
    /// A key could not be made or unwrapped.
    #[error("{}", key::words(.0))]
    Key(#[source] credvault_crypto::Error),
    /// A record, or a size of the audit log, is not proved, or a part of it is not read.
    #[error(transparent)]
    Unproved(#[from] Unproved),
    /// The audit record could not be made durable in time.
    #[error("the audit record could not be written, so the call was not served; try again")]
    AuditUnavailable,
    /// The database did not do what was asked. Whether a change took effect is unknown; repeat it with its request_id.
    #[error("the database is unavailable; try again, and repeat a change with the same request_id")]
    Unavailable(#[source] DbErr),
    /// Another transaction was in the way; the change is tried again.
    #[error("the change conflicted with concurrent changes; try again")]
    Conflict,
}

impl Error {
    /// Whether the same may succeed a moment later.
    pub fn is_transient(&self) -> bool {
        if let Self::Unavailable(error) = self {
            return !of_the_data(error);
        }
        matches!(
            self,
            Self::Conflict
                | Self::Key(_)
                | Self::AuditUnavailable
                | Self::SecretStore { problem: SecretStoreError::Unavailable(_), .. }
        )
    }

    /// Whether what the vault has kept was altered or removed outside of it, in the database or in a secret store. What a store
    /// has and does not give, because it is disabled, is not damaged.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Integrity | Self::SecretStore { problem: SecretStoreError::NotFound, .. })
    }
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        match sql_state(&error).as_deref() {
            // Serialization failure and deadlock of PostgreSQL; SQLITE_BUSY and SQLITE_BUSY_SNAPSHOT.
            Some("40001" | "40P01" | "5" | "517") => Self::Conflict,
            // Another attempt would read the same.
            _ if does_not_decode(&error) => Self::Integrity,
            _ => Self::Unavailable(error),
        }
    }
}

impl From<credvault_crypto::Error> for Error {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "another crate's enum, which may grow: others concern the key"
    )]
    fn from(error: credvault_crypto::Error) -> Self {
        match error {
            credvault_crypto::Error::Integrity => Self::Integrity,
            credvault_crypto::Error::TooLarge => Self::TooLarge,
            other => Self::Key(other),
        }
    }
}
