//! The root key: its sources, and its two uses: to wrap tenant keys, and to prove that it belongs to a database.
//! Never written anywhere.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credvault_domain::{Random, TenantId};
use ring::hkdf::{HKDF_SHA256, Salt};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::Error;
use crate::context::Context;
use crate::envelope::{self, KeyBytes};
use crate::kdf::{KdfParameters, PassphraseKdf};
use crate::private_file::read_private;
use crate::tenant_key::{KeyVersion, TenantKey};

/// The shortest passphrase, in characters.
const MIN_PASSPHRASE_CHARS: usize = 16;

/// A configured source of the root key.
#[derive(Clone, Debug)]
pub enum RootKeySource {
    /// A file with 32 bytes in base64 or hexadecimal, not readable by the world.
    File(PathBuf),
    /// An environment variable with the same content.
    Environment(String),
    /// A passphrase, for a single person's machine.
    Passphrase(SecretString, PassphraseKdf),
}

impl RootKeySource {
    /// Reads the root key. A passphrase is stretched with the parameters that the database has stored, or with fresh
    /// ones; the caller stores those that are returned.
    ///
    /// # Errors
    /// The file or variable cannot be read, its permissions are too wide, or its content is not a key.
    pub fn load(
        &self,
        stored: Option<&KdfParameters>,
        random: &dyn Random,
    ) -> Result<(RootKey, Option<KdfParameters>), Error> {
        match self {
            Self::File(path) => {
                let failed = |source| Error::RootKeyFile { path: path.clone(), source };
                let text = read_private(path).map_err(failed)?;
                parse_key(&text, || path.display().to_string()).map(|key| (RootKey::new(key), None))
            }
            Self::Environment(name) => {
                let text =
                    Zeroizing::new(std::env::var(name).map_err(|_| Error::RootKeyVariable(name.clone()))?);
                parse_key(text.as_bytes(), || format!("variable {name}")).map(|key| (RootKey::new(key), None))
            }
            Self::Passphrase(passphrase, kdf) => {
                if passphrase.expose_secret().chars().count() < MIN_PASSPHRASE_CHARS {
                    return Err(Error::PassphraseTooShort);
                }
                let parameters = match stored {
                    Some(parameters) => parameters.clone(),
                    None => KdfParameters::generate(*kdf, random)?,
                };
                Ok((RootKey::new(parameters.derive(passphrase)?), Some(parameters)))
            }
        }
    }

    /// The kind of source, for status reports.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Environment(_) => "environment",
            Self::Passphrase(..) => "passphrase",
        }
    }
}

fn parse_key(text: &[u8], origin: impl Fn() -> String) -> Result<KeyBytes, Error> {
    let text = text.trim_ascii();
    let mut key = Box::new(Zeroizing::new([0_u8; 32]));
    let parsed = if text.len() == 64 {
        decode_hex(text, &mut key)
    } else {
        // 44 characters decode to at most 33 bytes; `decode_slice` asks for room in whole groups.
        let mut decoded = Zeroizing::new([0_u8; 48]);
        match STANDARD.decode_slice(text, decoded.as_mut_slice()) {
            Ok(32) => {
                key.copy_from_slice(decoded.get(..32).unwrap_or_default());
                Some(())
            }
            _ => None,
        }
    };
    parsed.ok_or_else(|| Error::RootKeyFormat { origin: origin() })?;
    // A placeholder or a file of zeroes: no random generator gives 32 equal bytes.
    if key.iter().all(|byte| Some(byte) == key.first()) {
        return Err(Error::RootKeyTrivial { origin: origin() });
    }
    Ok(key)
}

fn decode_hex(text: &[u8], key: &mut [u8; 32]) -> Option<()> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    for (pair, byte) in text.chunks_exact(2).zip(key.iter_mut()) {
        let &[high, low] = pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(())
}

/// The key that wraps all tenant keys. It seals nothing else but its own check value.
pub struct RootKey {
    id: u32,
    bytes: KeyBytes,
}

/// The plaintext of the check value.
const CHECK: &[u8] = b"credvault root key check";

impl RootKey {
    fn new(bytes: KeyBytes) -> Self {
        let prk = Salt::new(HKDF_SHA256, &[]).extract(bytes.as_slice());
        let mut derived = [0; 32];
        envelope::hkdf_expand(&prk, &[b"credvault/1/root id"], &mut derived);
        let [a, b, c, d, ..] = derived;
        Self { id: u32::from_be_bytes([a, b, c, d]), bytes }
    }

    /// A short public id, derived from the key. It is stored with each tenant key, to tell which root key wrapped it.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Makes the value that is stored in a new database and that only this root key opens.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn check_value(&self, random: &dyn Random) -> Result<Vec<u8>, Error> {
        envelope::seal(&self.bytes, self.id, &Context::root_check(), CHECK, random)
    }

    /// Checks that this root key made `check_value`.
    ///
    /// # Errors
    /// [`Error::RootKeyMismatch`] if another key made it.
    pub fn prove(&self, check_value: &[u8]) -> Result<(), Error> {
        match envelope::open(&self.bytes, self.id, &Context::root_check(), check_value) {
            Ok(value) if value.as_slice() == CHECK => Ok(()),
            _ => Err(Error::RootKeyMismatch),
        }
    }

    pub(crate) fn wrap(
        &self,
        tenant: &TenantId,
        key: &TenantKey,
        random: &dyn Random,
    ) -> Result<Vec<u8>, Error> {
        envelope::seal(&self.bytes, self.id, &Context::tenant_key(tenant, key.version()), key.bytes(), random)
    }

    pub(crate) fn unwrap(
        &self,
        tenant: &TenantId,
        version: KeyVersion,
        wrapped: &[u8],
    ) -> Result<TenantKey, Error> {
        let opened = envelope::open(&self.bytes, self.id, &Context::tenant_key(tenant, version), wrapped)?;
        let mut bytes = Box::new(Zeroizing::new([0; 32]));
        if opened.len() != bytes.len() {
            return Err(Error::Integrity);
        }
        bytes.copy_from_slice(&opened);
        Ok(TenantKey::new(version, bytes))
    }
}

impl std::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RootKey({:08x})", self.id)
    }
}

#[cfg(test)]
mod tests;
