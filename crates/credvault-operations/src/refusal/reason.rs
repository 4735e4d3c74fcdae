//! The table from refusals to reasons, and what a reason means for record and log. Exhaustive: a new error of the store,
//! the broker or the policies does not compile until it has its reason here.

use credvault_broker::{ConsentError, RefreshError, TestError};
use credvault_crypto::{Error as KeyError, SecretStoreError};
use credvault_domain::AuditOutcome;
use credvault_identity as identity;
use credvault_store::{
    AuthorizationError, ConfirmationError, ConnectSessionError, Error as StoreError, Unproved,
};

use super::{Reason, Reason as R, Refusal};

/// Who has to do something about a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// The caller is not authenticated or not permitted.
    Denied,
    /// The caller must change the request, or the state of what it names.
    Refused,
    /// The caller must wait or make room.
    Exhausted,
    /// A part of the vault, or a provider, does not answer at the moment.
    Unavailable,
    /// The vault, its settings or its data are broken.
    Broken,
}

impl Class {
    /// The class of a reason.
    pub fn of(reason: Reason) -> Self {
        match reason {
            R::ClientCertificateInvalid
            | R::TokenInvalid
            | R::TenantMissing
            | R::PolicyDenied
            | R::TenantMismatch
            | R::SessionLimited
            | R::ReferenceDenied => Self::Denied,
            R::TenantNotFound
            | R::ErasureNotFound
            | R::ConnectionNotFound
            | R::VersionNotFound
            | R::EventEndpointNotFound
            | R::EventDeliveryNotFound
            | R::ServiceConfigNotFound
            | R::ToolNotFound
            | R::AuditRecordNotFound
            | R::ProviderUnknown
            | R::CredentialNotConfigured
            | R::FieldsInvalid
            | R::RequirementUnknown
            | R::PageTokenInvalid
            | R::ConnectionDisabled
            | R::ReauthorizationRequired
            | R::TenantSuspended
            | R::CredentialExpired
            | R::StateInvalid
            | R::ConfirmationInvalid
            | R::ConfirmationExpired
            | R::StateMissing
            | R::StateExpired
            | R::StateReplayed
            | R::StateForeign
            | R::ProviderMismatch
            | R::ConsentDenied
            | R::ConsentFailed
            | R::RotationRunning
            | R::RotationByHand
            | R::RotationRefused
            | R::KeyRevoked
            | R::RootKeyUnknown
            | R::SecretStoreUnknown
            | R::AuditPositionInvalid
            | R::ReferenceBroken
            | R::ConnectionExists
            | R::TenantExists
            | R::TenantErased
            | R::EtagMismatch
            | R::VersionMismatch
            | R::DeadlineExceeded => Self::Refused,
            R::QuotaExceeded | R::ProviderRateLimited | R::RateLimited | R::AnswerFull => Self::Exhausted,
            R::ProviderUnavailable
            | R::StoreUnavailable
            | R::AuditUnavailable
            | R::AuditRecordWaiting
            | R::KeyUnavailable => Self::Unavailable,
            R::IntegrityFailure | R::SecretStoreRefused | R::KeyManagerRefused | R::Internal => Self::Broken,
        }
    }
}

impl Refusal {
    /// The reason that callers read.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Identity(error) => of_identity(error),
            Self::Store(error) => of_store(error),
            Self::Consent(error) => of_consent(error),
            Self::Test(error) => of_test(error),
            Self::Refresh(error) => of_refresh(*error),
            // Failures of the database were taken out by `From`.
            Self::Rotation(error) => error.reason().unwrap_or(Reason::StoreUnavailable),
            Self::AppSecret(_) | Self::Source(_) => Reason::PolicyDenied,
            Self::Session(_) => Reason::SessionLimited,
            Self::Incomplete(missing) if missing.is_secret() => Reason::ReauthorizationRequired,
            Self::Incomplete(_) | Self::Settings(_) => Reason::StateInvalid,
            Self::Invalid(_) | Self::Unreadable(_) => Reason::FieldsInvalid,
            Self::RequirementUnknown { .. } => Reason::RequirementUnknown,
            Self::ProviderUnknown | Self::CatalogEntryGone(_) => Reason::ProviderUnknown,
            Self::NotConfigured { .. } => Reason::CredentialNotConfigured,
            Self::RateLimited(_)
            | Self::TooManyRejections(_)
            | Self::Overloaded
            | Self::TooManyStreams
            | Self::NoRoom
            | Self::NoRoomForTenant => Reason::RateLimited,
            Self::AnswerFull => Reason::AnswerFull,
            Self::Spent(refusal) => refusal.reason(),
            Self::Deadline => Reason::DeadlineExceeded,
            Self::Internal => Reason::Internal,
        }
    }

    /// The reason in audit records and pages: finer than what callers read where a consent ends.
    pub fn recorded_reason(&self) -> Reason {
        use ConsentError as C;
        if let Self::Store(StoreError::Authorization(error)) = self {
            of_state(*error)
        } else if let Self::Store(StoreError::ConnectSession(error)) = self {
            of_session(*error)
        } else if matches!(self, Self::Consent(C::Denied)) {
            Reason::ConsentDenied
        } else if matches!(self, Self::Consent(C::NotGranted | C::CodeRefused | C::NotDelivered)) {
            Reason::ConsentFailed
        } else {
            self.reason()
        }
    }

    /// Who has to do something about it.
    pub fn class(&self) -> Class {
        Class::of(self.reason())
    }

    /// How the audit log calls it.
    pub fn outcome(&self) -> AuditOutcome {
        if self.class() == Class::Denied { AuditOutcome::Denied } else { AuditOutcome::Failed }
    }
}

