//! Where root keys come from: files, variables, passphrases, key managers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credvault_domain::Random;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::envelope::KeyBytes;
use crate::kdf::{KdfParameters, PassphraseKdf};
use crate::private_file::read_private;
use crate::root_key::RootKey;
use crate::{Error, KeyManager, Keyring};

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
    /// A key manager, which keeps the key to itself.
    Managed(Arc<dyn KeyManager>),
}

/// The sources of the root keys that a process has.
#[derive(Clone, Debug)]
pub struct RootKeySources {
    /// The root key of a new database; of another one, the first of those that may be in use.
    pub main: RootKeySource,
    /// A second one: the root key that the vault is to move to, or that it comes from.
    pub other: Option<RootKeySource>,
    /// For how long a tenant key that a key manager has unwrapped is used without asking it again.
    pub lifetime: Duration,
}

impl From<RootKeySource> for RootKeySources {
    /// One root key alone, with the usual lifetime.
    fn from(main: RootKeySource) -> Self {
        Self { main, other: None, lifetime: Keyring::USUAL_LIFETIME }
    }
}

impl RootKeySource {
    /// Reads the root key; a key manager is not asked. A passphrase is stretched with the parameters that the database has
    /// stored, or with fresh ones; the caller stores those that are returned.
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
                parse_key(&text, || path.display().to_string())
                    .map(|key| (RootKey::local(key, self.kind()), None))
            }
            Self::Environment(name) => {
                let text =
                    Zeroizing::new(std::env::var(name).map_err(|_| Error::RootKeyVariable(name.clone()))?);
                parse_key(text.as_bytes(), || format!("variable {name}"))
                    .map(|key| (RootKey::local(key, self.kind()), None))
            }
            Self::Passphrase(passphrase, kdf) => {
                if passphrase.expose_secret().chars().count() < MIN_PASSPHRASE_CHARS {
                    return Err(Error::PassphraseTooShort);
                }
                let parameters = match stored {
                    Some(parameters) => parameters.clone(),
                    None => KdfParameters::generate(*kdf, random)?,
                };
                Ok((RootKey::local(parameters.derive(passphrase)?, self.kind()), Some(parameters)))
            }
            Self::Managed(manager) => Ok((RootKey::managed(Arc::clone(manager)), None)),
        }
    }

    /// The kind of source, as the database and reports name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Environment(_) => "environment",
            Self::Passphrase(..) => "passphrase",
            Self::Managed(manager) => manager.kind(),
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

#[cfg(test)]
mod tests;
