//! Every error that a caller can get, in one table: code, reason, message, details.

use std::collections::HashMap;
use std::time::Duration;

use credvault_broker::{ConsentError, RefreshError, TestError};
use credvault_catalog::Missing;
use credvault_domain::{AuditOutcome, ProviderId, Reason, UserId, Violations};
use credvault_identity as identity;
use credvault_store as store;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::proto::v1;

/// The domain of every `ErrorInfo`.
const DOMAIN: &str = "credvault";

/// Why a call is not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The caller is not who it must be, or may not do this.
    #[error(transparent)]
    Identity(#[from] identity::Error),
    /// The store has another answer.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The request is wrong.
    #[error("the request is not valid: {0}")]
    Invalid(#[from] Violations),
    /// The provider's file does not accept the stored settings any more.
    #[error(
        "the connection's settings are not acceptable any more: {0}; PutCredential with config stores others"
    )]
    Settings(Violations),
    /// The message is not one of this RPC, or too large; what prost or tonic says of it.
    #[error("the request cannot be read: {0}")]
    Unreadable(String),
    /// The catalog has no such provider.
    #[error("there is no such provider; ListProviders shows all of them")]
    ProviderUnknown,
    /// The stored connection's provider or auth mode is not in the catalog any more.
    #[error(
        "the provider {0} or its auth mode is not in this vault's catalog any more; restore its catalog file"
    )]
    CatalogEntryGone(ProviderId),
    /// Nobody in the order user, tenant, platform has a credential.
    #[error(
        "neither the user nor the tenant nor the platform has a credential for this provider; CreateConnection and \
             PutCredential store one"
    )]
    NotConfigured {
        /// For which provider.
        provider: ProviderId,
        /// For which user, if one was meant.
        user: Option<UserId>,
    },
    /// Nobody knows whether a credential works.
    #[error(transparent)]
    Verify(TestError),
    /// What requests to the provider must carry cannot be filled.
    #[error(
        "requests to this provider must carry {0}, which the connection does not have; PutCredential or UpdateConnection stores it, or BeginAuthorization gets it"
    )]
    Incomplete(Missing),
    /// Requests to the provider must carry a secret of the app, which policy keeps from the caller.
    #[error("requests to this provider must carry a secret of the app: {0}")]
    AppSecret(identity::Denial),
    /// There is no fresh token.
    #[error(transparent)]
    Refresh(#[from] RefreshError),
    /// A consent does not begin or end well.
    #[error(transparent)]
    Authorize(ConsentError),
    /// A consent could not be completed by the vault's own fault, and cannot be any more: its state is used up.
    #[error("the vault could not complete the consent, whose state is used up now; begin again")]
    Spent(#[source] Box<Refusal>),
    /// Too many calls of this service for this tenant.
    #[error("this service calls too often for this tenant; wait as long as the retry delay says")]
    RateLimited(Duration),
    /// Too many refreshes that callers of this tenant insist on.
    #[error(
        "refreshes at once are asked for too often for this tenant; wait as long as the retry delay says. A fetch renews \
         by itself what needs it"
    )]
    TooManyRefreshes(Duration),
    /// Too many calls at once.
    #[error("the vault has as many calls in progress as it takes; wait as long as the retry delay says")]
    Overloaded,
    /// Answers that are in the making or unread fill the room for them.
    #[error(
        "answers that are in the making, or that clients have not read, fill the vault's room for answers; read \
             those that were sent, and wait as long as the retry delay says"
    )]
    NoRoom,
    /// The answer to a batch is as large as clients take; this fetch was not begun.
    #[error("the answer to the batch is full, so this credential was not read; fetch it in another call")]
    AnswerFull,
    /// The call's time is over.
    #[error(
        "the call took longer than its deadline; whether a change took effect is unknown, so repeat it with the \
             same request_id"
    )]
    Deadline,
    /// The vault is at fault.
    #[error("the vault failed; the operators find the cause in its log by the trace id")]
    Internal,
}

impl From<TestError> for Refusal {
    fn from(error: TestError) -> Self {
        match error {
            TestError::Store(error) => Self::Store(error),
            TestError::Invalid(violations) => Self::Invalid(violations),
            error => Self::Verify(error),
        }
    }
}

impl From<store::AuthorizationError> for Refusal {
    fn from(error: store::AuthorizationError) -> Self {
        Self::Store(error.into())
    }
}

impl From<ConsentError> for Refusal {
    fn from(error: ConsentError) -> Self {
        match error {
            ConsentError::Store(error) => Self::Store(error),
            ConsentError::Invalid(violations) => Self::Invalid(violations),
            error => Self::Authorize(error),
        }
    }
}

