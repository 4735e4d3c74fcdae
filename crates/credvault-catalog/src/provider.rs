//! A provider with its modes, checked and ready for use.

use std::collections::BTreeMap;

use credvault_domain::{AuthMode, Config, FieldName, ProviderId, SecretFields, Timestamp, Violations};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::answer::{Details, Granted, RefusalKind, Verdict};
use crate::call::{App, CallTemplates, Flow, ProviderRequest};
use crate::condition;
use crate::derived::Derived;
use crate::field::Field;
use crate::oauth::{OAuth, Revoke, Verify};
use crate::request_auth::{RequestAuth, RequestTemplates, Values};
use crate::schema;
use crate::template::Placeholder;
use crate::webhook::Webhook;

/// A third party that customers have accounts at.
#[derive(Debug)]
pub struct Provider {
    /// Its id.
    pub id: ProviderId,
    /// Its own name.
    pub name: String,
    /// Where it documents its API.
    pub documentation: Option<String>,
    /// What nobody has confirmed, in sentences.
    pub uncertain: Vec<String>,
    /// How many calls it takes, if that is known.
    pub rate_limit: Option<RateLimit>,
    /// What the platform's app has there beside `client_id` and `client_secret`.
    pub app: BTreeMap<FieldName, AppField>,
    pub(crate) modes: BTreeMap<AuthMode, Mode>,
    /// How it signs webhooks, by name.
    pub webhooks: BTreeMap<String, Webhook>,
}

impl Provider {
    /// The ways to authenticate, ordered by name.
    pub fn modes(&self) -> impl Iterator<Item = (&AuthMode, &Mode)> {
        self.modes.iter()
    }

    /// One way to authenticate.
    pub fn mode(&self, name: &AuthMode) -> Option<&Mode> {
        self.modes.get(name)
    }

    /// The only mode, if there is only one.
    pub fn only_mode(&self) -> Option<&AuthMode> {
        self.modes.keys().next().filter(|_| self.modes.len() == 1)
    }
}

/// A value of the platform's app at a provider.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct AppField {
    /// What people call it.
    pub title: String,
    /// What it is for.
    #[serde(default)]
    pub description: Option<String>,
    /// Whether it must be kept secret.
    #[serde(default)]
    pub secret: bool,
}

/// How many calls a provider takes, for whoever calls it.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// The rule, in words.
    pub rule: String,
    /// What each header of an answer says, by the header's name as the provider writes it.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// What kind of credential a mode has.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum ModeKind {
    /// Keys or tokens that stay as they are until somebody replaces them.
    Static,
    /// A key that mints short-lived tokens: a Google service account.
    ServiceAccount,
    /// OAuth 2.0, authorization code (RFC 6749, section 4.1).
    Oauth2Code,
    /// OAuth 2.0, client credentials (RFC 6749, section 4.4).
    Oauth2ClientCredentials,
}

/// A way to authenticate at a provider.
#[derive(Debug)]
pub struct Mode {
    /// What people call it.
    pub title: String,
    /// Its kind.
    pub kind: ModeKind,
    pub(crate) open: bool,
    pub(crate) config: BTreeMap<FieldName, Field>,
    pub(crate) secrets: BTreeMap<FieldName, Field>,
    pub(crate) derived: BTreeMap<String, Derived>,
    pub(crate) request: RequestTemplates,
    /// Whether what requests carry names the platform's app.
    pub request_names_app: bool,
    /// Tokens: how they are got and kept fresh. `None` where nothing is ever renewed.
    pub oauth: Option<OAuth>,
    pub(crate) revoke: Option<Revoke>,
    pub(crate) verify: Option<Verify>,
}

