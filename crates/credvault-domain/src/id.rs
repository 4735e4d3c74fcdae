//! Ids that the vault generates: UUIDv7, written with hyphens in lower case and in no other spelling. Ids that callers
//! choose are in `name.rs`.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::{NameError, Timestamp};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps an id that was generated or stored.
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
    /// The id of a connection.
    ConnectionId, "must be a connection id, a UUID with hyphens in lower case"
}
id! {
    /// The id of an endpoint, a URL that events are sent to.
    EventEndpointId, "must be an event endpoint's id, a UUID with hyphens in lower case"
}
id! {
    /// The id of an event, the same for every endpoint and every attempt.
    EventId, "must be an event's id, a UUID with hyphens in lower case"
}

id! {
    /// The id of a session of the connect page.
    ConnectSessionId, "must be a connect session's id, a UUID with hyphens in lower case"
}

impl ConnectionId {
    /// A new id that holds the time `now`, from ten random bytes.
    pub fn generate(now: Timestamp, random: &[u8; 10]) -> Self {
        Self(uuid::Builder::from_unix_timestamp_millis(now.millis(), random).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_spelling() {
        let id = ConnectionId::generate(Timestamp::from_micros(1_700_000_000_000_000), &[7; 10]);
        assert_eq!(id.as_uuid().get_version_num(), 7);
        assert_eq!(id.to_string().parse(), Ok(id));
        let event = EventId::from_uuid(Uuid::from_u128(0xa1));
        assert_eq!(event.to_string().parse(), Ok(event));
        for text in
            [id.to_string().to_uppercase(), id.as_uuid().simple().to_string(), String::new(), "x".into()]
        {
            assert!(text.parse::<ConnectionId>().is_err(), "{text}");
            assert!(text.parse::<EventId>().is_err(), "{text}");
        }
    }
}
