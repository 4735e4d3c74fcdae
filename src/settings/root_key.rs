//! `root_key`: where the key comes from that wraps every tenant's keys. Exactly one source. `other_root_key` is of the same
//! shape: a second one, while the vault moves from one root key to another.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use credvault_crypto::{PassphraseKdf, RootKeySource};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::problem::Problems;
use super::value::{hidden_option, resolve, word};

/// `root_key` as it was given.
#[derive(Deserialize, Serialize, Clone, Default, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct RootKeySection {
    /// A file with 32 bytes in hexadecimal or base64, readable by its owner and group only.
    pub file: Option<PathBuf>,
    /// The name of an environment variable that holds the same.
    pub environment_variable: Option<String>,
    /// A passphrase of at least 16 characters. Secret.
    #[serde(serialize_with = "hidden_option")]
    pub passphrase: Option<SecretString>,
    /// How the key of a new database is derived from the passphrase; an existing database remembers.
    #[serde(deserialize_with = "word")]
    pub kdf: Kdf,
}

/// How a key is derived from a passphrase.
#[derive(ValueEnum, Serialize, Clone, Copy, Default, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Kdf {
    /// Argon2id as RFC 9106 specifies it.
    #[default]
    Argon2id,
    /// PBKDF2 with HMAC-SHA256 (RFC 8018).
    Pbkdf2,
}

impl RootKeySection {
    pub(super) fn resolve(&mut self, base: &Path) {
        self.file.iter_mut().for_each(|path| resolve(path, base));
    }

    /// The source. Where none or several are given, which is a problem, an empty path stands in for it.
    pub(super) fn check(&self, section: &str, problems: &mut Problems) -> RootKeySource {
        let kdf = match self.kdf {
            Kdf::Argon2id => PassphraseKdf::Argon2id,
            Kdf::Pbkdf2 => PassphraseKdf::Pbkdf2,
        };
        match (&self.file, &self.environment_variable, &self.passphrase) {
            (Some(path), None, None) => RootKeySource::File(path.clone()),
            (None, Some(name), None) => RootKeySource::Environment(name.clone()),
            (None, None, Some(passphrase)) => RootKeySource::Passphrase(passphrase.clone(), kdf),
            _ => {
                let rule = format!(
                    "exactly one of {section}.file, {section}.environment_variable and {section}.passphrase must be given"
                );
                problems.refuse(section, rule);
                RootKeySource::File(PathBuf::new())
            }
        }
    }
}
