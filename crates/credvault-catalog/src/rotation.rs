//! How the credential of a mode is replaced by another one at the provider: the call that makes a new key, how the old one
//! ends, and how often that is advised. Nothing is sent here.

use std::collections::BTreeMap;
use std::time::Duration;

use credvault_domain::{FieldName, SecretFields, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::call::Call;
use crate::condition::{Condition, is_success};
use crate::lifetime::Lifetime;
use crate::path::Path;
use crate::refusal::RefusalKind;
use crate::revocation::RevocationCall;
use crate::template::Template;

/// The most characters of the id of a key.
const MAX_KEY_ID: usize = 128;

/// How the credential of a mode is replaced.
#[derive(Debug)]
pub struct KeyRotation {
    /// After how many days the provider, or common practice, advises to replace it.
    pub rotate_after_days: Option<u32>,
    /// How another key is made, if the provider has a call for that.
    pub mint: Option<Mint>,
}

/// How another key is made, and how the old one ends.
#[derive(Debug)]
pub struct Mint {
    /// The call that makes it.
    pub call: Call,
    /// How the key ends that was replaced.
    pub end: OldKeyEnd,
    /// The call that revokes the key that was replaced.
    pub revoke: Option<RevocationCall>,
    /// The call that revokes a new key that is not used.
    pub discard: Option<RevocationCall>,
    /// How long the provider may refuse the new key after it was made.
    pub usable_after: Duration,
    pub(crate) success: Vec<Condition>,
    pub(crate) fields: BTreeMap<FieldName, Path>,
    pub(crate) expires_in: Option<Path>,
    pub(crate) expires_at: Option<Path>,
    pub(crate) key_id: Option<Template>,
    pub(crate) account: Option<Template>,
}

/// How a key ends that was replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OldKeyEnd {
    /// The vault revokes it after this time.
    Revoked(Duration),
    /// The provider ends it by itself after this time.
    ByItself(Duration),
    /// It ends when the new one is made.
    AtOnce,
}

/// A key that a provider has made.
#[derive(Debug)]
pub struct MintedFields {
    /// The secret fields that are new.
    pub fields: SecretFields,
    /// When the key ends, if the answer says so.
    pub expires: Option<Timestamp>,
}

impl Mint {
    /// Reads the answer to the call, which was sent at `sent`.
    ///
    /// # Errors
    /// The kind of refusal, if the answer has no new key. For a status of 2xx a key may have been made all the same.
    pub fn read(&self, status: u16, body: &Value, sent: Timestamp) -> Result<MintedFields, RefusalKind> {
        let refused = || RefusalKind::of_status(status, !body.is_null());
        if !is_success(&self.success, status, body) {
            return Err(refused());
        }
        let mut fields = SecretFields::default();
        for (name, path) in &self.fields {
            let value = path.text(body).ok_or_else(refused)?;
            fields.set(name.clone(), value.into());
        }
        let lifetime = match (&self.expires_at, &self.expires_in) {
            (Some(path), _) => Lifetime::of_instant(path.of(body), sent),
            (None, Some(path)) => Lifetime::of_seconds(path.of(body)),
            (None, None) => Lifetime::Unnamed,
        };
        Ok(MintedFields { fields, expires: lifetime.named().map(|lifetime| sent.after(lifetime)) })
    }

    /// Whether a new key is tested before it serves: there is one to fall back to.
    pub fn is_tested(&self) -> bool {
        self.end != OldKeyEnd::AtOnce
    }

    /// The names of the fields that a new key changes.
    pub fn field_names(&self) -> Vec<FieldName> {
        self.fields.keys().cloned().collect()
    }

    /// The call that ends a key: one that was replaced, or a new one that is not used.
    pub fn end_call(&self, replaced: bool) -> Option<&RevocationCall> {
        if replaced { self.revoke.as_ref() } else { self.discard.as_ref().or(self.revoke.as_ref()) }
    }

    /// Whether the calls that end keys say which one. Where they do not, an account has one other key at most, and no key may
    /// be made while one has still to end: a repeated call would end the newer one.
    pub fn names_keys(&self) -> bool {
        [&self.revoke, &self.discard].into_iter().flatten().all(RevocationCall::names_key)
    }

    /// For how long the vault lets the key before live beside another one.
    pub fn overlap(&self) -> Duration {
        match self.end {
            OldKeyEnd::Revoked(overlap) => overlap,
            OldKeyEnd::ByItself(_) | OldKeyEnd::AtOnce => Duration::ZERO,
        }
    }

    /// After how long the provider ends the key before by itself, once another one was made; `None` if it does not.
    pub fn old_key_life(&self) -> Option<Duration> {
        match self.end {
            OldKeyEnd::Revoked(_) => None,
            OldKeyEnd::ByItself(time) => Some(time),
            OldKeyEnd::AtOnce => Some(Duration::ZERO),
        }
    }
}

/// The id of a key, if it can stand in the path of a URL as it is.
pub(crate) fn plain_key_id(id: &SecretString) -> Option<String> {
    let text = id.expose_secret();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | ':');
    let fits = (1..=MAX_KEY_ID).contains(&text.len()) && text.chars().all(plain);
    (fits && !text.chars().all(|c| c == '.')).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_would_change_the_path_of_a_url_is_none() {
        for id in ["SK0123", "a-b_c.d~e", "10", "urn:key:1"] {
            assert_eq!(plain_key_id(&id.into()).as_deref(), Some(id));
        }
        for id in ["", ".", "..", "a/b", "a?b", "a#b", "a%2fb", "a b", &"x".repeat(129)] {
            assert_eq!(plain_key_id(&id.to_owned().into()), None, "{id}");
        }
    }
}
