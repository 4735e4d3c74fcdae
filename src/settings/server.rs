//! `server`: addresses, the server's certificate, and how the process serves.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::problem::Problems;
use super::value::{resolve, socket_address};

/// `server` as it was given.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSection {
    /// Where gRPC with mTLS is served.
    #[serde(deserialize_with = "socket_address")]
    pub address: SocketAddr,
    /// Where `/livez`, `/readyz`, `/metrics` and plain gRPC health are served. Keep it private.
    #[serde(deserialize_with = "socket_address")]
    pub admin_address: SocketAddr,
    /// The server's certificate chain, PEM.
    pub certificate: PathBuf,
    /// The certificate's private key, PEM.
    pub key: PathBuf,
    /// Whether gRPC reflection answers (on the mTLS port).
    pub reflection: bool,
    /// How long calls in progress may take after SIGTERM.
    pub drain_seconds: u64,
    /// How often changed certificates, bundles, policies and key files are looked for. SIGHUP does so at once.
    pub reload_seconds: u64,
    /// Threads that serve calls; 0 means one for each core.
    pub worker_threads: usize,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 7443)),
            admin_address: SocketAddr::from(([127, 0, 0, 1], 7481)),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            reflection: false,
            drain_seconds: 30,
            reload_seconds: 2,
            worker_threads: 0,
        }
    }
}

/// Addresses, the server's certificate, and how the process serves.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where gRPC with mTLS is served.
    pub address: SocketAddr,
    /// Where operators and probes are served.
    pub admin_address: SocketAddr,
    /// The certificate chain's file, PEM.
    pub certificate: PathBuf,
    /// The private key's file, PEM.
    pub key: PathBuf,
    /// Whether gRPC reflection answers.
    pub reflection: bool,
    /// How long calls in progress may take after SIGTERM.
    pub drain: Duration,
    /// How often changed files are looked for.
    pub reload_interval: Duration,
    /// Threads that serve calls; `None` means one for each core.
    pub worker_threads: Option<NonZeroUsize>,
}

impl ServerSection {
    pub(super) fn resolve(&mut self, base: &Path) {
        resolve(&mut self.certificate, base);
        resolve(&mut self.key, base);
    }

    pub(super) fn check(&self, problems: &mut Problems) -> Server {
        for (key, path) in [("server.certificate", &self.certificate), ("server.key", &self.key)] {
            if path.as_os_str().is_empty() {
                problems.refuse(key, "must be given: the path of a PEM file");
            }
        }
        let threads = problems.number("server.worker_threads", self.worker_threads, 0..=1024);
        Server {
            address: self.address,
            admin_address: self.admin_address,
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            reflection: self.reflection,
            drain: problems.seconds("server.drain_seconds", self.drain_seconds, 0..=3600),
            reload_interval: problems.seconds("server.reload_seconds", self.reload_seconds, 1..=24 * 3600),
            worker_threads: NonZeroUsize::new(threads),
        }
    }
}