fn of_identity(error: &identity::Error) -> Reason {
    match error {
        identity::Error::Certificate(_) => Reason::ClientCertificateInvalid,
        identity::Error::Token(_) => Reason::TokenInvalid,
        identity::Error::TenantMissing => Reason::TenantMissing,
        identity::Error::Header { .. } => Reason::FieldsInvalid,
        identity::Error::Mismatch(_) => Reason::TenantMismatch,
        identity::Error::Denied(_) => Reason::PolicyDenied,
        identity::Error::KeysUnavailable { .. } => Reason::KeyUnavailable,
    }
}

fn of_store(error: &StoreError) -> Reason {
    use StoreError as E;
    match error {
        E::TenantNotFound(_) => Reason::TenantNotFound,
        E::TenantExists(_) => Reason::TenantExists,
        E::TenantErased(_) => Reason::TenantErased,
        E::NotErased => Reason::ErasureNotFound,
        E::Confirmation(error) => of_confirmation(*error),
        E::TenantSuspended(_) => Reason::TenantSuspended,
        E::ConnectionNotFound => Reason::ConnectionNotFound,
        E::ConnectionExists => Reason::ConnectionExists,
        E::ConnectionDisabled => Reason::ConnectionDisabled,
        E::VersionNotFound(_) => Reason::VersionNotFound,
        E::NoCredential => Reason::CredentialNotConfigured,
        E::CredentialExpired => Reason::CredentialExpired,
        E::EtagMismatch => Reason::EtagMismatch,
        E::VersionMismatch { .. } | E::SyncMismatch { .. } => Reason::VersionMismatch,
        E::RotationRunning | E::CredentialRotationRunning => Reason::RotationRunning,
        E::KeyRevoked(_) => Reason::KeyRevoked,
        E::RootKeyUnknown | E::NoOtherRootKey | E::RootKeyNotEverywhere { .. } => Reason::RootKeyUnknown,
        E::State(_)
        | E::ByHand(_)
        | E::RootKeyWasLeft
        | E::StateMachine(_)
        | E::Authorization(_)
        | E::ConnectSession(_)
        | E::OtherAccount => Reason::StateInvalid,
        E::EventEndpointNotFound => Reason::EventEndpointNotFound,
        E::EventDeliveryNotFound => Reason::EventDeliveryNotFound,
        E::ServiceConfigNotFound => Reason::ServiceConfigNotFound,
        E::ToolNotFound(_) => Reason::ToolNotFound,
        E::TooManyQueries | E::TooManyReports | E::TooManyStarts { .. } => Reason::RateLimited,
        E::TooManyAuthorizations { .. }
        | E::TooManyConnectSessions { .. }
        | E::TooManyEventEndpoints
        | E::TooManyServiceConfigs
        | E::TooManyTools
        | E::TooManySyncResources
        | E::TenantFull { .. }
        | E::UserFull { .. } => Reason::QuotaExceeded,
        E::PageToken => Reason::PageTokenInvalid,
        E::RequestIdReused
        | E::ExpiredAlready
        | E::TooLarge
        | E::Mappings(_)
        | E::TooManyAuditGroups
        | E::DestinationChanged => Reason::FieldsInvalid,
        E::Integrity => Reason::IntegrityFailure,
        E::Key(error) => of_key(error),
        E::SecretStoreUnknown => Reason::SecretStoreUnknown,
        E::ReferenceDenied { .. } => Reason::ReferenceDenied,
        E::ReferenceBroken { .. } => Reason::ReferenceBroken,
        E::AuditUnavailable => Reason::AuditUnavailable,
        E::Unproved(error) => of_unproved(error),
        E::SecretStore { problem, .. } => of_secret_store(problem),
        E::Unavailable(_) | E::Conflict => Reason::StoreUnavailable,
    }
}

