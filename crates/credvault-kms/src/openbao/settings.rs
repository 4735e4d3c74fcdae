//! Where OpenBao is and how the vault logs in there, as an operator says it.

use std::path::PathBuf;

use crate::failure::Failure;

/// Where OpenBao or Vault is, and how the vault logs in there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenBaoSettings {
    /// Its address, such as `https://openbao.internal:8200`. Plain `http` only on this machine.
    pub address: String,
    /// The namespace, if it has namespaces.
    pub namespace: Option<String>,
    /// The authorities that its certificate may be from, in PEM; without it, those of the system.
    pub ca_file: Option<PathBuf>,
    /// How the vault logs in.
    pub login: OpenBaoLogin,
}

/// How the vault logs in. The files are read anew at every login, so that they can be replaced at any time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OpenBaoLogin {
    /// By a token that is in a file, such as OpenBao's agent writes it. It must be permitted to look itself up, as the
    /// policy `default` permits.
    TokenFile(PathBuf),
    /// By the method `approle`.
    AppRole {
        /// Where the method is mounted, usually `approle`.
        mount: String,
        /// The id of the role, which is not secret.
        role_id: String,
        /// The file with the secret id.
        secret_id_file: PathBuf,
    },
    /// By the method `kubernetes`, or `jwt`, whose login is the same.
    Kubernetes {
        /// Where the method is mounted, usually `kubernetes`.
        mount: String,
        /// The name of the role there.
        role: String,
        /// The file with the pod's token.
        jwt_file: PathBuf,
    },
    /// By the method `cert`.
    Certificate {
        /// Where the method is mounted, usually `cert`.
        mount: String,
        /// The name of the role there; without it, the first one that fits.
        role: Option<String>,
        /// The client's certificate and what is between it and its authority, in PEM.
        certificate_file: PathBuf,
        /// Its private key, in PEM.
        key_file: PathBuf,
    },
}

impl OpenBaoLogin {
    /// Where the method is mounted, if it is one that is mounted.
    pub(super) fn mount(&self) -> Option<&str> {
        match self {
            Self::TokenFile(_) => None,
            Self::AppRole { mount, .. }
            | Self::Kubernetes { mount, .. }
            | Self::Certificate { mount, .. } => Some(mount),
        }
    }
}

/// Checks a name that becomes part of a path: parts of letters, digits, `-`, `_` and `.`, with `/` between them.
///
/// # Errors
/// [`Failure::Settings`]: it is none.
pub(crate) fn check_path(what: &str, path: &str) -> Result<(), Failure> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_part = |part: &str| part.chars().all(fits) && !part.is_empty() && !part.starts_with('.');
    if path.len() <= 200 && path.split('/').all(is_part) {
        return Ok(());
    }
    let rule = "takes at most 200 letters, digits, '-', '_' and '.', with '/' between parts";
    Err(Failure::Settings(format!("the {what} {rule}")))
}
