//! What all work at providers needs, handed in once by the program that assembles the vault.

use std::sync::Arc;

use credvault_catalog::Catalog;
use credvault_domain::{AppPlace, Clock, Config, ProviderId, Random};
use credvault_store::Store;

use crate::http::client::Http;

/// The parts that a broker works with. Cheap to clone.
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

impl Parts {
    /// Where the app of a connection is registered.
    pub(crate) fn app_place(&self, provider: &ProviderId, config: &Config) -> AppPlace {
        match self.catalog.get(provider) {
            Some(known) => known.app_place(config),
            None => AppPlace::new(provider.clone(), None),
        }
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}
