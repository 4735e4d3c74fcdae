//! Tenants: the platform's customers, each with its own keys.

use std::fmt;

use crate::{NameError, Timestamp};

/// The longest id of a tenant, in bytes.
const MAX_TENANT_ID_BYTES: usize = 64;

/// A tenant's id, chosen by the platform: 1 to 64 of `A-Z a-z 0-9 _ -`, case-sensitive.
///
/// The platform's own namespace, which holds the shared default connections, has the id [`TenantId::PLATFORM`]. No caller
/// can name it, because `:` is not in the alphabet.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TenantId(String);

impl TenantId {
    /// The stored id of the platform's own namespace.
    pub const PLATFORM: &'static str = ":platform";

    /// Parses an id that came from outside.
    ///
    /// # Errors
    /// The text is not 1 to 64 characters of the alphabet.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let in_alphabet = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if (1..=MAX_TENANT_ID_BYTES).contains(&text.len()) && text.bytes().all(in_alphabet) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError("must be 1 to 64 characters of A-Z a-z 0-9 _ -"))
        }
    }

    /// The id of the platform's own namespace.
    pub fn platform() -> Self {
        Self(Self::PLATFORM.to_owned())
    }

    /// An id that was parsed before it was stored.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// Whether this is the platform's own namespace.
    pub fn is_platform(&self) -> bool {
        self.0 == Self::PLATFORM
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether the vault serves a tenant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TenantState {
    /// The vault serves the tenant.
    Active,
    /// The vault reads and changes nothing of the tenant until it is resumed; its audit log stays readable.
    Suspended,
}

impl TenantState {
    /// The state as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Suspended => "SUSPENDED",
        }
    }

    /// Reads what [`TenantState::as_str`] wrote.
    pub fn from_stored(text: &str) -> Option<Self> {
        [Self::Active, Self::Suspended].into_iter().find(|state| state.as_str() == text)
    }
}

/// A tenant as the platform's administrators see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tenant {
    /// The id that the platform chose.
    pub id: TenantId,
    /// A name for people, or empty.
    pub display_name: String,
    /// Whether the vault serves the tenant.
    pub state: TenantState,
    /// Grows by one with each change.
    pub revision: i64,
    /// When it was created.
    pub create_time: Timestamp,
    /// When it last changed.
    pub update_time: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_to_the_alphabet_and_to_64_characters() {
        for text in ["a", "Acme_1-x", &"x".repeat(64)] {
            assert_eq!(TenantId::parse(text).expect("valid").as_str(), text);
        }
        for text in ["", " a", "a b", "ä", "a/b", ":platform", TenantId::PLATFORM, &"x".repeat(65)] {
            assert!(TenantId::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn ids_are_case_sensitive() {
        assert_ne!(TenantId::parse("acme").expect("valid"), TenantId::parse("ACME").expect("valid"));
    }
}
