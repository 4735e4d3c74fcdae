//! What a mode says to its provider, and what the answers mean.

use credvault_domain::{Config, SecretFields, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::Mode;
use crate::answer::{Details, Granted, RefusalKind, Verdict};
use crate::call::{App, CallTemplates, Flow, ProviderRequest};
use crate::condition;
use crate::oauth::AssertionTemplates;
use crate::request_auth::{RequestAuth, Values};
use crate::template::{Placeholder, Template};

impl Mode {
    /// What requests to the provider carry, and what they must carry that has no value. The app is needed where
    /// [`Mode::request_names_app`].
    pub fn request_auth(&self, config: &Config, secrets: &SecretFields, app: Option<&App>) -> RequestAuth {
        self.values(Given { config, secrets, app, flow: &Flow::default() }).request_auth(&self.request)
    }

    pub(super) fn values<'a>(&'a self, given: Given<'a>) -> Values<'a> {
        let Given { config, secrets, app, flow } = given;
        Values { config, secrets, app, flow: Some(flow), fields: &self.config, derived: &self.derived }
    }

    fn fill(&self, call: &CallTemplates, given: Given<'_>) -> Result<ProviderRequest, Missing> {
        call.fill(&self.values(given)).map_err(Missing::from)
    }

    /// The filled call, with what every request of the mode carries unless the call names the same or is bare.
    fn carrying(&self, call: &CallTemplates, given: Given<'_>) -> Result<ProviderRequest, Missing> {
        let mut request = self.fill(call, given)?;
        if call.bare {
            return Ok(request);
        }
        let carried = self.request_auth(given.config, given.secrets, given.app);
        if let Some(missing) = carried.missing {
            return Err(missing);
        }
        let add = |pairs: &mut Vec<(String, SecretString)>, more: Vec<(String, SecretString)>| {
            for (name, value) in more {
                if pairs.iter().all(|(present, _)| !present.eq_ignore_ascii_case(&name)) {
                    pairs.push((name, value));
                }
            }
        };
        add(&mut request.headers, carried.headers);
        add(&mut request.query, carried.query);
        Ok(request)
    }

    /// The URL that the user's browser is sent to. `None` if the mode has no consent.
    ///
    /// # Errors
    /// A value that it needs is missing.
    pub fn authorize_url(&self, given: Given<'_>) -> Option<Result<String, Missing>> {
        let (url, query) = match (&self.handoff, &self.oauth) {
            (Some(handoff), _) => (&handoff.url, &handoff.query),
            (None, oauth) => {
                let authorize = oauth.as_ref()?.authorize.as_ref()?;
                (&authorize.url, &authorize.query)
            }
        };
        let values = self.values(given);
        let filled = values.render(url).and_then(|base| Ok((base.unwrap_or_default(), values.pairs(query)?)));
        let (base, pairs) = match filled {
            Ok(filled) => filled,
            Err(missing) => return Some(Err(missing.into())),
        };
        let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.expose_secret()));
        let query: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        // Spaces as %20: not every provider reads a plus in a URL.
        let query = query.replace('+', "%20");
        Some(Ok(format!(
            "{}{}{query}",
            base.expose_secret(),
            if base.expose_secret().contains('?') { '&' } else { '?' }
        )))
    }

    /// The page at the provider that hands over keys, without its query. `None` if the mode has none, or a setting is
    /// missing.
    pub fn handoff_url(&self, config: &Config) -> Option<String> {
        let (secrets, flow) = (SecretFields::default(), Flow::default());
        let values = self.values(Given { config, secrets: &secrets, app: None, flow: &flow });
        Some(values.render(&self.handoff.as_ref()?.url).ok()??.expose_secret().to_owned())
    }

    /// The request that gives tokens for a code.
    ///
    /// # Errors
    /// A value that it needs is missing.
    pub fn exchange(&self, given: Given<'_>) -> Option<Result<ProviderRequest, Missing>> {
        Some(self.fill(self.oauth.as_ref()?.exchange.as_ref()?, given))
    }

    /// Where a code is exchanged. `None` if the mode has no consent by code, or a setting is missing.
    pub fn exchange_url(&self, config: &Config, app: Option<&App>) -> Option<String> {
        let (secrets, flow) = (SecretFields::default(), Flow::default());
        let values = self.values(Given { config, secrets: &secrets, app, flow: &flow });
        self.oauth.as_ref()?.exchange.as_ref()?.url(&values).ok()
    }

    /// The request that asks, with new tokens, for what their answer did not say. `None` where nothing is asked.
    ///
    /// # Errors
    /// A value that it needs is missing.
    pub fn after(&self, given: Given<'_>) -> Option<Result<ProviderRequest, Missing>> {
        Some(self.carrying(&self.oauth.as_ref()?.after.as_ref()?.call, given))
    }

    /// Whether a consent ends well without an answer to [`Mode::after`].
    pub fn after_is_optional(&self) -> bool {
        let after = self.oauth.as_ref().and_then(|oauth| oauth.after.as_ref());
        after.is_none_or(|after| after.optional)
    }

    /// Reads the answer to [`Mode::after`].
    ///
    /// # Errors
    /// What kind of refusal it is.
    pub fn read_after(&self, status: u16, body: &Value) -> Result<Details, RefusalKind> {
        let after = self.oauth.as_ref().and_then(|oauth| oauth.after.as_ref());
        after.ok_or(RefusalKind::Unknown)?.rules.read(status, body)
    }

    /// The request that gives a new access token.
    ///
    /// # Errors
    /// A value that it needs is missing.
    pub fn renew(&self, given: Given<'_>) -> Option<Result<ProviderRequest, Missing>> {
        Some(self.fill(self.oauth.as_ref()?.renew.as_ref()?, given))
    }

    /// Whether access tokens of this mode can be renewed at all.
    pub fn renews(&self) -> bool {
        self.oauth.as_ref().is_some_and(|oauth| oauth.renew.is_some())
    }

    /// Whether a renewal sends a refresh token, and these fields have none.
    pub fn lacks_refresh_token(&self, secrets: &SecretFields) -> bool {
        let sent = |template: &Template| {
            let is_it = |placeholder: &Placeholder| matches!(placeholder, Placeholder::Secret(name) if name == "refresh_token");
            template.placeholders().any(is_it)
        };
        let renew = self.oauth.as_ref().and_then(|oauth| oauth.renew.as_ref());
        renew.is_some_and(|call| call.all().into_iter().any(|(_, template)| sent(template)))
            && secrets.get("refresh_token").is_none_or(|token| token.expose_secret().is_empty())
    }

    /// What has to be signed before [`Mode::renew`] can be sent. `None` if nothing has to.
    ///
    /// # Errors
    /// A value that it needs is missing.
    pub fn assertion(&self, given: Given<'_>) -> Option<Result<Assertion, Missing>> {
        let templates = self.oauth.as_ref()?.assertion.as_ref()?;
        Some(self.filled_assertion(templates, given).map_err(Missing::from))
    }

    /// The private key that signs assertions; `None` if the credential has none.
    pub(super) fn rendered_key(&self, key: &Template, secrets: &SecretFields) -> Option<SecretString> {
        let (config, flow) = (Config::default(), Flow::default());
        self.values(Given { config: &config, secrets, app: None, flow: &flow }).render(key).ok()?
    }

    fn filled_assertion(
        &self,
        templates: &AssertionTemplates,
        given: Given<'_>,
    ) -> Result<Assertion, Placeholder> {
        let values = self.values(given);
        let text = |template| Ok(values.render(template)?.map(|text| text.expose_secret().to_owned()));
        let mut claims = serde_json::Map::new();
        for (name, template) in &templates.claims {
            if let Some(value) = text(template)? {
                claims.insert(name.clone(), Value::String(value));
            }
        }
        Ok(Assertion {
            claims,
            key: values.render(&templates.key)?.unwrap_or_default(),
            key_id: templates.key_id.as_ref().map(text).transpose()?.flatten(),
            lifetime: templates.lifetime,
        })
    }

    /// Reads the answer to an exchange or a renewal that was sent at `sent`.
    ///
    /// # Errors
    /// What kind of refusal it is. A mode without tokens knows no answer.
    pub fn read_tokens(&self, status: u16, body: &Value, sent: Timestamp) -> Result<Granted, RefusalKind> {
        let oauth = self.oauth.as_ref().ok_or(RefusalKind::Unknown)?;
        oauth.answer.read(status, body, sent)
    }

    /// The provider's own code of an error in an answer to an exchange or a renewal, if it is a plain word: letters,
    /// digits, `_`, `.` and `-`, at most 64 of them. It can be shown and recorded.
    pub fn refusal_code(&self, body: &Value) -> Option<String> {
        self.oauth.as_ref()?.answer.code(body)
    }

    /// Whether the provider can be told that a credential of this mode is over.
    pub fn is_revocable(&self) -> bool {
        self.revoke.is_some()
    }

    /// The request that gives a token back.
    ///
    /// # Errors
    /// A value that it needs is missing.
    pub fn revoke(&self, given: Given<'_>) -> Option<Result<ProviderRequest, Missing>> {
        Some(self.fill(&self.revoke.as_ref()?.call, given))
    }

    /// Whether the answer to [`Mode::revoke`] says that the token is gone.
    pub fn revoked(&self, status: u16, body: &Value) -> bool {
        self.revoke.as_ref().is_some_and(|revoke| {
            condition::succeeded(&revoke.success, status, body) || condition::any(&revoke.gone, status, body)
        })
    }

    /// The request that shows whether a credential works, with what every request of the mode carries.
    ///
    /// # Errors
    /// A value that it needs is missing.
    pub fn verify(&self, given: Given<'_>) -> Option<Result<ProviderRequest, Missing>> {
        let verify = self.verify.as_ref()?;
        Some(self.carrying(&verify.call, given))
    }

    /// Reads the answer to [`Mode::verify`].
    pub fn verdict(&self, status: u16, body: &Value) -> Option<Verdict> {
        Some(self.verify.as_ref()?.rules.read(status, body))
    }
}

/// What the templates of a call are filled from.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The connection's settings.
    pub config: &'a Config,
    /// Its secret fields.
    pub secrets: &'a SecretFields,
    /// The platform's app at the provider.
    pub app: Option<&'a App>,
    /// The flow in progress.
    pub flow: &'a Flow,
}

/// What an assertion says, and the key that signs it (RS256).
#[derive(Debug)]
pub struct Assertion {
    /// Claims beside `iat` and `exp`.
    pub claims: serde_json::Map<String, Value>,
    /// The private key, PEM.
    pub key: SecretString,
    /// The `kid` of its header.
    pub key_id: Option<String>,
    /// From `iat` to `exp`.
    pub lifetime: std::time::Duration,
}

/// A value without which a request cannot be made, as templates call it: `config.shop`.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Missing(pub String);

impl Missing {
    /// Whether it is a value of the platform's app, which the connection's owner cannot mend.
    pub fn is_apps(&self) -> bool {
        self.0.starts_with("app.")
    }

    /// Whether it is a field of the credential.
    pub fn is_secret(&self) -> bool {
        self.0.starts_with("secret.")
    }
}

impl From<Placeholder> for Missing {
    fn from(placeholder: Placeholder) -> Self {
        Self(placeholder.to_string())
    }
}