fn of_key(error: &KeyError) -> Reason {
    if error.is_refusal() { Reason::KeyManagerRefused } else { Reason::KeyUnavailable }
}

fn of_unproved(error: &Unproved) -> Reason {
    match error {
        Unproved::NotFound => Reason::AuditRecordNotFound,
        Unproved::Waiting => Reason::AuditRecordWaiting,
        Unproved::Sizes(_) => Reason::FieldsInvalid,
        Unproved::Position { .. } => Reason::AuditPositionInvalid,
    }
}

/// Only a store that does not answer is worth another try.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "another crate's enum, which may grow: others concern the store"
)]
fn of_secret_store(problem: &SecretStoreError) -> Reason {
    match problem {
        SecretStoreError::Full(_) => Reason::QuotaExceeded,
        // What the vault has kept there is lost: the store says so of no put.
        SecretStoreError::NotFound => Reason::IntegrityFailure,
        SecretStoreError::Settings(_) | SecretStoreError::Denied(_) | SecretStoreError::Unusable(_) => {
            Reason::SecretStoreRefused
        }
        _ => Reason::StoreUnavailable,
    }
}

fn of_confirmation(error: ConfirmationError) -> Reason {
    match error {
        ConfirmationError::Expired => Reason::ConfirmationExpired,
        ConfirmationError::Unknown
        | ConfirmationError::Foreign
        | ConfirmationError::Changed
        | ConfirmationError::Used => Reason::ConfirmationInvalid,
    }
}

fn of_session(error: ConnectSessionError) -> Reason {
    match error {
        ConnectSessionError::Unknown => Reason::StateInvalid,
        ConnectSessionError::Expired => Reason::StateExpired,
        ConnectSessionError::Foreign | ConnectSessionError::Forged => Reason::StateForeign,
    }
}

fn of_consent(error: &ConsentError) -> Reason {
    match error {
        ConsentError::Denied
        | ConsentError::NotGranted
        | ConsentError::CodeRefused
        | ConsentError::Refused(_)
        | ConsentError::NotDelivered => Reason::ReauthorizationRequired,
        ConsentError::Throttled { .. } => Reason::ProviderRateLimited,
        ConsentError::AppRefused | ConsentError::Unavailable => Reason::ProviderUnavailable,
        ConsentError::ModeWithoutConsent
        | ConsentError::AppMissing
        | ConsentError::AppChanged
        | ConsentError::SettingsChanged
        | ConsentError::NoPublicUrl => Reason::StateInvalid,
        // `From` has taken these two apart.
        ConsentError::Invalid(_) => Reason::FieldsInvalid,
        ConsentError::Store(error) => of_store(error),
    }
}

fn of_test(error: &TestError) -> Reason {
    match error {
        TestError::Throttled { .. } => Reason::ProviderRateLimited,
        TestError::Unavailable => Reason::ProviderUnavailable,
        TestError::Untestable => Reason::StateInvalid,
        // `From` has taken these two apart.
        TestError::Invalid(_) => Reason::FieldsInvalid,
        TestError::Store(error) => of_store(error),
    }
}

fn of_refresh(error: RefreshError) -> Reason {
    match error {
        RefreshError::Reauthorize => Reason::ReauthorizationRequired,
        RefreshError::Throttled { .. } => Reason::ProviderRateLimited,
        RefreshError::Crowded { .. } => Reason::RateLimited,
        RefreshError::Unavailable { .. }
        | RefreshError::Answered { .. }
        | RefreshError::Incident { .. }
        | RefreshError::Refused { .. }
        | RefreshError::Clock { .. }
        | RefreshError::App { .. } => Reason::ProviderUnavailable,
        RefreshError::Nothing | RefreshError::Incomplete => Reason::StateInvalid,
        RefreshError::Uncatalogued => Reason::ProviderUnknown,
        RefreshError::Integrity => Reason::IntegrityFailure,
        RefreshError::Store => Reason::StoreUnavailable,
    }
}

fn of_state(error: AuthorizationError) -> Reason {
    match error {
        AuthorizationError::Missing | AuthorizationError::Ambiguous => Reason::StateMissing,
        AuthorizationError::Unknown => Reason::StateInvalid,
        AuthorizationError::Replayed => Reason::StateReplayed,
        AuthorizationError::Expired => Reason::StateExpired,
        AuthorizationError::Foreign | AuthorizationError::OtherWay => Reason::StateForeign,
        AuthorizationError::OtherProvider => Reason::ProviderMismatch,
    }
}