impl Refusal {
    /// The gRPC code and the reason.
    pub(crate) fn kind(&self) -> (Code, Reason) {
        use Reason as R;
        match self {
            Self::Identity(error) => match error {
                identity::Error::Certificate(_) => (Code::Unauthenticated, R::ClientCertificateInvalid),
                identity::Error::Token(_) => (Code::Unauthenticated, R::TokenInvalid),
                identity::Error::TenantMissing => (Code::Unauthenticated, R::TenantMissing),
                identity::Error::Header { .. } => (Code::InvalidArgument, R::FieldsInvalid),
                identity::Error::Mismatch(_) => (Code::PermissionDenied, R::TenantMismatch),
                identity::Error::Denied(_) => (Code::PermissionDenied, R::PolicyDenied),
                identity::Error::KeysUnavailable { .. } => (Code::Unavailable, R::KeyUnavailable),
            },
            Self::Store(error) => match error {
                store::Error::TenantNotFound(_) => (Code::NotFound, R::TenantNotFound),
                store::Error::TenantExists(_) => (Code::AlreadyExists, R::TenantExists),
                store::Error::TenantSuspended(_) => (Code::FailedPrecondition, R::TenantSuspended),
                store::Error::ConnectionNotFound => (Code::NotFound, R::ConnectionNotFound),
                store::Error::ConnectionExists => (Code::AlreadyExists, R::ConnectionExists),
                store::Error::ConnectionDisabled => (Code::FailedPrecondition, R::ConnectionDisabled),
                store::Error::VersionNotFound(_) => (Code::NotFound, R::VersionNotFound),
                store::Error::NoCredential => (Code::NotFound, R::CredentialNotConfigured),
                store::Error::CredentialExpired => (Code::FailedPrecondition, R::CredentialExpired),
                store::Error::EtagMismatch => (Code::Aborted, R::EtagMismatch),
                store::Error::VersionMismatch { .. } => (Code::Aborted, R::VersionMismatch),
                store::Error::State(_) | store::Error::StateMachine(_) => {
                    (Code::FailedPrecondition, R::StateInvalid)
                }
                store::Error::Authorization(_) | store::Error::OtherAccount => {
                    (Code::FailedPrecondition, R::StateInvalid)
                }
                store::Error::TooManyAuthorizations { .. } => (Code::ResourceExhausted, R::QuotaExceeded),
                store::Error::TooManyQueries => (Code::ResourceExhausted, R::RateLimited),
                store::Error::TooManyStarts { .. } => (Code::ResourceExhausted, R::RateLimited),
                store::Error::EventEndpointNotFound => (Code::NotFound, R::EventEndpointNotFound),
                store::Error::EventDeliveryNotFound => (Code::NotFound, R::EventDeliveryNotFound),
                store::Error::TooManyEventEndpoints => (Code::ResourceExhausted, R::QuotaExceeded),
                store::Error::TenantFull { .. } | store::Error::UserFull { .. } => {
                    (Code::ResourceExhausted, R::QuotaExceeded)
                }
                store::Error::PageToken => (Code::InvalidArgument, R::PageTokenInvalid),
                store::Error::RequestIdReused
                | store::Error::ExpiredAlready
                | store::Error::TooLarge
                | store::Error::DestinationChanged => (Code::InvalidArgument, R::FieldsInvalid),
                store::Error::Integrity => (Code::DataLoss, R::IntegrityFailure),
                store::Error::Key(_) => (Code::Unavailable, R::KeyUnavailable),
                store::Error::AuditUnavailable => (Code::Unavailable, R::AuditUnavailable),
                store::Error::Unavailable(_) | store::Error::Conflict => {
                    (Code::Unavailable, R::StoreUnavailable)
                }
            },
            Self::Authorize(error) => match error {
                ConsentError::Denied
                | ConsentError::NotGranted
                | ConsentError::CodeRefused
                | ConsentError::Refused(_)
                | ConsentError::NotDelivered => (Code::FailedPrecondition, R::ReauthorizationRequired),
                ConsentError::Throttled { .. } => (Code::ResourceExhausted, R::ProviderRateLimited),
                ConsentError::AppRefused | ConsentError::Unavailable => {
                    (Code::Unavailable, R::ProviderUnavailable)
                }
                _ => (Code::FailedPrecondition, R::StateInvalid),
            },
            Self::Verify(error) => match error {
                TestError::Throttled { .. } => (Code::ResourceExhausted, R::ProviderRateLimited),
                TestError::Unavailable => (Code::Unavailable, R::ProviderUnavailable),
                _ => (Code::FailedPrecondition, R::StateInvalid),
            },
            Self::AppSecret(_) => (Code::PermissionDenied, R::PolicyDenied),
            Self::Incomplete(missing) if missing.is_secret() => {
                (Code::FailedPrecondition, R::ReauthorizationRequired)
            }
            Self::Incomplete(_) => (Code::FailedPrecondition, R::StateInvalid),
            Self::Refresh(error) => match error {
                RefreshError::Reauthorize => (Code::FailedPrecondition, R::ReauthorizationRequired),
                RefreshError::Throttled { .. } => (Code::ResourceExhausted, R::ProviderRateLimited),
                RefreshError::Crowded { .. } => (Code::ResourceExhausted, R::RateLimited),
                RefreshError::Unavailable { .. }
                | RefreshError::Refused { .. }
                | RefreshError::Clock { .. }
                | RefreshError::App { .. } => (Code::Unavailable, R::ProviderUnavailable),
                RefreshError::Nothing | RefreshError::Incomplete => {
                    (Code::FailedPrecondition, R::StateInvalid)
                }
                RefreshError::Uncatalogued => (Code::NotFound, R::ProviderUnknown),
                RefreshError::Integrity => (Code::DataLoss, R::IntegrityFailure),
                RefreshError::Store => (Code::Unavailable, R::StoreUnavailable),
            },
            Self::Settings(_) => (Code::FailedPrecondition, R::StateInvalid),
            Self::Invalid(_) | Self::Unreadable(_) => (Code::InvalidArgument, R::FieldsInvalid),
            Self::ProviderUnknown | Self::CatalogEntryGone(_) => (Code::NotFound, R::ProviderUnknown),
            Self::NotConfigured { .. } => (Code::NotFound, R::CredentialNotConfigured),
            Self::RateLimited(_) | Self::TooManyRefreshes(_) | Self::Overloaded | Self::NoRoom => {
                (Code::ResourceExhausted, R::RateLimited)
            }
            Self::AnswerFull => (Code::ResourceExhausted, R::AnswerFull),
            Self::Spent(refusal) => refusal.kind(),
            Self::Deadline => (Code::DeadlineExceeded, R::DeadlineExceeded),
            Self::Internal => (Code::Internal, R::Internal),
        }
    }

