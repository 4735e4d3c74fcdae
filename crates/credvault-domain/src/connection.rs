//! A connection: one account at one provider, with its owner and everything about it that is not secret. Its states
//! are in `state.rs`, its credential in `credential.rs`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

mod state;

use crate::{AccountName, AuthMode, Config, ConnectionId, Labels, ProviderId, Timestamp, UserId, Version};

pub use state::{ConnectionState, StateChange, StateError};

/// The owner of a connection.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Owner {
    /// A user of the tenant.
    User(UserId),
    /// The tenant as a whole.
    Tenant,
    /// The platform: a shared default that every tenant falls back to.
    Platform,
}

impl Owner {
    /// The kind of owner, as policies and messages name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Tenant => "tenant",
            Self::Platform => "platform",
        }
    }

    /// The owning user, if a user owns it.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::User(user) => Some(user),
            Self::Tenant | Self::Platform => None,
        }
    }
}

/// The result of revoking a disconnected connection's grant at its provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Revocation {
    /// The provider has revoked the grant.
    Done,
    /// The provider has no way to revoke a grant, or the vault has destroyed what that takes.
    Unsupported,
    /// The vault is still trying; it repeats the request for a day.
    Pending,
    /// The vault gave up: the provider did not revoke the grant within a day.
    Failed,
    /// The vault did not ask, because another connection may use the same grant.
    Kept,
}

impl Revocation {
    /// Every result, in the order of declaration.
    pub const ALL: [Self; 5] = [Self::Done, Self::Unsupported, Self::Pending, Self::Failed, Self::Kept];

    /// The result as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "DONE",
            Self::Unsupported => "UNSUPPORTED",
            Self::Pending => "PENDING",
            Self::Failed => "FAILED",
            Self::Kept => "KEPT",
        }
    }

    /// Reads what [`Revocation::as_str`] wrote.
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|revocation| revocation.as_str() == text)
    }
}

/// The reason and the time of a connection's state ERROR.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErrorCause {
    /// A reason of the public contract, such as `REAUTHORIZATION_REQUIRED`.
    pub reason: String,
    /// The error code of the provider's refusal, such as `invalid_request`, if it is a plain word.
    pub code: Option<String>,
    /// The instant at which the connection entered the state.
    pub time: Timestamp,
}

/// A token that changes with each change of a connection, for compare-and-set. Callers do not look into it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Etag(i64);

impl Etag {
    /// The etag of a revision.
    pub fn of(revision: i64) -> Self {
        Self(revision)
    }

    /// The revision that the etag stands for.
    pub fn revision(self) -> i64 {
        self.0
    }

    /// Parses what [`Etag`]'s `Display` wrote. Anything else is an etag that never existed, so it is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let revision = i64::from_str_radix(text.strip_prefix('r')?, 16).ok().map(Self)?;
        (revision.to_string() == text).then_some(revision)
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{:x}", self.0)
    }
}

/// One account at one provider, without its secret.
#[derive(Clone, PartialEq, Debug)]
pub struct Connection {
    /// The id, which stays the same when the owner authorizes again.
    pub id: ConnectionId,
    /// The owner of the account.
    pub owner: Owner,
    /// The provider in the catalog.
    pub provider: ProviderId,
    /// The account's name, unique for owner and provider among connections that are not deleted.
    pub account_name: AccountName,
    /// The way to authenticate, one of the provider's.
    pub auth_mode: AuthMode,
    /// The state of the credential.
    pub state: ConnectionState,
    /// The cause of the state ERROR; `None` in all other states.
    pub error: Option<ErrorCause>,
    /// Whether fetches are served.
    pub enabled: bool,
    /// The non-secret settings of the account.
    pub config: Config,
    /// The caller's own labels.
    pub labels: Labels,
    /// The account's id at the provider, as a caller or the provider gave it. For people to read; it decides nothing.
    pub external_account_id: Option<String>,
    /// The account to which the credential belongs, as the provider itself said in a consent or a test. Decisions use
    /// this id only.
    pub confirmed_account_id: Option<String>,
    /// Settings whose values the provider itself gave, or with which it has accepted the credential.
    pub confirmed_settings: BTreeMap<String, String>,
    /// The account that the last test found, if it is not the confirmed one.
    pub found_account_id: Option<String>,
    /// Whether a fetch that names no account uses this connection. At most one for each owner and provider.
    pub default: bool,
    /// The version that a fetch returns; 0 if there is none.
    pub current_version: Version,
    /// Masked hints of the current version's fields.
    pub hints: BTreeMap<String, String>,
    /// When the current version stops being served.
    pub expire_time: Option<Timestamp>,
    /// When a credential was last fetched, to the minute.
    pub last_used_time: Option<Timestamp>,
    /// When its tokens were last refreshed.
    pub last_refreshed_time: Option<Timestamp>,
    /// When the provider last accepted its credential in a test.
    pub last_verified_time: Option<Timestamp>,
    /// The scopes of the last authorization request.
    pub scopes_asked: Vec<String>,
    /// The scopes that the provider granted.
    pub scopes_granted: Vec<String>,
    /// How often the credential is to be replaced, in whole days; `None`: never.
    pub rotation_period: Option<Duration>,
    /// When the credential is to be replaced the next time.
    pub rotation_due_time: Option<Timestamp>,
    /// The result of revoking the last credential's grant; `None` while the connection has a credential.
    pub revocation: Option<Revocation>,
    /// Grows by one with each change.
    pub revision: i64,
    /// When it was created.
    pub create_time: Timestamp,
    /// When it last changed.
    pub update_time: Timestamp,
    /// When it was deleted, if it is.
    pub delete_time: Option<Timestamp>,
    /// When it will be purged, if it is deleted.
    pub purge_time: Option<Timestamp>,
}

impl Connection {
    /// The etag of this revision.
    pub fn etag(&self) -> Etag {
        Etag::of(self.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_display_wrote_is_an_etag() {
        assert_eq!(Etag::parse(&Etag::of(26).to_string()), Some(Etag::of(26)));
        for text in ["", "r", "1a", "r1A", "r01a", "r+1", "r-1x", "rzz"] {
            assert_eq!(Etag::parse(text), None, "{text}");
        }
    }
}
