//! Reads what an issuer says about itself: OpenID Connect Discovery 1.0, or else RFC 8414. The endpoints become settings
//! of a connection together with the secret that is sent to them, and stay as they are until the next consent: a document
//! that changes later moves no token.

pub(crate) mod cache;

use credvault_catalog::{Body, Method, Mode, ProviderRequest};
use credvault_domain::{Config, Connection, Violations};
use serde_json::Value;
use url::Url;

use crate::broker::Broker;
use crate::consent::error::ConsentError;
use crate::http::error::SendError;

impl Broker {
    /// The settings with those that the issuer's metadata names, if the mode finds its endpoints there.
    ///
    /// # Errors
    /// The metadata cannot be read, is another issuer's, or names places that the vault does not call.
    pub async fn discovered(&self, mode: &Mode, config: &Config) -> Result<Config, ConsentError> {
        let Some(metadata) = self.metadata_of(mode, config).await? else { return Ok(config.clone()) };
        let found = mode.discovered(config, &metadata)?;
        self.check_destinations("config", mode, &found)?;
        // Only what is sound is remembered, so that a server that was mended need not be waited for.
        let issuer = mode.discovery.as_ref().and_then(|it| config.get(it.issuer.as_str())?.as_str());
        if let Some(issuer) = issuer {
            self.metadata().set(issuer, metadata, self.clock().now());
        }
        Ok(found)
    }

    /// The connection as a consent sees it, with the endpoints that its issuer names now.
    pub(crate) async fn with_discovered(
        &self,
        mode: &Mode,
        connection: &Connection,
    ) -> Result<Connection, ConsentError> {
        let config = self.discovered(mode, &connection.config).await?;
        Ok(Connection { config, ..connection.clone() })
    }

    /// The metadata of the connection's issuer. `None` if the mode has none.
    pub(crate) async fn metadata_of(
        &self,
        mode: &Mode,
        config: &Config,
    ) -> Result<Option<Value>, ConsentError> {
        let Some(discovery) = &mode.discovery else { return Ok(None) };
        let field = format!("config.{}", discovery.issuer);
        let issuer = config.get(discovery.issuer.as_str()).and_then(Value::as_str);
        let issuer = issuer.ok_or_else(|| Violations::of(&field, "must be given"))?;
        if let Some(known) = self.metadata().get(issuer, self.clock().now()) {
            return Ok(Some(known));
        }
        let places = places(issuer).ok_or_else(|| Violations::of(&field, "must be a URL with a host"))?;
        for place in places {
            if let Some(metadata) = self.read_metadata(&place, &field).await? {
                return Ok(Some(metadata));
            }
        }
        let rule =
            "must publish metadata by OpenID Connect Discovery or RFC 8414, and nothing was found there";
        Err(Violations::of(field, rule).into())
    }

    /// The document at `place`. `None` if there is none.
    async fn read_metadata(&self, place: &Url, field: &str) -> Result<Option<Value>, ConsentError> {
        if let Err(error) = self.http().guard().check_stored_url(place) {
            return Err(Violations::of(field, error.rule()).into());
        }
        let request = ProviderRequest {
            method: Method::Get,
            url: place.to_string(),
            headers: Vec::new(),
            query: Vec::new(),
            body: Body::Empty,
        };
        match self.http().send(request).await {
            Ok(answer) if answer.status == 200 && answer.body.is_object() => Ok(Some(answer.body)),
            // Servers without a document there answer in many ways, but an outage must not be taken for that.
            Ok(answer) if answer.status < 500 && answer.status != 429 => Ok(None),
            Ok(_) => Err(ConsentError::Unavailable),
            Err(SendError::NotSent(detail) | SendError::Lost(detail)) => {
                tracing::info!(detail, "an issuer's metadata could not be read");
                Err(ConsentError::Unavailable)
            }
        }
    }
}

/// Where an issuer's metadata are: behind its path (OpenID Connect Discovery, section 4), or between its host and its path
/// (RFC 8414, section 3.1).
fn places(issuer: &str) -> Option<[Url; 2]> {
    let issuer = Url::parse(issuer.trim_end_matches('/')).ok()?;
    issuer.host()?;
    let path = issuer.path().trim_end_matches('/');
    let at = |path: String| {
        let mut url = issuer.clone();
        url.set_path(&path);
        url
    };
    Some([
        at(format!("{path}/.well-known/openid-configuration")),
        at(format!("/.well-known/oauth-authorization-server{path}")),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_are_looked_for_at_both_places_of_an_issuer() {
        let cases = [
            (
                "https://id.example",
                ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"],
            ),
            (
                "https://id.example/",
                ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"],
            ),
            (
                "https://id.example/tenant/1",
                [
                    "/tenant/1/.well-known/openid-configuration",
                    "/.well-known/oauth-authorization-server/tenant/1",
                ],
            ),
        ];
        for (issuer, paths) in cases {
            let found = places(issuer).expect("places");
            assert_eq!(found.each_ref().map(|url| url.path()), paths, "{issuer}");
            assert!(found.iter().all(|url| url.host_str() == Some("id.example")));
        }
        assert!(places("no url").is_none());
    }
}
