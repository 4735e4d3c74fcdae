//! Connections: one account at one provider, its owner, and the states that it goes through.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::{AccountName, AuthMode, Config, Labels, NameError, ProviderId, Timestamp, UserId, Version};

/// A connection's id: a UUIDv7, made by the vault, written with hyphens in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectionId(Uuid);

impl ConnectionId {
    /// An id for something made `now`, from ten random bytes.
    pub fn generate(now: Timestamp, random: &[u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(now.millis(), random).into_uuid())
    }

    /// An id that was stored.
    pub const fn from_uuid(id: Uuid) -> Self {
        Self(id)
    }

    /// The id as a UUID.
    pub const fn as_uuid(&self) -> Uuid {
        self.0
    }
}

impl FromStr for ConnectionId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        const RULE: NameError = NameError("must be a connection id, a UUID with hyphens in lower case");
        let canonical = text.len() == 36 && !text.bytes().any(|b| b.is_ascii_uppercase());
        Uuid::try_parse(text).ok().filter(|_| canonical).map(Self).ok_or(RULE)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whose account it is.
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

    /// The owning user, if it is one.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::User(user) => Some(user),
            Self::Tenant | Self::Platform => None,
        }
    }
}

/// Where a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectionState {
    /// It has no credential.
    Disconnected,
    /// Somebody is giving consent at the provider.
    Connecting,
    /// It has a credential that is believed to work.
    Connected,
    /// Its credential does not work; an [`ErrorCause`] says why.
    Error,
}

/// What can happen to a connection's state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StateChange {
    /// A credential version became current.
    CredentialStored,
    /// The current credential version is gone.
    CredentialGone,
    /// The provider has accepted the credential.
    Accepted,
    /// The provider refuses the credential, or nobody knows whether it still works.
    Refused,
    /// Somebody was sent to the provider to consent.
    AuthorizationBegun,
    /// The consent did not come.
    AuthorizationEnded,
}

/// A change that the state does not allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a connection in state {state} has no credential that something could happen to")]
pub struct StateError {
    /// The state that the connection is in.
    pub state: ConnectionState,
}

impl ConnectionState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Disconnected, Self::Connecting, Self::Connected, Self::Error];

    /// The state after `change`.
    ///
    /// # Errors
    /// The change is not possible in this state.
    pub fn after(self, change: StateChange) -> Result<Self, StateError> {
        match (self, change) {
            (_, StateChange::CredentialStored) => Ok(Self::Connected),
            (Self::Connected | Self::Error, StateChange::Accepted) => Ok(Self::Connected),
            (Self::Connected | Self::Error, StateChange::Refused) => Ok(Self::Error),
            // A connection that works goes on working while its owner consents anew.
            (Self::Disconnected, StateChange::AuthorizationBegun) => Ok(Self::Connecting),
            (Self::Connecting, StateChange::AuthorizationEnded) => Ok(Self::Disconnected),
            (state, StateChange::AuthorizationBegun | StateChange::AuthorizationEnded) => Ok(state),
            (Self::Connected | Self::Error, StateChange::CredentialGone) => Ok(Self::Disconnected),
            (
                Self::Disconnected | Self::Connecting,
                StateChange::CredentialGone | StateChange::Accepted | StateChange::Refused,
            ) => Err(StateError { state: self }),
        }
    }

    /// The state as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disconnected => "DISCONNECTED",
            Self::Connecting => "CONNECTING",
            Self::Connected => "CONNECTED",
            Self::Error => "ERROR",
        }
    }

    /// Reads what [`ConnectionState::as_str`] wrote.
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of telling the provider that a connection is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Revocation {
    /// The provider was told.
    Done,
    /// There is nothing that the provider could be told.
    Unsupported,
    /// It is being told, again and again for a day.
    Pending,
    /// It could not be told.
    Failed,
    /// Another connection may hang on the same grant.
    Kept,
}

impl Revocation {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Done, Self::Unsupported, Self::Pending, Self::Failed, Self::Kept];

    /// As it is stored.
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

