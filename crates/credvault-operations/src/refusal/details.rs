//! What a refusal says beside its reason: fields that are wrong, a delay, a quota, names that a program can use.

#![expect(clippy::wildcard_enum_match_arm, reason = "each of these is what few refusals say")]

use std::time::Duration;

use credvault_broker::{RefreshError, TestError};
use credvault_crypto::SecretStoreError;
use credvault_domain::{LimitKind, LimitSubject, Violations};
use credvault_identity as identity;
use credvault_store::{Error as StoreError, Unproved};

use super::{Class, Refusal};
use crate::call::SOURCE_RULES;

impl Refusal {
    /// The policies that decided, if policy did.
    pub fn policies(&self) -> &[String] {
        match self {
            Self::Identity(identity::Error::Denied(denial))
            | Self::AppSecret(denial)
            | Self::Source(denial) => &denial.policies,
            _ => &[],
        }
    }

    /// Names and numbers for programs, by key. The keys are part of the public contract.
    pub fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::NotConfigured { provider, user, account: _ } => {
                let user = user.as_ref().map(|user| ("user", user.as_str().to_owned()));
                std::iter::once(("provider", provider.as_str().to_owned())).chain(user).collect()
            }
            Self::RequirementUnknown { providers, .. } => {
                let providers: Vec<_> = providers.iter().map(|provider| provider.as_str()).collect();
                vec![("providers", providers.join(","))]
            }
            Self::Store(StoreError::ToolNotFound(tool)) => vec![("tool", tool.as_str().to_owned())],
            Self::CatalogEntryGone(provider) => vec![("provider", provider.as_str().to_owned())],
            Self::Store(StoreError::VersionMismatch { current }) => {
                vec![("current_version", current.to_string())]
            }
            Self::Store(StoreError::SyncMismatch { current }) => {
                vec![("current_revision", current.to_string())]
            }
            Self::Store(StoreError::Unproved(Unproved::Position { first, end })) => {
                vec![("first_index", first.to_string()), ("next_index", end.to_string())]
            }
            Self::Store(StoreError::TenantNotFound(tenant) | StoreError::TenantSuspended(tenant)) => {
                vec![("tenant", tenant.as_str().to_owned())]
            }
            Self::Identity(identity::Error::Denied(denial)) | Self::AppSecret(denial) => {
                of_denial(denial).into()
            }
            Self::Source(denial) => {
                let rules = ("rules", SOURCE_RULES.to_owned());
                of_denial(denial).into_iter().chain([rules]).collect()
            }
            other => other.limit().map(of_limit).into_iter().flatten().collect(),
        }
    }

    /// The fields that are wrong, with the rule that each breaks.
    pub fn violations(&self) -> Violations {
        match self {
            Self::Invalid(violations) | Self::RequirementUnknown { violations, .. } => violations.clone(),
            Self::Identity(identity::Error::Header { header, rule }) => Violations::of(*header, rule.clone()),
            Self::Store(error @ StoreError::RequestIdReused) => {
                Violations::of("request_id", error.to_string())
            }
            Self::Store(
                StoreError::Mappings(violations) | StoreError::Unproved(Unproved::Sizes(violations)),
            ) => violations.clone(),
            Self::Store(StoreError::ExpiredAlready) => {
                Violations::of("credential.expire_time", "must be in the future")
            }
            Self::Store(error @ StoreError::DestinationChanged) => {
                Violations::of("connection.config", error.to_string())
            }
            Self::Store(error @ StoreError::TooManyAuditGroups) => {
                Violations::of("group_by", error.to_string())
            }
            Self::Store(error @ StoreError::PageToken) => Violations::of("page_token", error.to_string()),
            _ => Violations::default(),
        }
    }

    /// After how long another attempt makes sense; `None` if waiting does not help.
    pub fn retry_delay(&self) -> Option<Duration> {
        match self {
            Self::RateLimited(exceeded) => Some(exceeded.retry),
            Self::TooManyRejections(delay) | Self::Test(TestError::Throttled { retry: delay }) => {
                Some(*delay)
            }
            Self::Identity(identity::Error::KeysUnavailable { retry, .. }) => Some(*retry),
            Self::Refresh(
                RefreshError::Unavailable { retry }
                | RefreshError::Answered { retry, .. }
                | RefreshError::Incident { retry }
                | RefreshError::Refused { retry }
                | RefreshError::Clock { retry }
                | RefreshError::Throttled { retry }
                | RefreshError::Crowded { retry }
                | RefreshError::App { retry, .. },
            ) => Some(*retry),
            Self::Rotation(error) => error.retry().filter(|_| self.class() != Class::Refused),
            Self::Store(
                StoreError::TooManyAuthorizations { retry }
                | StoreError::TooManyConnectSessions { retry }
                | StoreError::TooManyStarts { retry },
            ) => Some(*retry),
            // No time helps: the caller has to make room, or to begin a consent anew, for its state is used up.
            Self::Store(
                StoreError::TooManyEventEndpoints
                | StoreError::TooManyServiceConfigs
                | StoreError::TooManyTools
                | StoreError::TooManySyncResources
                | StoreError::TenantFull { .. }
                | StoreError::UserFull { .. }
                | StoreError::SecretStore { problem: SecretStoreError::Full(_), .. },
            )
            | Self::Consent(_)
            | Self::Spent(_) => None,
            other => matches!(other.class(), Class::Unavailable | Class::Exhausted)
                .then_some(Duration::from_secs(1)),
        }
    }

    /// What there is too much of, where a quota or limit is the reason.
    pub fn quota(&self) -> String {
        match (self.limit(), self) {
            (Some((limit, of, _)), _) => format!("{} of the {}", limit.noun(), of.as_str()),
            (None, Self::Store(StoreError::TooManyServiceConfigs)) => "services of the owner".to_owned(),
            (None, Self::Store(StoreError::TooManyConnectSessions { .. })) => {
                "connect pages of the tenant".to_owned()
            }
            (None, Self::Store(StoreError::TooManyTools)) => "tools of the platform".to_owned(),
            (None, Self::Store(StoreError::TooManySyncResources)) => {
                "synchronised resources of the connection".to_owned()
            }
            (None, Self::Store(StoreError::SecretStore { .. })) => {
                "what the secret store keeps of the connection".to_owned()
            }
            (None, Self::TooManyStreams) => "streams of audit logs".to_owned(),
            (None, Self::NoRoom | Self::AnswerFull) => "bytes of answers".to_owned(),
            (None, _) => "calls".to_owned(),
        }
    }

    /// The tenant's limit that is reached, by whom, and its number, if one of those is the reason.
    pub fn limit(&self) -> Option<(LimitKind, LimitSubject, Option<u64>)> {
        match self {
            Self::RateLimited(exceeded) => Some((exceeded.limit, exceeded.of, Some(exceeded.most))),
            Self::NoRoomForTenant => Some((LimitKind::ResponseBytes, LimitSubject::Tenant, None)),
            Self::Store(StoreError::TenantFull { most }) => {
                Some((LimitKind::Connections, LimitSubject::Tenant, Some(u64::from(*most))))
            }
            Self::Store(StoreError::UserFull { most }) => {
                Some((LimitKind::UserConnections, LimitSubject::User, Some(u64::from(*most))))
            }
            _ => None,
        }
    }
}

/// What a denial says to programs.
fn of_denial(denial: &identity::Denial) -> [(&'static str, String); 2] {
    [("action", denial.action.as_str().to_owned()), ("service", denial.service.as_str().to_owned())]
}

/// What a limit that is reached says to programs.
fn of_limit(
    (limit, of, most): (LimitKind, LimitSubject, Option<u64>),
) -> impl Iterator<Item = (&'static str, String)> {
    let names = [("limit", limit.as_str().to_owned()), ("of", of.as_str().to_owned())];
    names.into_iter().chain(most.map(|most| ("most", most.to_string())))
}
