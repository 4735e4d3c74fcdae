//! The catalog: all providers that the vault knows. It is filled by `load` and does not change afterwards.

use std::collections::BTreeMap;

use credvault_domain::ProviderId;

use crate::provider::Provider;

/// All providers, by id.
#[derive(Debug)]
pub struct Catalog {
    pub(crate) providers: BTreeMap<ProviderId, Provider>,
}

impl Catalog {
    /// The provider with this id.
    pub fn get(&self, id: &ProviderId) -> Option<&Provider> {
        self.providers.get(id)
    }

    /// All providers, ordered by id.
    pub fn iter(&self) -> impl Iterator<Item = &Provider> {
        self.providers.values()
    }
}
