//! Requests of a mode to its provider: which templates are filled, and with what. Nothing is sent here.

use credvault_domain::{Config, SecretFields};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use crate::assertion::{Assertion, AssertionTemplates};
use crate::call::{Call, ProviderRequest};
use crate::consent_page::ConsentPage;
use crate::derived::Derived;
use crate::mode::{Acquisition, Mode};
use crate::oauth::Rotation;
use crate::request_auth::RequestAuth;
use crate::rotation::{Mint, plain_key_id};
use crate::template::{Placeholder, Template};
use crate::values::{App, Flow, Given, Missing, Values};

impl Mode {
    /// What the requests of callers carry, and the first value that they need and that is missing. The app is needed if
    /// [`Mode::request_names_app`] says so.
    pub fn request_auth(&self, config: &Config, secrets: &SecretFields, app: Option<&App>) -> RequestAuth {
        self.request.fill(&self.values(Given { config, secrets, app, flow: &Flow::default() }))
    }

    /// The request that `call`, one of this mode's, describes.
    ///
    /// # Errors
    /// The name of a value that the request needs and that is missing.
    pub fn request(&self, call: &Call, given: Given<'_>) -> Result<ProviderRequest, Missing> {
        let mut request = call.fill(&self.values(given)).map_err(Missing::from)?;
        if !call.carries_auth {
            return Ok(request);
        }
        let carried = self.request_auth(given.config, given.secrets, given.app);
        if let Some(missing) = carried.missing {
            return Err(missing);
        }
        add_absent(&mut request.headers, carried.headers);
        add_absent(&mut request.query, carried.query);
        Ok(request)
    }

    /// The id of a key at the provider, as `mint` has it follow from the fields of the credential. `None` if it does not.
    pub fn key_id(&self, mint: &Mint, config: &Config, secrets: &SecretFields) -> Option<String> {
        let template = mint.key_id.as_ref()?;
        let flow = Flow::default();
        let values = self.values(Given { config, secrets, app: None, flow: &flow });
        plain_key_id(&values.render(template).ok()??)
    }

    /// Whether the provider can make another key for a connection with these settings: the call for it, and the test of the new
    /// key, have all settings that they need.
    pub fn mints_with(&self, config: &Config) -> bool {
        let Some(mint) = self.mint() else { return false };
        let test = self.test.as_ref().map(|test| &test.call);
        let calls = [Some(&mint.call), test.filter(|_| mint.is_tested())];
        self.check_destinations(config).is_ok()
            && calls.into_iter().flatten().all(|call| self.has_settings(call, config))
    }

    /// Whether the settings are there that a call needs. What follows from secrets is not known here, and counts as there.
    fn has_settings(&self, call: &Call, config: &Config) -> bool {
        let (secrets, flow) = (SecretFields::default(), Flow::default());
        let values = self.values(Given { config, secrets: &secrets, app: None, flow: &flow });
        let is_setting = |placeholder: &Placeholder| matches!(placeholder, Placeholder::Config(_));
        let is_there = |placeholder: &Placeholder| match placeholder {
            Placeholder::Config(_) => values.value(placeholder).is_some(),
            Placeholder::Derived(name) => {
                let templates = self.derived.get(name).map(Derived::templates).unwrap_or_default();
                let mut of = templates.into_iter().flat_map(Template::placeholders);
                of.any(|inner| !is_setting(inner)) || values.value(placeholder).is_some()
            }
            Placeholder::Secret(_) | Placeholder::Member(..) | Placeholder::App(_) | Placeholder::Flow(_) => {
                true
            }
        };
        let carried = call.carries_auth.then(|| self.request.all().map(|(_, template)| template));
        call.templates().chain(carried.into_iter().flatten()).flat_map(Template::needed).all(is_there)
    }

    /// The account for which `mint` makes a key, where settings name one. The test of the credential must report it before.
    pub fn minted_account(&self, mint: &Mint, config: &Config) -> Option<String> {
        let (secrets, flow) = (SecretFields::default(), Flow::default());
        let values = self.values(Given { config, secrets: &secrets, app: None, flow: &flow });
        let account = values.render(mint.account.as_ref()?).ok()??;
        Some(account.expose_secret().to_owned())
    }

    /// The page that the browser is sent to for a consent. `None` if the mode has no consent.
    pub fn consent_page(&self) -> Option<&ConsentPage> {
        match &self.acquisition {
            Acquisition::Static => None,
            Acquisition::Tokens(oauth) => oauth.code.as_ref().map(|grant| &grant.authorize.page),
            Acquisition::Delivered(delivery) => Some(&delivery.page),
        }
    }

    /// The URL of `page`, one of this mode's, with its query.
    ///
    /// # Errors
    /// The name of a value that the URL needs and that is missing.
    pub fn consent_url(&self, page: &ConsentPage, given: Given<'_>) -> Result<String, Missing> {
        page.full_url(&self.values(given)).map_err(Missing::from)
    }

