//! What the files hold that the settings name: the server's certificate, trust bundles, policies, issuers' keys. Reads
//! them; what is sound for the vault is judged elsewhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use credvault_crypto::read_private;
use credvault_domain::TrustDomain;
use credvault_identity::{IssuerSettings, KeySource, PolicyFile};
use rustls::pki_types::CertificateDer;

use crate::grpc::certificates;
use crate::settings::{self, Settings};

/// The server's certificate chain and key, PEM.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ServerFiles {
    pub(super) chain: Vec<u8>,
    pub(super) key: Vec<u8>,
}

/// Each trust domain's authorities.
pub(crate) type Bundles = BTreeMap<TrustDomain, Vec<CertificateDer<'static>>>;

/// What the files hold that the settings name, or why one cannot be read.
#[derive(PartialEq)]
pub(crate) struct FileContents {
    /// The server's certificate chain, PEM.
    pub(crate) chain: Result<Vec<u8>, String>,
    /// The server's private key, PEM.
    pub(crate) key: Result<Vec<u8>, String>,
    pub(crate) bundles: Result<Bundles, String>,
    /// Each policy file's name and text.
    pub(super) policies: Result<Vec<(String, String)>, String>,
    /// The JWKS documents of the issuers that have a file, in the order of the issuers.
    pub(crate) keys: Vec<Result<Vec<u8>, String>>,
}

impl FileContents {
    pub(crate) fn read(settings: &Settings) -> Self {
        let key_file = |issuer: &IssuerSettings| match &issuer.keys {
            KeySource::File(path) => Some(read(path)),
            KeySource::Url(_) => None,
        };
        Self {
            chain: read(&settings.server.certificate),
            key: read_named(&settings.server.key, |path| Ok(read_private(path)?.to_vec())),
            bundles: bundles(&settings.identity),
            policies: policy_files(&settings.identity),
            keys: settings.identity.issuers.iter().filter_map(key_file).collect(),
        }
    }

    /// The policy files, those of folders in the order of their names.
    pub(crate) fn policies(&self) -> Result<Vec<PolicyFile>, String> {
        self.policies.as_deref().map(parsable).map_err(Clone::clone)
    }

    pub(super) fn server(&self) -> Result<ServerFiles, String> {
        Ok(ServerFiles { chain: self.chain.clone()?, key: self.key.clone()? })
    }

    /// Whether the files, the configuration file among them, still hold what they held.
    pub(crate) fn are_current(&self, settings: &Settings) -> bool {
        settings.file_is_unchanged() && *self == Self::read(settings)
    }
}

/// Reads a file. The error names it.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    read_named(path, |path| std::fs::read(path))
}

fn read_named(path: &Path, read: impl FnOnce(&Path) -> std::io::Result<Vec<u8>>) -> Result<Vec<u8>, String> {
    read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn bundles(identity: &settings::Identity) -> Result<Bundles, String> {
    let bundle = |(domain, path): (&TrustDomain, &PathBuf)| {
        let parsed =
            certificates(&read(path)?).map_err(|problem| format!("{}: {problem}", path.display()))?;
        Ok((domain.clone(), parsed))
    };
    identity.trust_domains.iter().map(bundle).collect()
}

fn policy_files(identity: &settings::Identity) -> Result<Vec<(String, String)>, String> {
    let mut files = Vec::new();
    for path in &identity.policies {
        let mut paths = vec![path.clone()];
        if path.is_dir() {
            let entries = std::fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let entries = entries.map_err(|error| format!("{}: {error}", path.display()))?;
            paths = entries.into_iter().map(|entry| entry.path()).collect();
            paths.retain(|path| path.extension().is_some_and(|extension| extension == "cedar"));
            paths.sort();
        }
        for path in paths {
            let text = String::from_utf8(read(&path)?)
                .map_err(|_| format!("{}: it is not UTF-8", path.display()))?;
            files.push((path.display().to_string(), text));
        }
    }
    Ok(files)
}

pub(super) fn parsable(files: &[(String, String)]) -> Vec<PolicyFile> {
    files.iter().map(|(name, text)| PolicyFile { name: name.clone(), text: text.clone() }).collect()
}
