//! The broker as the services use it.

use std::sync::Arc;

use credvault_catalog::Catalog;
use credvault_domain::{Clock, ProviderId, Random};
use credvault_store::Store;

use crate::published::Published;
use crate::{Http, RefreshLimits, Refresher};

/// Does things at providers. Cheap to clone.
#[derive(Clone)]
pub struct Broker(Arc<Inner>);

struct Inner {
    store: Store,
    catalog: Arc<Catalog>,
    http: Http,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
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
    pub fn new(
        store: Store,
        catalog: Arc<Catalog>,
        http: Http,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        public_url: Option<String>,
        limits: RefreshLimits,
    ) -> Self {
        let refresher = Refresher::new(
            store.clone(),
            Arc::clone(&catalog),
            http.clone(),
            Arc::clone(&clock),
            Arc::clone(&random),
            limits,
        );
        let published = Published::default();
        Self(Arc::new(Inner { store, catalog, http, clock, random, refresher, public_url, published }))
    }

    /// What keeps tokens fresh.
    pub fn refresher(&self) -> &Refresher {
        &self.0.refresher
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
        &self.0.store
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.0.catalog
    }

    pub(crate) fn http(&self) -> &Http {
        &self.0.http
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    pub(crate) fn random(&self) -> &dyn Random {
        &*self.0.random
    }
}
