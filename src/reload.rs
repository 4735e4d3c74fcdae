//! Files that change while we serve: the server's certificate, trust bundles, policies, issuers' keys. What is new and
//! good is used from the next handshake or call on, once two looks have found the same. What is broken is logged and counted, and the old stays.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use credvault_crypto::{RootKeySource, SystemRandom};
use credvault_domain::TrustDomain;
use credvault_identity::{Identity, Issuer, KeySource, Policies, PolicyFile};
use rustls::pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;

use crate::files::read_private;
use crate::server::{Tls, certificates};
use crate::settings::{IdentitySection, Settings};

/// The moment after which a file that is being written shows something else.
const SETTLE: Duration = Duration::from_millis(500);

/// The server's certificate chain and key, PEM.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ServerFiles {
    pub(crate) chain: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

/// Reads a file. The error names it.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

pub(crate) fn server_files(settings: &Settings) -> Result<ServerFiles, String> {
    for (key, path) in
        [("server.certificate", &settings.server.certificate), ("server.key", &settings.server.key)]
    {
        if path.as_os_str().is_empty() {
            return Err(format!("{key} must be given"));
        }
    }
    let key = &settings.server.key;
    let failed = |error: std::io::Error| format!("{}: {error}", key.display());
    Ok(ServerFiles { chain: read(&settings.server.certificate)?, key: read_private(key).map_err(failed)? })
}

pub(crate) type Bundles = BTreeMap<TrustDomain, Vec<CertificateDer<'static>>>;

/// Each trust domain's authorities.
pub(crate) fn bundles(identity: &IdentitySection) -> Result<Bundles, String> {
    let mut bundles = Bundles::new();
    for (domain, path) in &identity.trust_domains {
        // A text that is no domain may be anything.
        let parsed =
            TrustDomain::parse(domain).map_err(|rule| format!("a key of identity.trust_domains: {rule}"))?;
        let pem = read(path)?;
        bundles
            .insert(parsed, certificates(&pem).map_err(|problem| format!("{}: {problem}", path.display()))?);
    }
    Ok(bundles)
}

/// The policy files, those of folders in the order of their names.
pub(crate) fn policy_files(identity: &IdentitySection) -> Result<Vec<PolicyFile>, String> {
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
            files.push(PolicyFile { name: path.display().to_string(), text });
        }
    }
    Ok(files)
}

/// What was last tried of one kind of file, so that only a change is tried; and what it was when it was looked at last,
/// so that only what two looks agree on is tried: half of a file may be sound, and lack the last of its policies.
struct Part<M> {
    name: &'static str,
    tried: Result<M, String>,
    seen: Option<Result<M, String>>,
}

impl<M: PartialEq> Part<M> {
    fn new(name: &'static str, tried: Result<M, String>) -> Self {
        Self { name, tried, seen: None }
    }

    /// Tries what was `read` if it is new and was the same at the last look. Tells whether another look is wanted.
    fn check(&mut self, read: Result<M, String>, apply: impl FnOnce(&M) -> Result<(), String>) -> bool {
        if read == self.tried {
            self.seen = None;
            return false;
        }
        if self.seen.as_ref() != Some(&read) {
            self.seen = Some(read);
            return true;
        }
        let result = read.as_ref().map_err(Clone::clone).and_then(apply);
        let outcome = if result.is_ok() { "used" } else { "refused" };
        metrics::counter!("credvault_reloads_total", "what" => self.name, "outcome" => outcome).increment(1);
        match result {
            Ok(()) => tracing::info!(what = self.name, "changed files are used from now on"),
            Err(error) => {
                tracing::error!(what = self.name, error, "changed files are broken; the old ones stay in use")
            }
        }
        (self.tried, self.seen) = (read, None);
        false
    }
}

/// What the files hold. Read before they are used for the first time, so that a change in between is noticed.
#[derive(PartialEq)]
pub(crate) struct Seen {
    server: Result<ServerFiles, String>,
    bundles: Result<Bundles, String>,
    policies: Result<Vec<(String, String)>, String>,
    keys: Result<Vec<Vec<u8>>, String>,
}

impl Seen {
    pub(crate) fn read(settings: &Settings) -> Self {
        Self {
            server: server_files(settings),
            bundles: bundles(&settings.identity),
            policies: policy_files(&settings.identity).map(pairs),
            keys: key_files(&settings.identity),
        }
    }

    /// Whether the files, that of the settings among them, still hold what they held.
    pub(crate) fn is_current(&self, settings: &Settings) -> bool {
        settings.are_unchanged() && *self == Self::read(settings)
    }
}

/// Watches all files.
pub(crate) struct Reloader {
    settings: Arc<Settings>,
    identity: Arc<Identity>,
    tls: Arc<Tls>,
    server: Part<ServerFiles>,
    bundles: Part<Bundles>,
    policies: Part<Vec<(String, String)>>,
    keys: Part<Vec<Vec<u8>>>,
    root: RootKeySource,
    root_id: u32,
    root_key: Part<u32>,
}

