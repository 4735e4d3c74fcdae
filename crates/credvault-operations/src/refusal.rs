//! Why an operation does not do what was asked. A [`Refusal`] has a [`Reason`], which every consumer translates into its
//! own words: gRPC into a status, the port for browsers into a page. It has no status of its own.

mod details;
mod reason;

use std::time::Duration;

use credvault_broker::{ConsentError, RefreshError, RotationError, TestError};
use credvault_catalog::Missing;
use credvault_domain::{AccountName, ProviderId, Reason, UserId, Violations};
use credvault_identity as identity;
use credvault_store as store;

pub use reason::Class;

use crate::{Exceeded, SessionLimit};

/// The reason why a call is not served. Exhaustive on purpose: the code that answers callers must handle each.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The caller is not authenticated, or policy does not permit the call.
    #[error(transparent)]
    Identity(#[from] identity::Error),
    /// The store refuses or fails.
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
    /// The message is not one of this RPC, or too large; the text is the decoder's.
    #[error("the request cannot be read: {0}")]
    Unreadable(String),
    /// The catalog has no such provider.
    #[error("there is no such provider; ListProviders shows all of them")]
    ProviderUnknown,
    /// Requirements name providers, or auth modes of them, that the catalog does not have.
    #[error("the catalog lacks what the requirements name: {violations}")]
    RequirementUnknown {
        /// Which fields, with what the catalog has in their place.
        violations: Violations,
        /// The providers that it does not have.
        providers: Vec<ProviderId>,
    },
    /// The stored connection's provider or auth mode is not in the catalog any more.
    #[error(
        "the provider {0} or its auth mode is not in this vault's catalog any more; restore its catalog file"
    )]
    CatalogEntryGone(ProviderId),
    /// Neither the user nor the tenant nor the platform has a credential.
    #[error("{}", not_configured(.account.as_ref()))]
    NotConfigured {
        /// The provider that was asked for.
        provider: ProviderId,
        /// The account that was asked for by its name, if one was.
        account: Option<AccountName>,
        /// The user who was meant, if one was.
        user: Option<UserId>,
    },
    /// The provider did not say whether a credential works.
    #[error(transparent)]
    Test(TestError),
    /// A value that requests to the provider must carry is missing.
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
    /// The credential was not replaced at its provider.
    #[error(transparent)]
    Rotation(RotationError),
    /// A consent cannot begin or cannot be completed.
    #[error(transparent)]
    Consent(ConsentError),
    /// The vault failed after a consent's state was taken, so the consent cannot be completed any more.
    #[error("the vault could not complete the consent, whose state is used up now; begin again")]
    Spent(#[source] Box<Refusal>),
    /// The session of the connect page does not allow this.
    #[error(transparent)]
    Session(#[from] SessionLimit),
    /// The tenant's source rules do not allow the service to call from its address.
    #[error(transparent)]
    Source(identity::Denial),
    /// The tenant, or the caller's part of it, makes too many calls.
    #[error(transparent)]
    RateLimited(#[from] Exceeded),
    /// The provider was asked about this connection a moment ago because of a report.
    #[error(
        "rejected_tag has caused a call to the provider about this connection a moment ago; try again after the retry delay. \
         If the provider keeps rejecting new credentials, its answer says why: a scope, the account, or its own state"
    )]
    TooManyRejections(Duration),
    /// Too many calls are in progress.
    #[error("too many calls are in progress; try again after the retry delay")]
    Overloaded,
    /// Too many streams of audit logs are open.
    #[error(
        "too many streams of audit logs are open for this tenant, or on this replica; end one, or try again after the retry \
         delay"
    )]
    TooManyStreams,
    /// Responses that are being made, or that clients have not read, fill the memory for responses.
    #[error(
        "responses that are being made, or that clients have not read, fill the vault's memory for responses; read \
             the responses that were sent, and try again after the retry delay"
    )]
    NoRoom,
    /// The same, for the answers of one tenant.
    #[error(
        "responses for this tenant that are being made, or that clients have not read, reach its limit \
         response_bytes; read the responses that were sent, and try again after the retry delay, or have an \
         administrator raise the limit (SetTenantLimits)"
    )]
    NoRoomForTenant,
    /// The answer to a batch is as large as clients take, so this fetch did not begin.
    #[error(
        "the response to the batch is full, so the vault did not read this credential; fetch it in another call"
    )]
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

impl Refusal {
    /// Wraps a refusal that comes after a consent's state was taken: what could be tried again cannot be any more.
    pub(crate) fn spent(self) -> Self {
        if self.retry_delay().is_some() { Self::Spent(Box::new(self)) } else { self }
    }
}

impl From<TestError> for Refusal {
    fn from(error: TestError) -> Self {
        match error {
            TestError::Store(error) => Self::Store(error),
            TestError::Invalid(violations) => Self::Invalid(violations),
            error @ (TestError::Untestable | TestError::Unavailable | TestError::Throttled { .. }) => {
                Self::Test(error)
            }
        }
    }
}

impl From<RotationError> for Refusal {
    fn from(error: RotationError) -> Self {
        match error {
            RotationError::Store(error) => Self::Store(error),
            error @ (RotationError::ByHand { .. }
            | RotationError::Incomplete(_)
            | RotationError::OtherAccount { .. }
            | RotationError::Shared { .. }
            | RotationError::Unavailable { .. }
            | RotationError::Throttled { .. }
            | RotationError::Crowded { .. }
            | RotationError::Lost { .. }
            | RotationError::Refused { .. }
            | RotationError::Useless { .. }
            | RotationError::Untested { .. }) => Self::Rotation(error),
        }
    }
}

/// Where there is no credential. Nothing is said about accounts of other names, which the caller may not be allowed to see.
fn not_configured(account: Option<&AccountName>) -> &'static str {
    match account {
        Some(_) => {
            "no account of this name has a credential for this provider, whether of the user, the tenant or the platform; \
             ListConnections shows the accounts that this caller can reach, and CreateConnection and PutCredential store one"
        }
        None => {
            "neither the user nor the tenant nor the platform has a credential for this provider; CreateConnection and \
             PutCredential store one"
        }
    }
}

impl From<store::ConnectSessionError> for Refusal {
    fn from(error: store::ConnectSessionError) -> Self {
        Self::Store(error.into())
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
            error @ (ConsentError::ModeWithoutConsent
            | ConsentError::AppMissing
            | ConsentError::AppChanged
            | ConsentError::SettingsChanged
            | ConsentError::NoPublicUrl
            | ConsentError::NotDelivered
            | ConsentError::Denied
            | ConsentError::NotGranted
            | ConsentError::CodeRefused
            | ConsentError::Refused(_)
            | ConsentError::AppRefused
            | ConsentError::Unavailable
            | ConsentError::Throttled { .. }) => Self::Consent(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_account_is_not_called_a_missing_provider() {
        let refused = |account: Option<&str>| {
            let account = account.map(|name| AccountName::parse(name).expect("a name"));
            let provider = ProviderId::parse("shopify").expect("a provider");
            Refusal::NotConfigured { provider, account, user: None }.to_string()
        };
        assert!(refused(None).starts_with("neither the user nor the tenant"));
        let named = refused(Some("shop-us"));
        assert!(named.starts_with("no account of this name") && !named.contains("shop-us"), "{named}");
    }
}
