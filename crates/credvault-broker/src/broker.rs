//! The broker as the services use it.

use std::sync::Arc;
use std::time::Duration;

use credvault_catalog::Catalog;
use credvault_domain::{Clock, ProviderId, Random};
use credvault_store::{Place, Store};
use tokio::time::Instant;

use crate::published::Published;
use crate::{Http, Need, RefreshError, RefreshLimits, Refresher};

/// What a caller is told to wait whose deadline came before the end of a refresh.
const RETRY_AFTER_DEADLINE: Duration = Duration::from_secs(1);

/// Does things at providers. Cheap to clone.
#[derive(Clone)]
pub struct Broker(Arc<Inner>);

/// What all work at providers needs, handed in once. Cheap to clone.
#[derive(Clone)]
pub struct Parts {
    /// Where connections and apps are stored.
    pub store: Store,
    /// What each provider's requests and answers look like.
    pub catalog: Arc<Catalog>,
    /// The only way to a provider.
    pub http: Http,
    /// The clock, which tests set.
    pub clock: Arc<dyn Clock>,
    /// The source of random bytes.
    pub random: Arc<dyn Random>,
}

struct Inner {
    parts: Parts,
    refresher: Refresher,
    public_url: Option<String>,
    published: Published,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").finish_non_exhaustive()
    }
}

impl Broker {
    /// A broker for the connections in `store`. Browsers reach the vault at `public_url`, if they do.
    pub fn new(parts: Parts, public_url: Option<String>, limits: RefreshLimits) -> Self {
        let refresher = Refresher::new(parts.clone(), limits);
        let published = Published::default();
        Self(Arc::new(Inner { parts, refresher, public_url, published }))
    }

    /// What keeps tokens fresh.
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
        place: Place,
        seen: i64,
        need: Need,
    ) -> Result<(), RefreshError> {
        let refreshing = self.0.refresher.refresh(place, seen, need);
        let late = RefreshError::Unavailable { retry: RETRY_AFTER_DEADLINE };
        tokio::time::timeout_at(deadline, refreshing).await.unwrap_or(Err(late))
    }

    /// The vault's own redirect URI for a provider: one for each, so that none can pass for another (RFC 9700, section
    /// 4.4.2). `None` if browsers do not reach the vault.
    pub fn callback_url(&self, provider: &ProviderId) -> Option<String> {
        Some(format!("{}/oauth/callback/{provider}", self.public_url()?))
    }

    pub(crate) fn public_url(&self) -> Option<&str> {
        self.0.public_url.as_deref()
    }

    pub(crate) fn published(&self) -> &Published {
        &self.0.published
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
