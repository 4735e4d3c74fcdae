//! Users of a tenant, known to the vault by id only.

use std::fmt;

use crate::NameError;

/// The longest id of a user, in bytes.
const MAX_USER_ID_BYTES: usize = 128;

/// A user's id within a tenant: opaque, 1 to 128 printable ASCII characters, no blank at either end.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct UserId(String);

impl UserId {
    /// Parses an id that came from outside.
    ///
    /// # Errors
    /// The text is not 1 to 128 printable ASCII characters, or begins or ends with a blank (a header would lose it).
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let printable = text.bytes().all(|b| (0x20..=0x7e).contains(&b));
        if (1..=MAX_USER_ID_BYTES).contains(&text.len()) && printable && text.trim() == text {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError("must be 1 to 128 printable ASCII characters without a blank at either end"))
        }
    }

    /// An id that was parsed before it was stored.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_printable_ascii() {
        for text in ["user_2abC", "a b", "x@y.z", &"x".repeat(128)] {
            assert!(UserId::parse(text).is_ok(), "{text:?}");
        }
        for text in ["", " a", "a ", "é", "a\n", "a\u{7f}", &"x".repeat(129)] {
            assert!(UserId::parse(text).is_err(), "{text:?}");
        }
    }
}
