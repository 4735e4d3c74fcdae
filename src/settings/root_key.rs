//! `root_key`: where the key comes from that wraps every tenant's keys. Exactly one source. `other_root_key` is of the same
//! shape: a second one, while the vault moves from one root key to another.

pub(crate) mod managers;

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use credvault_crypto::{PassphraseKdf, RootKeySource};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use self::managers::{AwsKmsSection, GoogleKmsSection, ManagerSection, Pkcs11Section, TransitSection};
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
    /// A key in the engine `transit` of OpenBao or Vault.
    pub transit: Option<TransitSection>,
    /// A key in AWS KMS.
    pub aws_kms: Option<AwsKmsSection>,
    /// A key in Google Cloud KMS.
    pub google_kms: Option<GoogleKmsSection>,
    /// A key in a device that speaks PKCS#11.
    pub pkcs11: Option<Pkcs11Section>,
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

/// Where a root key comes from.
#[derive(Clone, Debug)]
pub enum RootKey {
    /// From a source on this machine.
    Local(RootKeySource),
    /// From a key manager, which is reached when the vault starts.
    Managed(ManagerSection),
}

/// Where the root keys come from.
#[derive(Clone, Debug)]
pub struct RootKeys {
    /// The source of the section `root_key`.
    pub main: RootKey,
    /// The source of the section `other_root_key`.
    pub other: Option<RootKey>,
}

impl RootKeys {
    /// The sources with the names of their sections.
    pub fn sections(&self) -> impl Iterator<Item = (&'static str, &RootKey)> {
        std::iter::once(("root_key", &self.main))
            .chain(self.other.as_ref().map(|other| ("other_root_key", other)))
    }
}

impl RootKeySection {
    pub(super) fn resolve(&mut self, base: &Path) {
        self.file.iter_mut().for_each(|path| resolve(path, base));
        self.transit.iter_mut().for_each(|transit| transit.resolve(base));
        let aws = self.aws_kms.iter_mut().filter_map(|aws| aws.credentials_file.as_mut());
        let google = self.google_kms.iter_mut().filter_map(|google| google.service_account.as_mut());
        aws.chain(google).for_each(|path| resolve(path, base));
        if let Some(pkcs11) = &mut self.pkcs11 {
            resolve(&mut pkcs11.module, base);
            resolve(&mut pkcs11.pin_file, base);
        }
    }

    /// Whether a source is given.
    pub(super) fn is_given(&self) -> bool {
        let local = self.file.is_some() || self.environment_variable.is_some() || self.passphrase.is_some();
        let managed = self.transit.is_some() || self.aws_kms.is_some() || self.google_kms.is_some();
        local || managed || self.pkcs11.is_some()
    }

    /// The source. Where none or several are given, which is a problem, an empty path stands in for it.
    pub(super) fn check(&self, section: &str, problems: &mut Problems) -> RootKey {
        let kdf = match self.kdf {
            Kdf::Argon2id => PassphraseKdf::Argon2id,
            Kdf::Pbkdf2 => PassphraseKdf::Pbkdf2,
        };
        let local = [
            self.file.clone().map(RootKeySource::File),
            self.environment_variable.clone().map(RootKeySource::Environment),
            self.passphrase.clone().map(|passphrase| RootKeySource::Passphrase(passphrase, kdf)),
        ];
        let managed = [
            self.transit.clone().map(ManagerSection::Transit),
            self.aws_kms.clone().map(ManagerSection::AwsKms),
            self.google_kms.clone().map(ManagerSection::GoogleKms),
            self.pkcs11.clone().map(ManagerSection::Pkcs11),
        ];
        for manager in managed.iter().flatten() {
            manager.check(section, problems);
        }
        let mut given = local.into_iter().flatten().map(RootKey::Local);
        let mut given_managed = managed.into_iter().flatten().map(RootKey::Managed);
        let (first, second) = (given.next().or_else(|| given_managed.next()), given.next());
        match (first, second.or_else(|| given_managed.next())) {
            (Some(only), None) => only,
            _ => {
                let rule = "must have exactly one of file, environment_variable, passphrase, transit, aws_kms, google_kms \
                            and pkcs11";
                problems.refuse(section, rule);
                RootKey::Local(RootKeySource::File(PathBuf::new()))
            }
        }
    }
}