    /// The reason as records and pages have it: finer than what callers read where a consent ends.
    pub(crate) fn recorded(&self) -> Reason {
        use store::AuthorizationError as A;
        match self {
            Self::Store(store::Error::Authorization(error)) => match error {
                A::Missing | A::Ambiguous => Reason::StateMissing,
                A::Unknown => Reason::StateInvalid,
                A::Replayed => Reason::StateReplayed,
                A::Expired => Reason::StateExpired,
                A::Foreign | A::OtherWay => Reason::StateForeign,
                A::OtherProvider => Reason::ProviderMismatch,
            },
            Self::Authorize(ConsentError::Denied) => Reason::ConsentDenied,
            Self::Authorize(
                ConsentError::NotGranted | ConsentError::CodeRefused | ConsentError::NotDelivered,
            ) => Reason::ConsentFailed,
            other => other.kind().1,
        }
    }

    /// The same after a consent's state was taken: what could be tried again cannot be any more.
    pub(crate) fn spent(self) -> Self {
        match self {
            Self::Authorize(_) => self,
            other if other.retry_delay().is_some() => Self::Spent(Box::new(other)),
            other => other,
        }
    }

    /// How the audit log calls it.
    pub(crate) fn outcome(&self) -> AuditOutcome {
        match self.kind().0 {
            Code::Unauthenticated | Code::PermissionDenied => AuditOutcome::Denied,
            _ => AuditOutcome::Failed,
        }
    }

    /// The policies that decided, if policy did.
    pub(crate) fn policies(&self) -> Vec<String> {
        match self {
            Self::Identity(identity::Error::Denied(denial)) | Self::AppSecret(denial) => {
                denial.policies.clone()
            }
            _ => Vec::new(),
        }
    }

