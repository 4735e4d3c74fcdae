//! The state machine of a connection: its states, the changes, and which change leads where. Knows no row and no time.

use std::fmt;

/// The state of a connection's credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectionState {
    /// The connection has no credential.
    Disconnected,
    /// A person is giving the first consent at the provider.
    Connecting,
    /// The connection has a credential that works as far as the vault knows.
    Connected,
    /// The credential does not work; the connection's `ErrorCause` has the reason.
    Error,
}

/// An event that may change a connection's state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StateChange {
    /// A credential version became current.
    CredentialStored,
    /// The current credential version was destroyed.
    CredentialGone,
    /// The provider has accepted the credential.
    Accepted,
    /// The provider refuses the credential, or whether it still works cannot be found out.
    Refused,
    /// A caller has begun an authorization, which sends a person to the provider.
    AuthorizationBegun,
    /// An authorization ended without consent.
    AuthorizationEnded,
}

/// The error of a change that the state does not allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a connection in state {state} has no credential")]
pub struct StateError {
    /// The present state of the connection.
    pub state: ConnectionState,
}

impl ConnectionState {
    /// Every state, in the order of a connection's life.
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
            // A working credential stays in use while its owner consents again.
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
}
