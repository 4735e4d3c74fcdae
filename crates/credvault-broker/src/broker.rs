//! The broker as its callers use it. Each subject (`consent/`, `webhook/`, `events.rs` and so on) adds its own methods.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_catalog::{Catalog, Mode};
use credvault_crypto::sha256;
use credvault_domain::{AppPlace, Clock, Config, ProviderId, Random, Violations};
use credvault_store::{ConnectionKey, Store};
use tokio::time::Instant;

use crate::discovery::cache::MetadataCache;
use crate::http::client::Http;
use crate::http::destinations::check_destinations;
use crate::parts::Parts;
use crate::refresh::error::RefreshError;
use crate::refresh::refresher::{Need, RefreshLimits, Refresher};
use crate::webhook::public_key_cache::PublicKeyCache;

/// The retry delay for a caller whose deadline came before the end of a refresh.
const RETRY_AFTER_DEADLINE: Duration = Duration::from_secs(1);

/// The characters of a server's name in a redirect URI: 96 bits of its hash.
const SERVER_NAME_LENGTH: usize = 16;

/// Does the vault's work at providers. Cheap to clone.
#[derive(Clone)]
pub struct Broker(Arc<Inner>);

struct Inner {
    parts: Parts,
    refresher: Refresher,
    public_url: Option<String>,
    public_keys: PublicKeyCache,
    metadata: MetadataCache,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").finish_non_exhaustive()
    }
}

impl Broker {
    /// A broker for the connections in the store. Browsers reach the vault at `public_url`, if they reach it at all.
    pub fn new(parts: Parts, public_url: Option<String>, limits: RefreshLimits) -> Self {
        let refresher = Refresher::new(parts.clone(), limits);
        let public_keys = PublicKeyCache::default();
        let metadata = MetadataCache::default();
        Self(Arc::new(Inner { parts, refresher, public_url, public_keys, metadata }))
    }

    /// The part that keeps tokens fresh.
    pub fn refresher(&self) -> &Refresher {
        &self.0.refresher
    }

    /// Refreshes the tokens of generation `seen`, and waits for that until `deadline`. The refresh continues after the
    /// deadline. It answers with nothing: the caller reads the tokens again, so that no copy of them is kept for the
    /// callers that share one refresh, and what they may see is decided by the newest row.
    ///
    /// # Errors
    /// There are no newer tokens, or none yet.
    pub async fn refreshed_by(
        &self,
        deadline: Instant,
        key: ConnectionKey,
        seen: i64,
        need: Need,
    ) -> Result<(), RefreshError> {
        let refreshing = self.0.refresher.refresh(key, seen, need);
        let late = RefreshError::Unavailable { retry: RETRY_AFTER_DEADLINE };
        tokio::time::timeout_at(deadline, refreshing).await.unwrap_or(Err(late))
    }

    /// Checks the hosts that a connection's settings lead to, before they are stored. `path` is the name of the settings in
    /// the request.
    ///
    /// # Errors
    /// A violation for each setting that leads to a host that is not public, or that is not in its plain form.
    pub fn check_destinations(&self, path: &str, mode: &Mode, config: &Config) -> Result<(), Violations> {
        check_destinations(self.http().guard(), path, mode, config)
    }

    /// The vault's own redirect URI for a provider, or for one of its servers. Each has its own, so that none can pass for
    /// another (RFC 9700, section 4.4.2). `None` if browsers do not reach the vault.
    pub fn callback_url(&self, place: &AppPlace) -> Option<String> {
        let provider = place.provider();
        match place.server() {
            Some(server) => {
                let name = URL_SAFE_NO_PAD.encode(sha256(&[server.as_bytes()]));
                let name = name.get(..SERVER_NAME_LENGTH)?;
                self.callback_at(&format!("{provider}/{name}"))
            }
            None => self.callback_at(provider.as_str()),
        }
    }

    /// The vault's own redirect URI that ends with this path. `None` if browsers do not reach the vault.
    pub fn callback_at(&self, path: &str) -> Option<String> {
        Some(format!("{}/oauth/callback/{path}", self.public_url()?))
    }

    /// How browsers reach the vault, without a slash at its end: an origin. `None` if they do not.
    pub fn public_url(&self) -> Option<&str> {
        self.0.public_url.as_deref()
    }

    pub(crate) fn metadata(&self) -> &MetadataCache {
        &self.0.metadata
    }

    pub(crate) fn public_keys(&self) -> &PublicKeyCache {
        &self.0.public_keys
    }

    /// Where the app of a connection is registered.
    pub fn app_place(&self, provider: &ProviderId, config: &Config) -> AppPlace {
        self.0.parts.app_place(provider, config)
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.parts.store
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.0.parts.catalog
    }

    pub(crate) fn http(&self) -> &Http {
        &self.0.parts.http
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.0.parts.clock
    }

    pub(crate) fn random(&self) -> &dyn Random {
        &*self.0.parts.random
    }
}