    fn metadata(&self) -> HashMap<String, String> {
        let pairs: &[(&str, Option<String>)] = match self {
            Self::NotConfigured { provider, user } => &[
                ("provider", Some(provider.as_str().to_owned())),
                ("user", user.as_ref().map(|user| user.as_str().to_owned())),
            ],
            Self::CatalogEntryGone(provider) => &[("provider", Some(provider.as_str().to_owned()))],
            Self::Store(store::Error::VersionMismatch { current }) => {
                &[("current_version", Some(current.to_string()))]
            }
            Self::Store(store::Error::TenantNotFound(tenant) | store::Error::TenantSuspended(tenant)) => {
                &[("tenant", Some(tenant.as_str().to_owned()))]
            }
            Self::Identity(identity::Error::Denied(denial)) | Self::AppSecret(denial) => &[
                ("action", Some(denial.action.as_str().to_owned())),
                ("service", Some(denial.service.as_str().to_owned())),
            ],
            _ => &[],
        };
        pairs.iter().filter_map(|(key, value)| Some(((*key).to_owned(), value.clone()?))).collect()
    }

    fn violations(&self) -> Violations {
        match self {
            Self::Invalid(violations) => violations.clone(),
            Self::Identity(identity::Error::Header { header, rule }) => Violations::of(*header, rule.clone()),
            Self::Store(error @ store::Error::RequestIdReused) => {
                Violations::of("request_id", error.to_string())
            }
            Self::Store(store::Error::ExpiredAlready) => {
                Violations::of("credential.expire_time", "must lie ahead")
            }
            Self::Store(error @ store::Error::DestinationChanged) => {
                Violations::of("connection.config", error.to_string())
            }
            Self::Store(error @ store::Error::PageToken) => Violations::of("page_token", error.to_string()),
            _ => Violations::default(),
        }
    }

    /// After how long another attempt makes sense.
    fn retry_delay(&self) -> Option<Duration> {
        match self {
            Self::RateLimited(delay)
            | Self::TooManyRefreshes(delay)
            | Self::Verify(TestError::Throttled { retry: delay }) => Some(*delay),
            Self::Identity(identity::Error::KeysUnavailable { retry, .. }) => Some(*retry),
            Self::Refresh(
                RefreshError::Unavailable { retry }
                | RefreshError::Refused { retry }
                | RefreshError::Clock { retry }
                | RefreshError::Throttled { retry }
                | RefreshError::Crowded { retry }
                | RefreshError::App { retry, .. },
            ) => Some(*retry),
            Self::Store(
                store::Error::TooManyAuthorizations { retry } | store::Error::TooManyStarts { retry },
            ) => Some(*retry),
            // No time helps: room has to be made, or a consent begun anew, for its state is used up.
            Self::Store(
                store::Error::TooManyEventEndpoints
                | store::Error::TenantFull { .. }
                | store::Error::UserFull { .. },
            )
            | Self::Authorize(_)
            | Self::Spent(_) => None,
            _ if matches!(self.kind().0, Code::Unavailable | Code::ResourceExhausted) => {
                Some(Duration::from_secs(1))
            }
            _ => None,
        }
    }

    /// What there is too much of.
    fn quota(&self) -> &'static str {
        match self {
            Self::Store(store::Error::TenantFull { .. }) => "connections of the tenant",
            Self::Store(store::Error::UserFull { .. }) => "connections of the user",
            Self::NoRoom | Self::AnswerFull => "bytes of answers",
            _ => "calls",
        }
    }

    /// The status, with the trace id to find the call in log and audit by.
    pub(crate) fn status(&self, trace: &str) -> Status {
        let (code, reason) = self.kind();
        let mut metadata = self.metadata();
        metadata.insert("trace_id".to_owned(), trace.to_owned());
        let mut details = ErrorDetails::new();
        details.set_error_info(reason.as_str(), DOMAIN, metadata);
        for violation in self.violations().iter() {
            details.add_bad_request_violation(&violation.field, &violation.rule);
        }
        if code == Code::FailedPrecondition {
            details.add_precondition_failure_violation(reason.as_str(), "", self.to_string());
        }
        if code == Code::ResourceExhausted {
            details.add_quota_failure_violation(self.quota(), self.to_string());
        }
        if let Some(delay) = self.retry_delay() {
            details.set_retry_info(Some(delay));
        }
        Status::with_error_details(code, self.to_string(), details)
    }

    /// The same within a batch.
    pub(crate) fn fetch_error(&self) -> v1::FetchError {
        let (code, reason) = self.kind();
        v1::FetchError {
            code: code.into(),
            reason: reason.as_str().to_owned(),
            message: self.to_string(),
            metadata: self.metadata().into_iter().collect(),
            retry_delay: self.retry_delay().and_then(|delay| delay.try_into().ok()),
        }
    }
}

/// The reason that a status carries, as a client reads it.
pub(crate) fn reason_of(status: &Status) -> Option<String> {
    Some(status.get_error_details().error_info()?.reason.clone())
}

/// The name of a code, as the gRPC documentation spells it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
