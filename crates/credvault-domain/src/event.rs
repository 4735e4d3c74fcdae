//! Events: what subscribers are told about connections, where to, and how far that is.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::NameError;

/// An id that the vault made: a UUIDv7, written with hyphens in lower case.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(Uuid);

        impl $name {
            /// An id that was made or stored.
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            /// The id as a UUID.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let canonical = text.len() == 36 && !text.bytes().any(|b| b.is_ascii_uppercase());
                Uuid::try_parse(text).ok().filter(|_| canonical).map(Self).ok_or(NameError($rule))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// The id of a URL that events are sent to.
    EventEndpointId, "must be an event endpoint's id, a UUID with hyphens in lower case"
}
id! {
    /// The id of an event: the same for every endpoint and every attempt.
    EventId, "must be an event's id, a UUID with hyphens in lower case"
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EventType {
    /// A connection got a credential that is believed to work, and had none before.
    Connected,
    /// A connection's credential works again.
    Recovered,
    /// Only a new consent, or a new credential, helps.
    ReauthorizationRequired,
    /// A connection is not served any more.
    Disconnected,
    /// A credential version was stored or destroyed.
    CredentialChanged,
}

impl EventType {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Connected,
        Self::Recovered,
        Self::ReauthorizationRequired,
        Self::Disconnected,
        Self::CredentialChanged,
    ];

    /// The type as it is sent, stored and asked for.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connection.connected",
            Self::Recovered => "connection.recovered",
            Self::ReauthorizationRequired => "connection.reauthorization_required",
            Self::Disconnected => "connection.disconnected",
            Self::CredentialChanged => "credential.changed",
        }
    }

    /// Reads what [`EventType::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// How far the delivery of an event to an endpoint is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeliveryState {
    /// It is going to be sent, for the first time or again.
    Pending,
    /// The endpoint has taken it.
    Delivered,
    /// It was given up.
    Dead,
}

impl DeliveryState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    /// As it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Delivered => "DELIVERED",
            Self::Dead => "DEAD",
        }
    }

    /// Reads what [`DeliveryState::as_str`] wrote.
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_can_be_read() {
        assert!(EventType::ALL.into_iter().all(|kind| EventType::parse(kind.as_str()) == Some(kind)));
        let states = DeliveryState::ALL.into_iter();
        assert!(states.into_iter().all(|state| DeliveryState::from_stored(state.as_str()) == Some(state)));
        assert_eq!(EventType::parse(""), None);
    }

    #[test]
    fn ids_have_one_spelling() {
        let id = EventId::from_uuid(Uuid::from_u128(0xa1));
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in [id.to_string().to_uppercase(), id.as_uuid().simple().to_string(), String::new()] {
            assert!(text.parse::<EventId>().is_err(), "{text}");
        }
    }
}