/// Why a connection is in state ERROR, and since when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErrorCause {
    /// A reason of the public table, such as `REAUTHORIZATION_REQUIRED`.
    pub reason: String,
    /// The provider's own code of its refusal, such as `invalid_request`, if it gave one that is a plain word.
    pub code: Option<String>,
    /// When it began.
    pub time: Timestamp,
}

/// A token that changes with each change of a connection, for compare-and-set. Opaque to callers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Etag(i64);

impl Etag {
    /// The etag of a revision.
    pub fn of(revision: i64) -> Self {
        Self(revision)
    }

    /// The revision that it stands for.
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
    /// Its id, which stays the same through re-authorisation.
    pub id: ConnectionId,
    /// Whose it is.
    pub owner: Owner,
    /// The catalog entry.
    pub provider: ProviderId,
    /// Unique for owner and provider among connections not deleted.
    pub account_name: AccountName,
    /// Which of the provider's ways to authenticate it uses.
    pub auth_mode: AuthMode,
    /// Where it stands.
    pub state: ConnectionState,
    /// Why, if the state is ERROR.
    pub error: Option<ErrorCause>,
    /// Whether fetches are served.
    pub enabled: bool,
    /// Non-secret settings.
    pub config: Config,
    /// The caller's own labels.
    pub labels: Labels,
    /// The account's id at the provider, as a caller wrote it or the provider said it: for people.
    pub external_account_id: Option<String>,
    /// The account that the provider itself says the credential is of, in a consent or a test. Only this one decides
    /// anything.
    pub confirmed_account_id: Option<String>,
    /// Settings with the values that the provider itself told, or at which it has accepted the credential.
    pub confirmed_settings: BTreeMap<String, String>,
    /// The account that the last test found the credential to be of, if it is another one.
    pub found_account_id: Option<String>,
    /// Whether it is the one used where no account is named. One for each owner and provider.
    pub default: bool,
    /// The version that a fetch returns; 0 if there is none.
    pub current_version: Version,
    /// Masked hints of the current version's fields.
    pub hints: BTreeMap<String, String>,
    /// When the current version stops being served.
    pub expire_time: Option<Timestamp>,
    /// When a credential was last fetched, to the minute.
    pub last_used_time: Option<Timestamp>,
    /// When its tokens were last renewed.
    pub last_refreshed_time: Option<Timestamp>,
    /// When the provider last accepted its credential in a test.
    pub last_verified_time: Option<Timestamp>,
    /// The scopes that were last asked for.
    pub scopes_asked: Vec<String>,
    /// The scopes that were granted.
    pub scopes_granted: Vec<String>,
    /// What became of telling the provider that the last credential is over; `None` while there is one.
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
    /// The etag of what this is.
    pub fn etag(&self) -> Etag {
        Etag::of(self.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_connects_and_its_loss_disconnects() {
        for state in ConnectionState::ALL {
            assert_eq!(state.after(StateChange::CredentialStored), Ok(ConnectionState::Connected));
            let had_one = matches!(state, ConnectionState::Connected | ConnectionState::Error);
            assert_eq!(state.after(StateChange::CredentialGone).is_ok(), had_one);
            assert_eq!(ConnectionState::from_stored(state.as_str()), Some(state));
        }
    }

    #[test]
    fn ids_have_one_spelling() {
        let id = ConnectionId::generate(Timestamp::from_micros(1_700_000_000_000_000), &[7; 10]);
        assert_eq!(id.as_uuid().get_version_num(), 7);
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in
            [id.to_string().to_uppercase(), id.as_uuid().simple().to_string(), String::new(), "x".into()]
        {
            assert!(text.parse::<ConnectionId>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_what_was_written_is_an_etag() {
        assert_eq!(Etag::parse(&Etag::of(26).to_string()), Some(Etag::of(26)));
        for text in ["", "r", "1a", "r1A", "r01a", "r+1", "r-1x", "rzz"] {
            assert_eq!(Etag::parse(text), None, "{text}");
        }
    }
}