impl Mode {
    /// Checks a config; `path` is what the request calls it.
    ///
    /// # Errors
    /// A violation for each missing, unknown or wrong setting, without values.
    pub fn check_config(&self, path: &str, config: &Config) -> Result<(), Violations> {
        let mut violations = Violations::default();
        for (name, field) in
            self.config.iter().filter(|(name, field)| field.required && config.get(name.as_str()).is_none())
        {
            violations.add(format!("{path}.{name}"), format!("must be given: {}", field.title));
        }
        for (name, value) in config.iter() {
            let (rule, place) = match self.config.get(name) {
                Some(field) => {
                    let fits = || field.check_belongs(value, |other| config.get(other).cloned());
                    (field.check_value(value).and_then(|()| fits()).err(), format!("{path}.{name}"))
                }
                None if self.secrets.contains_key(name) => (
                    Some("is a secret: put it into the credential instead".to_owned()),
                    format!("{path}.{name}"),
                ),
                None if self.open && FieldName::parse(name).is_ok() => (None, String::new()),
                // The name is not repeated: it may be a secret that was pasted into the wrong place.
                None => (
                    Some(format!("has an unknown setting; it takes {}", listed(&self.config))),
                    path.to_owned(),
                ),
            };
            if let Some(rule) = rule {
                violations.add(place, rule);
            }
        }
        violations.into_result()
    }

    /// Checks a credential; `path` is what the request calls it.
    ///
    /// # Errors
    /// A violation for each missing, unknown or wrong field, without values.
    pub fn check_secrets(&self, path: &str, secrets: &SecretFields) -> Result<(), Violations> {
        let mut violations = Violations::default();
        if secrets.is_empty() {
            violations.add(path, format!("must not be empty; it takes {}", listed(&self.secrets)));
            return Err(violations);
        }
        for (name, field) in
            self.secrets.iter().filter(|(name, field)| field.required && secrets.get(name.as_str()).is_none())
        {
            violations.add(format!("{path}[{name}]"), format!("must be given: {}", field.title));
        }
        for (name, value) in secrets.iter() {
            match self.secrets.get(name) {
                Some(field) => {
                    if let Err(rule) = field.check_text(value.expose_secret()) {
                        violations.add(format!("{path}[{name}]"), rule);
                    }
                }
                None if self.open => {}
                None => {
                    violations.add(path, format!("has an unknown field; it takes {}", listed(&self.secrets)))
                }
            }
        }
        violations.into_result()
    }

    /// The masked hints of a credential, by field.
    pub fn hints(&self, secrets: &SecretFields) -> BTreeMap<String, String> {
        let hint = |(name, value): (&FieldName, &SecretString)| {
            let text = value.expose_secret();
            let hint = match self.secrets.get(name) {
                Some(field) => field.hint(text),
                None => credvault_domain::mask(text),
            };
            Some((name.as_str().to_owned(), hint?))
        };
        secrets.iter().filter_map(hint).collect()
    }

    /// Whether a fetch leaves this field out unless policy says otherwise: refresh tokens, app secrets, webhook secrets.
    pub fn is_vault_only(&self, name: &FieldName) -> bool {
        self.secrets.get(name).is_some_and(|field| field.vault_only)
    }

    /// What requests to the provider carry. The app is needed where [`Mode::request_names_app`].
    pub fn request_auth(&self, config: &Config, secrets: &SecretFields, app: Option<&App>) -> RequestAuth {
        self.values(Given { config, secrets, app, flow: &Flow::default() }).request_auth(&self.request)
    }

    fn values<'a>(&'a self, given: Given<'a>) -> Values<'a> {
        let Given { config, secrets, app, flow } = given;
        Values { config, secrets, app, flow: Some(flow), fields: &self.config, derived: &self.derived }
    }

    fn fill(&self, call: &CallTemplates, given: Given<'_>) -> Result<ProviderRequest, Missing> {
        call.fill(&self.values(given)).map_err(Missing::from)
    }

