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

/// A file that cannot be read.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// The key of the setting that names it.
    pub(crate) key: String,
    /// Which file it is and why.
    pub(crate) problem: String,
}

/// What files hold, or those that cannot be read.
pub(crate) type Read<T> = Result<T, Vec<Unreadable>>;

/// The same with all that cannot be read in one text.
pub(super) fn in_one_text<T>(read: Read<T>) -> Result<T, String> {
    read.map_err(|all| all.into_iter().map(|one| one.problem).collect::<Vec<_>>().join("; "))
}

/// What the files hold that the settings name, or why one cannot be read.
#[derive(PartialEq)]
pub(crate) struct FileContents {
    /// The server's certificate chain, PEM.
    pub(crate) chain: Result<Vec<u8>, String>,
    /// The server's private key, PEM.
    pub(crate) key: Result<Vec<u8>, String>,
    pub(crate) bundles: Read<Bundles>,
    /// Each policy file's name and text; those of a folder in the order of their names.
    pub(crate) policies: Read<Vec<(String, String)>>,
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

fn bundles(identity: &settings::Identity) -> Read<Bundles> {
    let bundle = |(domain, path): (&TrustDomain, &PathBuf)| {
        let certificates = read(path)
            .and_then(|pem| certificates(&pem).map_err(|problem| format!("{}: {problem}", path.display())));
        (format!("identity.trust_domains.{domain}"), certificates.map(|found| (domain.clone(), found)))
    };
    Ok(all(identity.trust_domains.iter().map(bundle))?.into_iter().collect())
}

fn policy_files(identity: &settings::Identity) -> Read<Vec<(String, String)>> {
    let paths = identity.policies.iter().enumerate();
    let files = paths.map(|(index, path)| (format!("identity.policies[{index}]"), policies_at(path)));
    Ok(all(files)?.concat())
}

/// All values, or every problem with its key.
fn all<T>(read: impl Iterator<Item = (String, Result<T, String>)>) -> Read<Vec<T>> {
    let (mut values, mut unreadable) = (Vec::new(), Vec::new());
    for (key, result) in read {
        match result {
            Ok(value) => values.push(value),
            Err(problem) => unreadable.push(Unreadable { key, problem }),
        }
    }
    if unreadable.is_empty() { Ok(values) } else { Err(unreadable) }
}

/// Name and text of a policy file, or of every policy file in a folder. The error names each file that cannot be read.
fn policies_at(path: &Path) -> Result<Vec<(String, String)>, String> {
    let mut paths = vec![path.to_owned()];
    if path.is_dir() {
        let entries = std::fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let entries = entries.map_err(|error| format!("{}: {error}", path.display()))?;
        paths = entries.into_iter().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "cedar"));
        paths.sort();
    }
    let (mut files, mut unreadable) = (Vec::new(), Vec::new());
    for path in paths {
        let text = read(&path).and_then(|text| {
            String::from_utf8(text).map_err(|_| format!("{}: it is not UTF-8", path.display()))
        });
        match text {
            Ok(text) => files.push((path.display().to_string(), text)),
            Err(problem) => unreadable.push(problem),
        }
    }
    if unreadable.is_empty() { Ok(files) } else { Err(unreadable.join("; ")) }
}

/// Policy files in the form in which they are parsed.
pub(crate) fn parsable(files: &[(String, String)]) -> Vec<PolicyFile> {
    files.iter().map(|(name, text)| PolicyFile { name: name.clone(), text: text.clone() }).collect()
}
