//! Files that change while we serve: the server's certificate, trust bundles, policies, issuers' keys. What is new and
//! good is used from the next handshake or call on. What is broken is logged and counted, and the old stays.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use credvault_domain::TrustDomain;
use credvault_identity::{Identity, Issuer, KeySource, Policies, PolicyFile};
use rustls::pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;

use crate::server::{Tls, certificates};
use crate::settings::{IdentitySection, Settings};

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
    Ok(ServerFiles { chain: read(&settings.server.certificate)?, key: read(&settings.server.key)? })
}

pub(crate) type Bundles = BTreeMap<TrustDomain, Vec<CertificateDer<'static>>>;

/// Each trust domain's authorities.
pub(crate) fn bundles(identity: &IdentitySection) -> Result<Bundles, String> {
    let mut bundles = Bundles::new();
    for (domain, path) in &identity.trust_domains {
        let parsed =
            TrustDomain::parse(domain).map_err(|rule| format!("identity.trust_domains.{domain}: {rule}"))?;
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

/// What was last tried of one kind of file, so that only a change is tried.
struct Part<M> {
    name: &'static str,
    tried: Result<M, String>,
}

impl<M: PartialEq> Part<M> {
    fn check(&mut self, read: Result<M, String>, apply: impl FnOnce(&M) -> Result<(), String>) {
        if read == self.tried {
            return;
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
        self.tried = read;
    }
}

/// What the files hold. Read before they are used for the first time, so that a change in between is noticed.
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
}

impl Reloader {
    /// Watches what `settings` name for anything else than what was `seen`.
    pub(crate) fn new(settings: Arc<Settings>, identity: Arc<Identity>, tls: Arc<Tls>, seen: Seen) -> Self {
        let server = Part { name: "certificate", tried: seen.server };
        let bundles = Part { name: "bundles", tried: seen.bundles };
        let policies = Part { name: "policies", tried: seen.policies };
        let keys = Part { name: "issuer keys", tried: seen.keys };
        Self { settings, identity, tls, server, bundles, policies, keys }
    }

    fn check(&mut self) {
        let Self { settings, identity, tls, server, bundles, policies, keys } = self;
        let now = Seen::read(settings);
        server.check(now.server, |files| tls.replace(&files.chain, &files.key));
        bundles.check(now.bundles, |bundles| {
            identity.trust().replace(bundles).map_err(|error| error.to_string())
        });
        policies.check(now.policies, |files| {
            let file =
                |(name, text): &(String, String)| PolicyFile { name: name.clone(), text: text.clone() };
            let files: Vec<_> = files.iter().map(file).collect();
            identity.replace_policies(Policies::parse(&files).map_err(|error| error.to_string())?);
            Ok(())
        });
        keys.check(now.keys, |documents| {
            let from_file = |issuer: &&Issuer| matches!(issuer.settings().keys, KeySource::File(_));
            for (issuer, document) in identity.issuers().iter().filter(from_file).zip(documents) {
                issuer
                    .use_document(document)
                    .map_err(|error| format!("{}: {error}", issuer.settings().name))?;
            }
            Ok(())
        });
    }

    /// Looks at the files every `interval`, and at once on SIGHUP.
    pub(crate) async fn run(mut self, interval: Duration, stop: CancellationToken) {
        let mut hangup = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) {
            Ok(hangup) => hangup,
            Err(error) => return tracing::error!(%error, "changed files will not be noticed"),
        };
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = hangup.recv() => {}
                () = stop.cancelled() => return,
            }
            // Files are read in a thread that may block.
            let checked = tokio::task::spawn_blocking(move || {
                self.check();
                self
            });
            match checked.await {
                Ok(reloader) => self = reloader,
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
