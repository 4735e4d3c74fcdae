//! Credentials: the secret fields of a connection, in numbered versions that never change. Knows neither keys nor the
//! form in which fields are stored.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use crate::{FieldName, Timestamp, Violations};

/// The largest size of a credential: the bytes of all names and values together.
pub const MAX_CREDENTIAL_BYTES: usize = 64 * 1024;
/// The largest number of fields of a credential.
pub const MAX_CREDENTIAL_FIELDS: usize = 64;

/// The number of a credential version, counted from 1 within its connection. Numbers are never used twice.
pub type Version = i64;

/// The secret fields of one version. Zeroed when dropped; its `Debug` shows names only.
#[derive(Clone, Default)]
pub struct SecretFields(BTreeMap<FieldName, SecretString>);

impl SecretFields {
    /// Parses fields from outside: at most 64, at most 64 KiB with their names.
    ///
    /// # Errors
    /// One violation under `field` for each broken rule. It does not repeat a wrong name, which may be a secret.
    pub fn parse(
        field: &str,
        pairs: impl IntoIterator<Item = (String, SecretString)>,
    ) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let mut fields = BTreeMap::new();
        let (mut count, mut bytes) = (0_usize, 0_usize);
        for (name, value) in pairs {
            count += 1;
            bytes += name.len() + value.expose_secret().len();
            if let Some(name) = violations.note(&format!("{field} (a name in it)"), FieldName::parse(&name)) {
                fields.insert(name, value);
            }
        }
        if count > MAX_CREDENTIAL_FIELDS {
            violations.add(field, "must have at most 64 fields");
        }
        if bytes > MAX_CREDENTIAL_BYTES {
            violations.add(field, "must have at most 64 KiB in all, names and values together");
        }
        violations.into_result().map(|()| Self(fields))
    }

    /// Fields that were parsed before they were sealed.
    pub fn from_sealed(fields: BTreeMap<FieldName, SecretString>) -> Self {
        Self(fields)
    }

    /// The value of one field.
    pub fn get(&self, name: &str) -> Option<&SecretString> {
        self.0.get(name)
    }

    /// Sets the value of one field.
    pub fn set(&mut self, name: FieldName, value: SecretString) {
        self.0.insert(name, value);
    }

    /// The fields, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&FieldName, &SecretString)> {
        self.0.iter()
    }

    /// The number of fields.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Drops, and so zeroes, the fields that `keep` refuses.
    pub fn retain(&mut self, mut keep: impl FnMut(&FieldName) -> bool) {
        self.0.retain(|name, _| keep(name));
    }
}

impl std::fmt::Debug for SecretFields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Whether a version still holds its secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VersionState {
    /// A fetch can return it, unless it has expired.
    Live,
    /// The sealed bytes were deleted and cannot be restored.
    Destroyed,
}

/// A version without its secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CredentialVersion {
    /// The number of the version.
    pub version: Version,
    /// Whether the secret still exists.
    pub state: VersionState,
    /// Whether a fetch returns this version.
    pub current: bool,
    /// Masked hints by field name.
    pub hints: BTreeMap<String, String>,
    /// When it was stored.
    pub create_time: Timestamp,
    /// When it stops being served, if ever.
    pub expire_time: Option<Timestamp>,
    /// When its secret was destroyed.
    pub destroy_time: Option<Timestamp>,
    /// The version that a rollback copied, if this version came from one.
    pub rolled_back_from: Option<Version>,
    /// The external store that keeps its secret; none if that is the database, or the secret was destroyed.
    pub store: Option<String>,
    /// Whether others keep the secret there, and the vault reads it only.
    pub adopted: bool,
    /// Since when, or from when on, the provider does not accept its key because another one has replaced it.
    pub key_revoke_time: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(count: usize, value_bytes: usize) -> Result<SecretFields, Violations> {
        let pair = |i: usize| (format!("f{i:04}"), SecretString::from("x".repeat(value_bytes)));
        SecretFields::parse("fields", (0..count).map(pair))
    }

    #[test]
    fn the_limits_are_exact() {
        assert!(fields(64, 1).is_ok());
        assert!(fields(65, 1).is_err());
        assert!(fields(1, MAX_CREDENTIAL_BYTES - 5).is_ok());
        assert!(fields(1, MAX_CREDENTIAL_BYTES - 4).is_err());
    }

    #[test]
    fn neither_debug_nor_a_violation_shows_a_value_or_a_wrong_name() {
        let kept = SecretFields::parse("f", [("token".into(), SecretString::from("CANARY"))]).expect("valid");
        assert_eq!(format!("{kept:?}"), r#"{FieldName("token")}"#);
        let wrong =
            SecretFields::parse("f", [("CANARY".into(), SecretString::from("CANARY"))]).expect_err("name");
        assert!(!format!("{wrong:?} {wrong}").contains("CANARY"));
    }
}
