//! Files that change while the vault serves: the server's certificate, trust bundles, policies, issuers' keys. A changed
//! file that is sound is used from the next handshake or call on, once two reads have found the same. A broken file is
//! logged and counted, and the old contents stay in use; the health check names it, because a restart would not come back.

mod contents;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use credvault_crypto::{RootKeySource, SystemRandom};
use credvault_identity::{Identity, Policies};
use tokio_util::sync::CancellationToken;

use contents::{Bundles, ServerFiles, in_one_text};
pub(crate) use contents::{FileContents, Read, parsable};

use crate::grpc::Tls;
use crate::settings::{RootKey, Settings};

/// The time between two reads of a changed file. A file that is still being written shows something else then.
const SETTLE_TIME: Duration = Duration::from_millis(500);

/// The files of which the old contents are in use, because they are gone or broken: shared with the health check.
#[derive(Clone, Default)]
pub(crate) struct BrokenFiles(Arc<ArcSwapOption<String>>);

impl BrokenFiles {
    /// What is amiss, in words; none while every file is sound.
    pub(crate) fn amiss(&self) -> Option<String> {
        self.0.load().as_deref().cloned()
    }

    /// Takes what was found of all parts.
    fn set(&self, broken: &[String]) {
        let amiss = format!(
            "these files are gone or broken, so their old contents are in use, and a restart would fail: {}",
            broken.join(", ")
        );
        self.0.store((!broken.is_empty()).then(|| Arc::new(amiss)));
    }
}

/// One kind of file: the contents that were tried last, so that only a change is tried; and the contents of the last read,
/// so that only contents that two reads agree on are tried. Half of a file may be sound and lack the last of its policies.
struct Part<M> {
    name: &'static str,
    tried: Result<M, String>,
    seen: Option<Result<M, String>>,
    /// Why the contents that were tried last are not in use.
    broken: Option<String>,
}

impl<M: PartialEq> Part<M> {
    fn new(name: &'static str, tried: Result<M, String>) -> Self {
        Self { name, tried, seen: None, broken: None }
    }

    /// Tries the contents if they are new and were the same at the last read. Returns whether another read is needed soon.
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
        match &result {
            Ok(()) => tracing::info!(what = self.name, "changed files are used from now on"),
            Err(error) => {
                tracing::error!(what = self.name, error, "changed files are broken; the old ones stay in use")
            }
        }
        self.broken = result.err();
        (self.tried, self.seen) = (read, None);
        false
    }

    /// Counts whether the files are broken, and says why, in one line.
    fn broken(&self) -> Option<String> {
        let value = if self.broken.is_some() { 1.0 } else { 0.0 };
        metrics::gauge!("credvault_broken_files", "what" => self.name).set(value);
        let why = self.broken.as_ref()?.lines().next().unwrap_or_default();
        Some(format!("{} ({why})", self.name))
    }
}

/// Watches all files that the settings name.
pub(crate) struct Reloader {
    settings: Arc<Settings>,
    identity: Arc<Identity>,
    tls: Arc<Tls>,
    server: Part<ServerFiles>,
    bundles: Part<Bundles>,
    policies: Part<Vec<(String, String)>>,
    keys: Part<Vec<Vec<u8>>>,
    root_ids: Vec<u32>,
    root_key: Part<u32>,
    other_root_key: Part<u32>,
    broken: BrokenFiles,
}

impl Reloader {
    /// Watches the files that `settings` name for anything else than their contents in use, and the files of root
    /// keys for other keys than those in use, whose ids are `root_ids`. What is found goes to `broken`.
    pub(crate) fn new(
        settings: Arc<Settings>,
        identity: Arc<Identity>,
        tls: Arc<Tls>,
        root_ids: Vec<u32>,
        in_use: FileContents,
        broken: BrokenFiles,
    ) -> Self {
        let root_id = |at: usize| Ok(root_ids.get(at).copied().unwrap_or_default());
        Self {
            settings,
            identity,
            tls,
            server: Part::new("certificate", in_use.server()),
            bundles: Part::new("bundles", in_one_text(in_use.bundles)),
            policies: Part::new("policies", in_one_text(in_use.policies)),
            keys: Part::new("issuer keys", in_use.keys.into_iter().collect()),
            root_key: Part::new("root key", root_id(0)),
            other_root_key: Part::new("other root key", root_id(1)),
            root_ids,
            broken,
        }
    }

    /// Reads the files. Returns whether another read is needed soon.
    fn check(&mut self) -> bool {
        let Self { settings, identity, tls, server, bundles, policies, keys, root_ids, .. } = self;
        let (root_key, other_root_key, broken) = (&mut self.root_key, &mut self.other_root_key, &self.broken);
        let now = FileContents::read(settings);
        let mut again = server.check(now.server(), |files| tls.replace(&files.chain, &files.key));
        again |= bundles.check(in_one_text(now.bundles), |bundles| {
            identity.trust().replace(bundles).map_err(|error| error.to_string())
        });
        again |= policies.check(in_one_text(now.policies), |files| {
            identity.replace_policies(Policies::parse(&parsable(files)).map_err(|error| error.to_string())?);
            Ok(())
        });
        again |= keys
            .check(now.keys.into_iter().collect(), |documents| identity.issuers().use_documents(documents));
        let roots = &settings.root_keys;
        for (root, part) in
            [(Some(&roots.main), &mut *root_key), (roots.other.as_ref(), &mut *other_root_key)]
        {
            // The key in use stays in use: another key opens nothing, and the next start would refuse it.
            if let Some(RootKey::Local(source @ RootKeySource::File(path))) = root {
                let loaded = source.load(None, &SystemRandom).map(|(key, _)| key.id());
                again |= part.check(loaded.map_err(|error| error.to_string()), |id| {
                    let other = format!("{}: it holds another root key than the one in use", path.display());
                    if root_ids.contains(id) { Ok(()) } else { Err(other) }
                });
            }
        }
        let found = [server.broken(), bundles.broken(), policies.broken(), keys.broken()];
        let roots = [root_key.broken(), other_root_key.broken()];
        broken.set(&found.into_iter().chain(roots).flatten().collect::<Vec<_>>());
        again
    }

    /// Looks at the files every `interval`, and at once on SIGHUP, until `end`. What has changed is used if a second look, a
    /// moment later, finds the same.
    pub(crate) async fn run(mut self, interval: Duration, end: CancellationToken) {
        let mut hangup = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) {
            Ok(hangup) => hangup,
            Err(error) => return tracing::error!(%error, "changed files will not be noticed"),
        };
        let mut wait = interval;
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = hangup.recv() => {}
                () = end.cancelled() => return,
            }
            // Files are read in a thread that may block.
            let checked = tokio::task::spawn_blocking(move || {
                let again = self.check();
                (self, again)
            });
            match checked.await {
                Ok((reloader, again)) => {
                    self = reloader;
                    wait = if again { SETTLE_TIME.min(interval) } else { interval };
                }
                Err(error) => return tracing::error!(%error, "changed files are not noticed any more"),
            }
        }
    }
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
