//! Where an app is registered: at a provider, or at one of the servers of a provider that stands for many.

use crate::ProviderId;

/// The place at which an app is registered. A namespace has at most one app at a place.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct AppPlace {
    provider: ProviderId,
    server: Option<String>,
}

impl AppPlace {
    /// A place at a provider. `server` is what tells its servers apart: printable characters without blanks.
    pub fn new(provider: ProviderId, server: Option<String>) -> Self {
        Self { provider, server }
    }

    /// A place that was stored. See [`AppPlace::to_stored`].
    pub fn from_stored(text: &str) -> Self {
        let (provider, server) = match text.split_once(' ') {
            Some((provider, server)) => (provider, Some(server.to_owned())),
            None => (text, None),
        };
        Self { provider: ProviderId::from_stored(provider.to_owned()), server }
    }

    /// The provider in the catalog.
    pub fn provider(&self) -> &ProviderId {
        &self.provider
    }

    /// The server, such as an issuer's URL, if the provider stands for many.
    pub fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// The place as one text: the provider, and behind a blank the server. No provider's id has a blank in it.
    pub fn to_stored(&self) -> String {
        match &self.server {
            Some(server) => format!("{} {server}", self.provider),
            None => self.provider.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_from_its_text() {
        let provider = ProviderId::from_stored("oidc".to_owned());
        for server in [None, Some("https://id.example/a".to_owned())] {
            let place = AppPlace::new(provider.clone(), server);
            assert_eq!(AppPlace::from_stored(&place.to_stored()), place);
        }
    }
}