impl Reloader {
    /// Watches what `settings` name for anything else than what was `seen`, and `root` for another key than that with
    /// the id `root_id`, which is the one in use.
    pub(crate) fn new(
        settings: Arc<Settings>,
        identity: Arc<Identity>,
        tls: Arc<Tls>,
        root: RootKeySource,
        root_id: u32,
        seen: Seen,
    ) -> Self {
        Self {
            settings,
            identity,
            tls,
            server: Part::new("certificate", seen.server),
            bundles: Part::new("bundles", seen.bundles),
            policies: Part::new("policies", seen.policies),
            keys: Part::new("issuer keys", seen.keys),
            root,
            root_id,
            root_key: Part::new("root key", Ok(root_id)),
        }
    }

    /// Looks at the files. Tells whether another look is wanted soon.
    fn check(&mut self) -> bool {
        let Self { settings, identity, tls, server, bundles, policies, keys, root, root_id, root_key } = self;
        let now = Seen::read(settings);
        let mut again = server.check(now.server, |files| tls.replace(&files.chain, &files.key));
        again |= bundles.check(now.bundles, |bundles| {
            identity.trust().replace(bundles).map_err(|error| error.to_string())
        });
        again |= policies.check(now.policies, |files| {
            let file =
                |(name, text): &(String, String)| PolicyFile { name: name.clone(), text: text.clone() };
            let files: Vec<_> = files.iter().map(file).collect();
            identity.replace_policies(Policies::parse(&files).map_err(|error| error.to_string())?);
            Ok(())
        });
        again |= keys.check(now.keys, |documents| {
            let from_file = |issuer: &&Issuer| matches!(issuer.settings().keys, KeySource::File(_));
            for (issuer, document) in identity.issuers().iter().filter(from_file).zip(documents) {
                issuer
                    .use_document(document)
                    .map_err(|error| format!("{}: {error}", issuer.settings().name))?;
            }
            Ok(())
        });
        // The key in use stays in use: another one opens nothing, and would keep the next start from its database.
        if let RootKeySource::File(path) = &*root {
            let loaded = root.load(None, &SystemRandom).map(|(key, _)| key.id());
            again |= root_key.check(loaded.map_err(|error| error.to_string()), |id| {
                let other = format!("{}: it holds another root key than the one in use", path.display());
                if id == root_id { Ok(()) } else { Err(other) }
            });
        }
        again
    }

    /// Looks at the files every `interval`, and at once on SIGHUP. What has changed is used if a second look, a moment later,
    /// finds the same.
    pub(crate) async fn run(mut self, interval: Duration, stop: CancellationToken) {
        let mut hangup = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) {
            Ok(hangup) => hangup,
            Err(error) => return tracing::error!(%error, "changed files will not be noticed"),
        };
        let mut wait = interval;
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = hangup.recv() => {}
                () = stop.cancelled() => return,
            }
            // Files are read in a thread that may block.
            let checked = tokio::task::spawn_blocking(move || {
                let again = self.check();
                (self, again)
            });
            match checked.await {
                Ok((reloader, again)) => {
                    self = reloader;
                    wait = if again { SETTLE.min(interval) } else { interval };
                }
                Err(error) => return tracing::error!(%error, "changed files are not noticed any more"),
            }
        }
    }
}

fn pairs(files: Vec<PolicyFile>) -> Vec<(String, String)> {
    files.into_iter().map(|file| (file.name, file.text)).collect()
}

/// The JWKS files of the issuers that have one, in their order.
fn key_files(identity: &IdentitySection) -> Result<Vec<Vec<u8>>, String> {
    identity.issuers.iter().filter_map(|issuer| issuer.jwks_file.as_deref()).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_being_written_is_not_used() {
        let policies = "permit (a);\nforbid (b);\nforbid (c);\n";
        let mut part = Part::new("test", Ok(String::new()));
        let mut used = Vec::new();
        // Every half of it is seen once, however long the writer takes between them.
        for end in 1..policies.len() {
            assert!(part.check(Ok(policies[..end].to_owned()), |text| {
                used.push(text.clone());
                Ok(())
            }));
        }
        for look in 0..5 {
            let again = part.check(Ok(policies.to_owned()), |text| {
                used.push(text.clone());
                Ok(())
            });
            assert_eq!(again, look == 0);
        }
        assert_eq!(used, [policies]);
        // A file that is away for a moment, while it is replaced, is no news either.
        assert!(part.check(Err("no such file".to_owned()), |_| Ok(())));
        assert!(!part.check(Ok(policies.to_owned()), |_| Err("it is in use".to_owned())));
        assert_eq!(part.tried.as_deref(), Ok(policies));
    }
}
