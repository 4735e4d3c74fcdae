//! Opens what the other system's program sealed, with its key.
//!
//! ```text
//! Fluxori, Kustomer   key = the 32 characters of ENCRYPTION_KEY as they are (UTF-8)
//! KPI ETL             key = PBKDF2(user id, salt, 100,000 rounds, SHA-256), the salt being the row's, or else
//!                     ENCRYPTION_KEY_SALT; where the row has one, the password is the user id and ENCRYPTION_KEY_SALT
//! value               AES-256-GCM without associated data
//! ```

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use credvault_crypto::{ForeignError, ForeignKey, Opened, Pbkdf2Hash};
use secrecy::{ExposeSecret as _, SecretString};

use crate::layout::{Encoding, Layout, Parts};

/// How many rounds of PBKDF2 KPI ETL has.
const KPI_ETL_ROUNDS: NonZeroU32 = NonZeroU32::new(100_000).expect("it is not zero");

/// How a key is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyForm {
    /// Its bytes, in an encoding.
    Bytes(Encoding),
    /// The SHA-256 of a text.
    Sha256,
}

/// Where the salt of a derivation comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Salt {
    /// The row's column, if it has one, else the program's secret.
    RowOrSecret(Encoding),
    /// The program's secret, whatever the row has.
    Secret,
    /// The user's id; the secret is the password.
    User,
}

/// Why a value is not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UnsealError {
    /// The value is not of the layout.
    #[error("it is not of the layout that --layout names")]
    Layout,
    /// The row has no user, from whom the key is derived.
    #[error("the row names no user, whose key it is sealed under")]
    NoUser,
    /// The row's salt is not written as it should be.
    #[error("its salt is not in the encoding of --salt-encoding")]
    Salt,
    /// The key or the value is wrong.
    #[error("{0}, or --layout names another order of iv, tag and ciphertext")]
    Foreign(#[from] ForeignError),
}

#[derive(Debug)]
enum Key {
    Shared(ForeignKey),
    OfUser { hash: Pbkdf2Hash, secret: SecretString, salt: Salt, derived: Derived },
}

/// How many derived keys are kept, about 100 bytes each. Then all of them are forgotten.
const MAX_DERIVED: usize = 10_000;

/// Keys that were derived, by the hash of password and salt: a derivation takes longer than all else that a row needs, and
/// a user has many rows.
#[derive(Default)]
struct Derived(Mutex<HashMap<[u8; 32], Arc<ForeignKey>>>);

impl Derived {
    fn key(&self, hash: Pbkdf2Hash, password: &[u8], salt: &[u8]) -> Arc<ForeignKey> {
        let length = (password.len() as u64).to_be_bytes();
        let place = credvault_crypto::sha256(&[&length, password, salt]);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = known.get(&place) {
            return Arc::clone(key);
        }
        if known.len() >= MAX_DERIVED {
            known.clear();
        }
        let key = Arc::new(ForeignKey::derive(hash, KPI_ETL_ROUNDS, password, salt));
        known.insert(place, Arc::clone(&key));
        key
    }
}

impl std::fmt::Debug for Derived {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Derived").finish_non_exhaustive()
    }
}

/// Opens values of one system.
#[derive(Debug)]
pub struct Unsealer {
    layout: Layout,
    key: Key,
}

impl Unsealer {
    /// With a key that the whole system shares.
    ///
    /// # Errors
    /// The key is not written in this form, or has not 32 bytes.
    pub fn shared(layout: Layout, key: &SecretString, form: KeyForm) -> Result<Self, ForeignError> {
        let text = key.expose_secret();
        let bytes = match form {
            KeyForm::Bytes(encoding) => Opened::new(encoding.decode(text).ok_or(ForeignError::KeyLength)?),
            KeyForm::Sha256 => Opened::new(credvault_crypto::sha256(&[text.as_bytes()]).to_vec()),
        };
        Ok(Self { layout, key: Key::Shared(ForeignKey::from_bytes(&bytes)?) })
    }

    /// With a key for each user, which is derived from the user's id and the program's secret.
    pub fn of_users(layout: Layout, secret: SecretString, hash: Pbkdf2Hash, salt: Salt) -> Self {
        Self { layout, key: Key::OfUser { hash, secret, salt, derived: Derived::default() } }
    }

    /// Whether a text has the layout of a sealed value.
    pub(crate) fn fits(&self, text: &str) -> bool {
        self.layout.take_apart(text).is_some_and(|parts| parts.tag.len() == 16)
    }

    /// Opens a value that stands in one column.
    pub(crate) fn open(
        &self,
        text: &str,
        user: Option<&str>,
        salt: Option<&str>,
    ) -> Result<Opened, UnsealError> {
        let parts = self.layout.take_apart(text).ok_or(UnsealError::Layout)?;
        self.open_parts(&parts, user, salt)
    }

    /// Opens a value whose parts stand in columns of their own.
    pub(crate) fn open_columns(
        &self,
        columns: [&str; 3],
        user: Option<&str>,
        salt: Option<&str>,
    ) -> Result<Opened, UnsealError> {
        let [nonce, tag, ciphertext] = columns.map(|text| self.layout.encoding.decode(text));
        let parts = nonce.zip(tag).zip(ciphertext);
        let ((nonce, tag), ciphertext) = parts.ok_or(UnsealError::Layout)?;
        self.open_parts(&Parts { nonce, tag, ciphertext }, user, salt)
    }

    fn open_parts(
        &self,
        parts: &Parts,
        user: Option<&str>,
        row_salt: Option<&str>,
    ) -> Result<Opened, UnsealError> {
        let Parts { nonce, tag, ciphertext } = parts;
        match &self.key {
            Key::Shared(key) => Ok(key.open(nonce, ciphertext, tag)?),
            Key::OfUser { hash, secret, salt, derived } => {
                let user = user.ok_or(UnsealError::NoUser)?;
                let (password, salt) = derivation(user, secret.expose_secret(), *salt, row_salt)?;
                Ok(derived.key(*hash, &password, &salt).open(nonce, ciphertext, tag)?)
            }
        }
    }
}

/// Password and salt of a user's key.
fn derivation(
    user: &str,
    secret: &str,
    salt: Salt,
    row_salt: Option<&str>,
) -> Result<(Opened, Opened), UnsealError> {
    let bytes = |text: &str| Opened::new(text.as_bytes().to_vec());
    match (salt, row_salt) {
        (Salt::RowOrSecret(encoding), Some(row)) => {
            let salt = encoding.decode(row).ok_or(UnsealError::Salt)?;
            Ok((Opened::new([user, secret].concat().into_bytes()), Opened::new(salt)))
        }
        (Salt::RowOrSecret(_), None) | (Salt::Secret, _) => Ok((bytes(user), bytes(secret))),
        (Salt::User, _) => Ok((bytes(secret), bytes(user))),
    }
}