    /// The filled call, with what every request of the mode carries unless the call names the same.
    fn carrying(&self, call: &CallTemplates, given: Given<'_>) -> Result<ProviderRequest, Missing> {
        let mut request = self.fill(call, given)?;
        let carried = self.request_auth(given.config, given.secrets, given.app);
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
    /// A value that the URL needs is missing.
    pub fn authorize_url(&self, given: Given<'_>) -> Option<Result<String, Missing>> {
        let authorize = self.oauth.as_ref()?.authorize.as_ref()?;
        let values = self.values(given);
        let base = match values.rendered(&authorize.url) {
            Ok(base) => base,
            Err(missing) => return Some(Err(missing.into())),
        };
        let pairs = values.pairs(&authorize.query);
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

    /// The request that gives tokens for a code.
    ///
    /// # Errors
    /// A value that the URL needs is missing.
    pub fn exchange(&self, given: Given<'_>) -> Option<Result<ProviderRequest, Missing>> {
        Some(self.fill(self.oauth.as_ref()?.exchange.as_ref()?, given))
    }

    /// The request that asks, with new tokens, for what their answer did not say. `None` where nothing is asked.
    ///
    /// # Errors
    /// A value that the URL needs is missing.
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
    /// A value that the URL needs is missing.
    pub fn renew(&self, given: Given<'_>) -> Option<Result<ProviderRequest, Missing>> {
        Some(self.fill(self.oauth.as_ref()?.renew.as_ref()?, given))
    }

    /// Whether access tokens of this mode can be renewed at all.
    pub fn renews(&self) -> bool {
        self.oauth.as_ref().is_some_and(|oauth| oauth.renew.is_some())
    }

    /// What has to be signed before [`Mode::renew`] can be sent.
    pub fn assertion(&self, given: Given<'_>) -> Option<Assertion> {
        let templates = self.oauth.as_ref()?.assertion.as_ref()?;
        let values = self.values(given);
        let claims = templates.claims.iter().filter_map(|(name, template)| {
            Some((name.clone(), Value::String(values.render(template)?.expose_secret().to_owned())))
        });
        Some(Assertion {
            claims: claims.collect(),
            key: values.render(&templates.key)?,
            key_id: templates
                .key_id
                .as_ref()
                .and_then(|template| Some(values.render(template)?.expose_secret().to_owned())),
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

    /// Whether the provider can be told that a credential of this mode is over.
    pub fn is_revocable(&self) -> bool {
        self.revoke.is_some()
    }

    /// The request that gives a token back.
    ///
    /// # Errors
    /// A value that the URL needs is missing.
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
    /// A value that the URL needs is missing.
    pub fn verify(&self, given: Given<'_>) -> Option<Result<ProviderRequest, Missing>> {
        let verify = self.verify.as_ref()?;
        Some(self.carrying(&verify.call, given))
    }

    /// Reads the answer to [`Mode::verify`].
    pub fn verdict(&self, status: u16, body: &Value) -> Option<Verdict> {
        Some(self.verify.as_ref()?.rules.read(status, body))
    }

    /// The JSON Schema (2020-12) of the config.
    pub fn config_schema(&self) -> Value {
        schema::object(&self.config, false, self.open)
    }

    /// The JSON Schema (2020-12) of the credential; every field is `writeOnly`.
    pub fn credential_schema(&self) -> Value {
        schema::object(&self.secrets, true, self.open)
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
    /// The private key, PEM (PKCS #8).
    pub key: SecretString,
    /// The `kid` of its header.
    pub key_id: Option<String>,
    /// From `iat` to `exp`.
    pub lifetime: std::time::Duration,
}

/// A value without which a request cannot be made, as templates call it: `config.shop`.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0} is missing")]
pub struct Missing(pub String);

impl From<Placeholder> for Missing {
    fn from(placeholder: Placeholder) -> Self {
        Self(placeholder.to_string())
    }
}

fn listed(fields: &BTreeMap<FieldName, Field>) -> String {
    if fields.is_empty() {
        return "none".to_owned();
    }
    fields.keys().map(FieldName::as_str).collect::<Vec<_>>().join(", ")
}
