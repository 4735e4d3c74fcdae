//! The key managers among the sources of a root key: `root_key.transit`, `.aws_kms`, `.google_kms`, `.pkcs11`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::settings::problem::Problems;
use crate::settings::value::resolve;

/// A key in the engine `transit` of OpenBao or Vault.
#[derive(Deserialize, Serialize, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub struct TransitSection {
    /// The server's address: `https://…`, or `http://…` on the same machine.
    pub address: String,
    /// The namespace, if the server has namespaces.
    pub namespace: Option<String>,
    /// The authorities that its certificate may be from, in PEM; without it, those of the system.
    pub ca_file: Option<PathBuf>,
    /// Where the engine is mounted.
    #[serde(default = "transit")]
    pub mount: String,
    /// The name of the key.
    pub key: String,
    /// The method to log in with: token, approle, kubernetes or certificate.
    pub login: LoginSection,
}

/// How the vault logs in to OpenBao or Vault.
#[derive(Deserialize, Serialize, Clone, PartialEq, Eq, Debug)]
#[serde(tag = "method", rename_all = "lowercase", deny_unknown_fields)]
pub enum LoginSection {
    /// By a token in a file, such as an agent writes it.
    Token {
        /// The file with the token.
        file: PathBuf,
    },
    /// By the method `approle`.
    AppRole {
        /// Where it is mounted.
        #[serde(default = "approle")]
        mount: String,
        /// The id of the role.
        role_id: String,
        /// The file with the secret id.
        secret_id_file: PathBuf,
    },
    /// By the method `kubernetes`, or `jwt`.
    Kubernetes {
        /// Where it is mounted.
        #[serde(default = "kubernetes")]
        mount: String,
        /// The name of the role.
        role: String,
        /// The file with the pod's token.
        #[serde(default = "pod_token")]
        jwt_file: PathBuf,
    },
    /// By the method `cert`.
    Certificate {
        /// Where it is mounted.
        #[serde(default = "cert")]
        mount: String,
        /// The name of the role.
        role: Option<String>,
        /// The client's certificate, in PEM.
        certificate_file: PathBuf,
        /// Its private key, in PEM.
        key_file: PathBuf,
    },
}

/// A key in AWS KMS.
#[derive(Deserialize, Serialize, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub struct AwsKmsSection {
    /// The ARN of the key.
    pub key: String,
    /// Another endpoint, such as that of a VPC.
    pub endpoint: Option<String>,
    /// A profile of AWS's files.
    pub profile: Option<String>,
    /// A file in the format of `~/.aws/credentials`.
    pub credentials_file: Option<PathBuf>,
}

/// A key in Google Cloud KMS.
#[derive(Deserialize, Serialize, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub struct GoogleKmsSection {
    /// The key's full name: `projects/P/locations/L/keyRings/R/cryptoKeys/K`.
    pub key: String,
    /// Another endpoint than Google's.
    pub endpoint: Option<String>,
    /// A private file with a service account's key in JSON.
    pub service_account: Option<PathBuf>,
}

/// A key in a device that speaks PKCS#11.
#[derive(Deserialize, Serialize, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Pkcs11Section {
    /// The vendor's module, a shared library.
    pub module: PathBuf,
    /// The label of the token.
    pub token: String,
    /// A private file with the PIN.
    pub pin_file: PathBuf,
    /// The label of the key.
    pub key: String,
    /// Whether the token makes the IVs, as some devices demand.
    #[serde(default)]
    pub token_makes_iv: bool,
}

/// The settings of a key manager.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ManagerSection {
    /// The engine transit of OpenBao or Vault.
    Transit(TransitSection),
    /// A key in AWS KMS.
    AwsKms(AwsKmsSection),
    /// A key in Google Cloud KMS.
    GoogleKms(GoogleKmsSection),
    /// A device that speaks PKCS#11.
    Pkcs11(Pkcs11Section),
}

impl ManagerSection {
    /// The setting's name within its section.
    pub fn setting(&self) -> &'static str {
        match self {
            Self::Transit(_) => "transit",
            Self::AwsKms(_) => "aws_kms",
            Self::GoogleKms(_) => "google_kms",
            Self::Pkcs11(_) => "pkcs11",
        }
    }

    /// What the key manager itself does not check before its first use.
    pub(super) fn check(&self, section: &str, problems: &mut Problems) {
        if let Self::AwsKms(aws) = self
            && !(aws.key.starts_with("arn:") && aws.key.contains(":key/"))
        {
            let rule = "must be the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID: an alias can be moved to another key";
            problems.refuse(&format!("{section}.aws_kms.key"), rule);
        }
    }
}

impl TransitSection {
    pub(super) fn resolve(&mut self, base: &Path) {
        self.ca_file.iter_mut().for_each(|path| resolve(path, base));
        self.login.resolve(base);
    }
}

impl LoginSection {
    pub(in crate::settings) fn resolve(&mut self, base: &Path) {
        match self {
            Self::Token { file } => resolve(file, base),
            Self::AppRole { secret_id_file, .. } => resolve(secret_id_file, base),
            Self::Kubernetes { jwt_file, .. } => resolve(jwt_file, base),
            Self::Certificate { certificate_file, key_file, .. } => {
                resolve(certificate_file, base);
                resolve(key_file, base);
            }
        }
    }
}

fn transit() -> String {
    "transit".to_owned()
}

fn approle() -> String {
    "approle".to_owned()
}

fn kubernetes() -> String {
    "kubernetes".to_owned()
}

fn cert() -> String {
    "cert".to_owned()
}

fn pod_token() -> PathBuf {
    "/var/run/secrets/kubernetes.io/serviceaccount/token".into()
}