    /// The URL that decides who receives the outcome of a consent: where the code is exchanged, or the page that
    /// delivers the credential. `None` if the mode has no consent, or a setting is missing.
    pub fn exchange_url(&self, config: &Config, app: Option<&App>) -> Option<String> {
        let (secrets, flow) = (SecretFields::default(), Flow::default());
        let values = |app| self.values(Given { config, secrets: &secrets, app, flow: &flow });
        match &self.acquisition {
            Acquisition::Static => None,
            Acquisition::Tokens(oauth) => oauth.code.as_ref()?.exchange.url(&values(app)).ok(),
            Acquisition::Delivered(delivery) => delivery.page.url(&values(None)).ok(),
        }
    }

    /// The value that the `iss` of a callback and of an ID token must have. `None` if the provider's file names none.
    pub fn issuer(&self, config: &Config) -> Option<String> {
        let template = self.code_grant()?.authorize.issuer.as_ref()?;
        let (secrets, flow) = (SecretFields::default(), Flow::default());
        let issuer =
            self.values(Given { config, secrets: &secrets, app: None, flow: &flow }).render(template);
        Some(issuer.ok()??.expose_secret().to_owned())
    }

    /// Whether every callback has `iss`.
    pub fn sends_issuer(&self, config: &Config) -> bool {
        self.code_grant().is_some_and(|grant| {
            let setting = grant.authorize.sends_issuer_setting.as_ref();
            let said = setting.and_then(|name| config.get(name.as_str())).and_then(Value::as_bool);
            grant.authorize.sends_issuer || said.unwrap_or_default()
        })
    }

    /// Whether a refresh sends a refresh token, and `secrets` has none.
    pub fn lacks_refresh_token(&self, secrets: &SecretFields) -> bool {
        self.refresh_sends("refresh_token")
            && secrets.get("refresh_token").is_none_or(|token| token.expose_secret().is_empty())
    }

    /// Whether a refresh sends this secret field.
    pub fn refresh_sends(&self, secret: &str) -> bool {
        let sends = |template: &Template| {
            let is_it = |placeholder: &Placeholder| matches!(placeholder, Placeholder::Secret(name) if name == secret);
            template.placeholders().any(is_it)
        };
        self.refresh().is_some_and(|refresh| refresh.call.templates().any(sends))
    }

    /// Whether a refresh may use up the refresh token, so that its answer must be kept.
    pub fn spends_refresh_token(&self) -> bool {
        let rotates = self.refresh().is_some_and(|refresh| refresh.policy.rotates != Rotation::No);
        rotates && self.refresh_sends("refresh_token")
    }

    /// Whether the provider can be asked about a credential before it is stored: by the mode's test, or by getting the
    /// access token that it gives, if that uses nothing up.
    pub fn can_be_tried(&self) -> bool {
        let gets_token = self.refreshes() && !self.refresh_sends("access_token");
        !self.spends_refresh_token() && (self.test.is_some() || gets_token)
    }

    /// The assertion that must be signed before a refresh is sent.
    ///
    /// # Errors
    /// The name of a value that the assertion needs and that is missing.
    pub fn assertion(&self, templates: &AssertionTemplates, given: Given<'_>) -> Result<Assertion, Missing> {
        let values = self.values(given);
        let text = |template| Ok(values.render(template)?.map(|text| text.expose_secret().to_owned()));
        let filled = || {
            let mut claims = Map::new();
            for (name, template) in &templates.claims {
                if let Some(value) = text(template)? {
                    claims.insert(name.clone(), Value::String(value));
                }
            }
            Ok(Assertion {
                claims,
                key: values.render(&templates.key)?.unwrap_or_default(),
                algorithms: templates.algorithms.clone(),
                key_id: templates.key_id.as_ref().map(text).transpose()?.flatten(),
                lifetime: templates.lifetime,
            })
        };
        filled().map_err(|placeholder: Placeholder| placeholder.into())
    }

    /// The assertion by which the calls of this mode prove who the client is. `None` if there is no key for it: the
    /// client then has a secret, or is public.
    ///
    /// # Errors
    /// The name of a value that the assertion needs and that is missing.
    pub fn client_assertion(&self, given: Given<'_>) -> Result<Option<Assertion>, Missing> {
        let Some(templates) = self.oauth().and_then(|oauth| oauth.client_assertion.as_ref()) else {
            return Ok(None);
        };
        match self.values(given).render(&templates.key).map_err(Missing::from)? {
            Some(key) if !key.expose_secret().is_empty() => self.assertion(templates, given).map(Some),
            Some(_) | None => Ok(None),
        }
    }

    /// The private key that signs assertions. `None` if the credential has none.
    pub(crate) fn signing_key(
        &self,
        assertion: &AssertionTemplates,
        secrets: &SecretFields,
    ) -> Option<SecretString> {
        let (config, flow) = (Config::default(), Flow::default());
        let values = self.values(Given { config: &config, secrets, app: None, flow: &flow });
        values.render(&assertion.key).ok()?
    }

    pub(crate) fn values<'a>(&'a self, given: Given<'a>) -> Values<'a> {
        Values { given, fields: &self.config, derived: &self.derived }
    }
}

/// Adds those of `more` whose name `pairs` does not have yet. Case is ignored.
fn add_absent(pairs: &mut Vec<(String, SecretString)>, more: Vec<(String, SecretString)>) {
    for (name, value) in more {
        if pairs.iter().all(|(present, _)| !present.eq_ignore_ascii_case(&name)) {
            pairs.push((name, value));
        }
    }
}
