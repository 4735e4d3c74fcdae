//! Keys that a provider posts before it sends the browser back. A stranger can post here as well: what vouches is the
//! state in the body, which the vault gave to one browser and to that browser's provider. Nothing of this is logged.

use credvault_catalog::Delivery;
use credvault_domain::ProviderId;
use serde_json::Value;

use super::consent::{Consents, Parameters};

impl Consents {
    /// Keeps keys for the consent that they name; whether they were taken.
    pub(super) async fn hand_over(&self, provider: &str, body: &[u8]) -> bool {
        let Ok(posted) = serde_json::from_slice::<Value>(body) else { return false };
        let Some(state) = self.deliveries(provider).find_map(|delivery| delivery.state(&posted)) else {
            return false;
        };
        let Ok(found) = self.find(&state).await else { return false };
        // Another provider's state is somebody else's, as in a callback.
        let over = found.awaited.over.is_some();
        if found.connection.provider.as_str() != provider || !found.awaited.public || over {
            return false;
        }
        let Ok(target) = self.target(&found) else { return false };
        self.0.broker.take_delivery(target, &found.awaited, &posted).await.is_ok()
    }

    /// The callback's parameters, with the state where all providers but those that hand over keys put it.
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
