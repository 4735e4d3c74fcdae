//! What a refusal says beside its reason: fields that are wrong, a delay, a quota, names that a program can use.

#![expect(clippy::wildcard_enum_match_arm, reason = "each of these is what few refusals say")]

use std::time::Duration;

use credvault_broker::{RefreshError, TestError};
use credvault_domain::Violations;
use credvault_identity as identity;
use credvault_store::Error as StoreError;

use super::{Class, Refusal};

impl Refusal {
    /// The policies that decided, if policy did.
    pub fn policies(&self) -> &[String] {
        match self {
            Self::Identity(identity::Error::Denied(denial)) | Self::AppSecret(denial) => &denial.policies,
            _ => &[],
        }
    }

    /// Names and numbers for programs, by key. The keys are part of the public contract.
    pub fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::NotConfigured { provider, user } => {
                let user = user.as_ref().map(|user| ("user", user.as_str().to_owned()));
                std::iter::once(("provider", provider.as_str().to_owned())).chain(user).collect()
            }
            Self::CatalogEntryGone(provider) => vec![("provider", provider.as_str().to_owned())],
            Self::Store(StoreError::VersionMismatch { current }) => {
                vec![("current_version", current.to_string())]
            }
            Self::Store(StoreError::SyncMismatch { current }) => {
                vec![("current_revision", current.to_string())]
            }
            Self::Store(StoreError::TenantNotFound(tenant) | StoreError::TenantSuspended(tenant)) => {
                vec![("tenant", tenant.as_str().to_owned())]
            }
            Self::Identity(identity::Error::Denied(denial)) | Self::AppSecret(denial) => vec![
                ("action", denial.action.as_str().to_owned()),
                ("service", denial.service.as_str().to_owned()),
            ],
            _ => Vec::new(),
        }
    }

    /// The fields that are wrong, with the rule that each breaks.
    pub fn violations(&self) -> Violations {
        match self {
            Self::Invalid(violations) => violations.clone(),
            Self::Identity(identity::Error::Header { header, rule }) => Violations::of(*header, rule.clone()),
            Self::Store(error @ StoreError::RequestIdReused) => {
                Violations::of("request_id", error.to_string())
            }
            Self::Store(StoreError::ExpiredAlready) => {
                Violations::of("credential.expire_time", "must be in the future")
            }
            Self::Store(error @ StoreError::DestinationChanged) => {
                Violations::of("connection.config", error.to_string())
            }
            Self::Store(error @ StoreError::PageToken) => Violations::of("page_token", error.to_string()),
            _ => Violations::default(),
        }
    }

    /// After how long another attempt makes sense; `None` if waiting does not help.
    pub fn retry_delay(&self) -> Option<Duration> {
        match self {
            Self::RateLimited(delay)
            | Self::TooManyRefreshes(delay)
            | Self::TooManyRejections(delay)
            | Self::Test(TestError::Throttled { retry: delay }) => Some(*delay),
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
                StoreError::TooManyAuthorizations { retry } | StoreError::TooManyStarts { retry },
            ) => Some(*retry),
            // No time helps: the caller has to make room, or to begin a consent anew, for its state is used up.
            Self::Store(
                StoreError::TooManyEventEndpoints
                | StoreError::TooManySyncResources
                | StoreError::TenantFull { .. }
                | StoreError::UserFull { .. },
            )
            | Self::Consent(_)
            | Self::Spent(_) => None,
            other => matches!(other.class(), Class::Unavailable | Class::Exhausted)
                .then_some(Duration::from_secs(1)),
        }
    }

    /// What there is too much of, where a quota or limit is the reason.
    pub fn quota(&self) -> &'static str {
        match self {
            Self::Store(StoreError::TenantFull { .. }) => "connections of the tenant",
            Self::Store(StoreError::UserFull { .. }) => "connections of the user",
            Self::Store(StoreError::TooManySyncResources) => "synchronised resources of the connection",
            Self::NoRoom | Self::AnswerFull => "bytes of answers",
            _ => "calls",
        }
    }
}
