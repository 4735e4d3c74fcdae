//! The broker as the services use it.

use std::sync::Arc;

use credvault_catalog::Catalog;
use credvault_domain::{Clock, Random};
use credvault_store::Store;

use crate::published::Published;
use crate::{Http, Refresher};

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
    published: Published,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").finish_non_exhaustive()
    }
}

impl Broker {
    /// A broker for the connections in `store`.
    pub fn new(
        store: Store,
        catalog: Arc<Catalog>,
        http: Http,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        let refresher = Refresher::new(
            store.clone(),
            Arc::clone(&catalog),
            http.clone(),
            Arc::clone(&clock),
            Arc::clone(&random),
        );
        let published = Published::default();
        Self(Arc::new(Inner { store, catalog, http, clock, random, refresher, published }))
    }

    /// What keeps tokens fresh.
    pub fn refresher(&self) -> &Refresher {
        &self.0.refresher
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
