//! A token request as it arrived: its parameters, and the app's id and secret. Checks neither.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::refusal::Refused;
use crate::behaviour::ClientAuth;
use crate::credentials;
use crate::parameters::Parameters;
use crate::script::Refusal;

/// A client id and secret, and the place in the request that held them.
pub(crate) struct Shown {
    pub(crate) by: ClientAuth,
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// The kind of grant that is requested.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Grant {
    /// An authorization code (RFC 6749, section 4.1.3).
    Code,
    /// A refresh token (RFC 6749, section 6).
    Refresh,
    /// The app's own credentials (RFC 6749, section 4.4).
    ClientCredentials,
    /// A signed assertion (RFC 7523), as for Google's service accounts.
    Assertion,
    /// Meta's exchange of an access token for one that lives longer.
    Extension,
    Unknown,
}

/// A claim of a text in the form of a signed JWT. Checks neither signature nor times.
pub(crate) fn claim(assertion: &str, name: &str) -> Option<String> {
    let [header, claims, signature] = assertion.split('.').collect::<Vec<_>>().try_into().ok()?;
    if header.is_empty() || signature.is_empty() {
        return None;
    }
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    Some(claims.get(name)?.as_str().filter(|text| !text.is_empty())?.to_owned())
}

pub(crate) struct TokenRequest {
    pub(crate) parameters: Parameters,
    pub(crate) shown: Vec<Shown>,
}

impl TokenRequest {
    pub(crate) fn read(headers: &HeaderMap, query: Option<&str>, body: &[u8]) -> Result<Self, Refused> {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let unreadable = || Refused::new(Refusal::InvalidRequest, "the body is neither a form nor JSON");
        let (by, body) = match content_type {
            "application/json" => (ClientAuth::Json, Parameters::json(body).ok_or_else(unreadable)?),
            "application/x-www-form-urlencoded" => (ClientAuth::Form, Parameters::form(body)),
            _ if body.is_empty() => (ClientAuth::Form, Parameters::default()),
            _ => return Err(unreadable()),
        };
        let query = Parameters::query(query);
        let in_headers =
            credentials::basic(headers).map(|(id, secret)| Shown { by: ClientAuth::Basic, id, secret });
        let among = |by, parameters: &Parameters| {
            let (id, secret) = (parameters.get("client_id")?, parameters.get("client_secret")?);
            Some(Shown { by, id: id.to_owned(), secret: secret.to_owned() })
        };
        let in_query = among(ClientAuth::Query, &query);
        let asserted = body.get("client_assertion").map(|assertion| Shown {
            by: ClientAuth::Assertion,
            id: claim(assertion, "iss").unwrap_or_default(),
            secret: assertion.to_owned(),
        });
        let shown = in_headers.into_iter().chain(in_query).chain(among(by, &body)).chain(asserted).collect();
        Ok(Self { parameters: body.or(query), shown })
    }

    /// A public client, which shows its id and nothing else.
    pub(crate) fn bare_client(&self) -> Option<&str> {
        self.parameters.get("client_id").filter(|_| self.shown.is_empty())
    }

    /// The kind of grant. TikTok Shop has a name of its own for a code; Shopify and TikTok Ads send none.
    pub(crate) fn grant(&self) -> Grant {
        match self.parameters.get("grant_type") {
            Some("authorization_code" | "authorized_code") => Grant::Code,
            None if self.parameters.get("code").is_some() => Grant::Code,
            Some("refresh_token") => Grant::Refresh,
            Some("client_credentials") => Grant::ClientCredentials,
            Some("urn:ietf:params:oauth:grant-type:jwt-bearer") => Grant::Assertion,
            Some("fb_exchange_token") => Grant::Extension,
            _ => Grant::Unknown,
        }
    }
}
