//! The name of a log: the first line of its checkpoints, and the name of the keys that sign them.

use std::fmt;

use credvault_domain::TenantId;

/// The longest origin, in bytes: witnesses keep one for each log.
const MAX_ORIGIN_BYTES: usize = 255;

/// The origin of a log, 1 to 255 bytes without spaces, `+` and control characters. It is unique for each log.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Origin(String);

/// The text is not an origin.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an origin must have 1 to 255 bytes without spaces, plus signs and control characters")]
pub struct OriginError;

impl Origin {
    /// The origin of a tenant's log: `credvault/VAULT/tenants/TENANT`.
    ///
    /// # Errors
    /// The name of the vault makes it none.
    pub fn of_tenant(vault: &str, tenant: &TenantId) -> Result<Self, OriginError> {
        // A slash in the vault's name could make two logs one.
        if vault.is_empty() || vault.contains('/') {
            return Err(OriginError);
        }
        Self::parse(&format!("credvault/{vault}/tenants/{tenant}"))
    }

    /// Parses an origin, or the name of a key, which has the same alphabet.
    ///
    /// # Errors
    /// The text breaks the rule.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let is_name = !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+');
        let is_short = (1..=MAX_ORIGIN_BYTES).contains(&text.len());
        if is_name && is_short { Ok(Self(text.to_owned())) } else { Err(OriginError) }
    }

    /// The origin as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
