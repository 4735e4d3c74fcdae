//! The broker as its callers use it. Each subject (`consent/`, `webhook/`, `events.rs` and so on) adds its own methods.

use std::sync::Arc;
use std::time::Duration;

use credvault_catalog::{Catalog, Mode};
use credvault_domain::{Clock, Config, ProviderId, Random, Violations};
use credvault_store::{ConnectionKey, Store};
use tokio::time::Instant;

use crate::http::client::Http;
use crate::http::destinations::check_destinations;
use crate::parts::Parts;
use crate::refresh::error::RefreshError;
use crate::refresh::refresher::{Need, RefreshLimits, Refresher};
use crate::webhook::public_key_cache::PublicKeyCache;

/// The retry delay for a caller whose deadline came before the end of a refresh.
const RETRY_AFTER_DEADLINE: Duration = Duration::from_secs(1);

/// Does the vault's work at providers. Cheap to clone.
#[derive(Clone)]
pub struct Broker(Arc<Inner>);

struct Inner {
    parts: Parts,
    refresher: Refresher,
    public_url: Option<String>,
    public_keys: PublicKeyCache,
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
        Self(Arc::new(Inner { parts, refresher, public_url, public_keys }))
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

    /// The vault's own redirect URI for a provider. Each provider has its own, so that no provider can pass for another
    /// (RFC 9700, section 4.4.2). `None` if browsers do not reach the vault.
    pub fn callback_url(&self, provider: &ProviderId) -> Option<String> {
        Some(format!("{}/oauth/callback/{provider}", self.public_url()?))
    }

    pub(crate) fn public_url(&self) -> Option<&str> {
        self.0.public_url.as_deref()
    }

    pub(crate) fn public_keys(&self) -> &PublicKeyCache {
        &self.0.public_keys
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
