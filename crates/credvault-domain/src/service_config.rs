//! Configs of internal services: a service that a tenant or a user has switched on or off, with the connections that it
//! uses. Not the callers of the vault: those are in `service.rs`.

use uuid::Uuid;

use crate::name::names;
use crate::{Config, ConnectionId, Etag, NameError, Owner, ProviderId, Timestamp};

/// The longest name of an internal service, of a mapping and of a tool, in bytes.
const MAX_SERVICE_NAME_BYTES: usize = 64;
/// The most mappings of one service.
pub const MAX_MAPPINGS: usize = 32;
/// The largest settings of all mappings of one service together, measured as compact JSON.
pub const MAX_SETTINGS_BYTES: usize = 128 * 1024;

/// Checks the rule of names that platforms give to their own services: 1 to 64 characters of `[a-z0-9_.-]`.
fn check(text: &str) -> Result<(), NameError> {
    let in_alphabet = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b);
    if (1..=MAX_SERVICE_NAME_BYTES).contains(&text.len()) && text.bytes().all(in_alphabet) {
        Ok(())
    } else {
        Err(NameError("must be 1 to 64 characters of a-z 0-9 _ . -"))
    }
}

names! {
    check, "a name: 1 to 64 characters of `a-z 0-9 _ . -`";
    /// The name of an internal service, as the platform calls it: `kpi-report`.
    ServiceName;
    /// The name of one use that a service makes of a connection: `orders`, `default`.
    MappingName;
    /// The name of a tool that has registered what it requires: `price-watch`.
    ToolName;
}

impl MappingName {
    /// The name of a mapping whose caller gave none.
    pub const DEFAULT: &'static str = "default";

    /// Parses a name; the empty text stands for [`MappingName::DEFAULT`].
    ///
    /// # Errors
    /// The text is not such a name.
    pub fn parse_or_default(text: &str) -> Result<Self, NameError> {
        Self::parse(if text.is_empty() { Self::DEFAULT } else { text })
    }
}

/// One use that a service makes of a connection.
#[derive(Clone, PartialEq, Debug)]
pub struct ServiceMapping {
    /// The name, unique within the service's config.
    pub name: MappingName,
    /// The connection, which may be gone by now.
    pub connection: ConnectionId,
    /// The provider of that connection, also known when it is gone.
    pub provider: ProviderId,
    /// What the service needs to know, such as a spreadsheet's id. Not secret.
    pub settings: Config,
}

/// An internal service that a tenant or a user has switched on or off.
#[derive(Clone, PartialEq, Debug)]
pub struct ServiceConfig {
    /// The key of its row. Callers name a config by owner and service.
    pub id: Uuid,
    /// The name of the service.
    pub service: ServiceName,
    /// The tenant or the user that has configured it; never the platform.
    pub owner: Owner,
    /// Whether the service is to work for its owner.
    pub enabled: bool,
    /// What it uses, ordered by name.
    pub mappings: Vec<ServiceMapping>,
    /// Grows by one with each change.
    pub revision: i64,
    /// When it was created.
    pub create_time: Timestamp,
    /// When it last changed.
    pub update_time: Timestamp,
}

impl ServiceConfig {
    /// The etag of this revision.
    pub fn etag(&self) -> Etag {
        Etag::of(self.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_words_with_dots_and_dashes() {
        for text in ["a", "kpi-report", "9.orders_eu", &"x".repeat(64)] {
            assert!(ServiceName::parse(text).is_ok(), "{text:?}");
        }
        for text in ["", "A", "a b", "a/b", "é", "a\n", &"x".repeat(65)] {
            assert!(ServiceName::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(MappingName::parse_or_default("").expect("default").as_str(), "default");
    }
}
