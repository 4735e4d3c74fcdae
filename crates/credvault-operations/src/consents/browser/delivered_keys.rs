//! Keys that a provider posts before it sends the browser back. A stranger can post here as well: what vouches is the
//! state in the body, which the vault gave to one browser and to that browser's provider. Nothing of this is logged.

use std::net::IpAddr;

use credvault_catalog::Delivery;
use credvault_domain::ProviderId;
use serde_json::Value;

use super::{Browsers, Parameters};

impl Browsers {
    /// Keeps keys for the consent that they name; whether they were taken.
    pub async fn deliver_keys(&self, provider: &str, body: &[u8]) -> bool {
        let Ok(posted) = serde_json::from_slice::<Value>(body) else { return false };
        let Some(state) = self.deliveries(provider).find_map(|delivery| delivery.state(&posted)) else {
            return false;
        };
        let Ok(found) = self.find(&state, IpAddr::from([0; 4])).await else { return false };
        // The state of another provider is another consent's, as in a callback.
        let over = found.awaited.over.is_some();
        if found.connection.provider.as_str() != provider || !found.awaited.public || over {
            return false;
        }
        let Ok(target) = found.target() else { return false };
        self.0.broker.deliver_keys(target, &found.awaited, &posted).await.is_ok()
    }

    /// The callback's parameters, with the state under the name that most providers give it.
    pub(super) fn with_state(&self, provider: &str, mut parameters: Parameters) -> Parameters {
        if !parameters.contains_key("state") {
            let named =
                self.deliveries(provider).find_map(|delivery| parameters.get(delivery.state_parameter()));
            if let Some(state) = named.cloned() {
                parameters.insert("state".to_owned(), state);
            }
        }
        parameters
    }

    /// How a provider delivers credentials, by mode.
    fn deliveries(&self, provider: &str) -> impl Iterator<Item = &Delivery> {
        let known = ProviderId::parse(provider).ok().and_then(|id| self.0.catalog.get(&id));
        let modes = known.into_iter().flat_map(|provider| provider.modes());
        modes.filter_map(|(_, mode)| mode.delivery())
    }
}
