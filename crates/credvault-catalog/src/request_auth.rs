//! Ready-made request authentication: what a caller adds to its HTTP requests.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use credvault_domain::{Config, FieldName, SecretFields};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::call::{App, Flow};
use crate::derived::Derived;
use crate::field::Field;
use crate::file::FieldKind;
use crate::mode::Missing;
use crate::template::{Placeholder, Template};

/// Base URL, headers and query parameters of requests to the provider.
#[derive(Clone, Default, Debug)]
pub struct RequestAuth {
    /// What every URL begins with, without a slash at the end.
    pub base_url: Option<String>,
    /// Headers.
    pub headers: Vec<(String, SecretString)>,
    /// Query parameters, to be percent-encoded by the caller.
    pub query: Vec<(String, SecretString)>,
    /// What requests must carry beside that, and what has no value.
    pub missing: Option<Missing>,
}

/// The two halves of basic authentication (RFC 7617).
#[derive(Debug)]
pub(crate) struct BasicTemplates {
    pub(crate) user: Template,
    pub(crate) password: Template,
    /// Whether both are form-encoded first, as RFC 6749, section 2.3.1 wants it of clients.
    pub(crate) form_encoded: bool,
}

/// The templates of a mode.
#[derive(Default, Debug)]
pub(crate) struct RequestTemplates {
    pub(crate) base_url: Option<Template>,
    pub(crate) basic: Option<BasicTemplates>,
    pub(crate) headers: Vec<(Template, Template)>,
    pub(crate) query: Vec<(Template, Template)>,
}

impl RequestTemplates {
    /// Every template with its key in the provider file.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, &Template)> {
        let basic = self
            .basic
            .iter()
            .flat_map(|basic| [("basic.user", &basic.user), ("basic.password", &basic.password)]);
        let headers = self.headers.iter().flat_map(|(name, value)| [("headers", name), ("headers", value)]);
        let query = self.query.iter().flat_map(|(name, value)| [("query", name), ("query", value)]);
        self.base_url.iter().map(|url| ("base_url", url)).chain(basic).chain(headers).chain(query)
    }
}

/// What the templates of one request are filled from.
pub(crate) struct Values<'a> {
    pub(crate) config: &'a Config,
    pub(crate) secrets: &'a SecretFields,
    pub(crate) app: Option<&'a App>,
    pub(crate) flow: Option<&'a Flow>,
    pub(crate) fields: &'a BTreeMap<FieldName, Field>,
    pub(crate) derived: &'a BTreeMap<String, Derived>,
}

impl Values<'_> {
    pub(crate) fn setting(&self, name: &str) -> Option<Cow<'_, str>> {
        let field = self.fields.get(name);
        let default = || field?.default.as_ref();
        match self.config.get(name).or_else(default)? {
            Value::String(text) if field.is_some_and(|field| field.kind == FieldKind::HttpsUrl) => {
                Some(Cow::Borrowed(text.trim_end_matches('/')))
            }
            Value::String(text) => Some(Cow::Borrowed(text)),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            Value::Bool(flag) => Some(Cow::Owned(flag.to_string())),
            _ => None,
        }
    }

    pub(crate) fn value(&self, placeholder: &Placeholder) -> Option<Cow<'_, str>> {
        match placeholder {
            Placeholder::Config(name) => self.setting(name),
            Placeholder::Secret(name) => Some(Cow::Borrowed(self.secrets.get(name)?.expose_secret())),
            Placeholder::Member(name, member) => {
                let object: Value = serde_json::from_str(self.secrets.get(name)?.expose_secret()).ok()?;
                Some(Cow::Owned(object.get(member)?.as_str()?.to_owned()))
            }
            Placeholder::App(name) => {
                let app = self.app?;
                match name.as_str() {
                    "client_id" => Some(Cow::Borrowed(app.client_id.as_str())),
                    "client_secret" => Some(Cow::Borrowed(app.client_secret.as_ref()?.expose_secret())),
                    name => match app.settings.get(name) {
                        Some(value) => Some(Cow::Borrowed(value.as_str())),
                        None => app.secrets.get(name).map(|value| Cow::Borrowed(value.expose_secret())),
                    },
                }
            }
            Placeholder::Flow(name) => self.flow?.get(name).map(Cow::Borrowed),
            Placeholder::Derived(name) => self.derived.get(name)?.value(self),
        }
    }

    /// The filled template; `None` if an optional placeholder has no value.
    ///
    /// # Errors
    /// The first placeholder without a value that must have one.
    pub(crate) fn render(&self, template: &Template) -> Result<Option<SecretString>, Placeholder> {
        template.render(&|placeholder| self.value(placeholder))
    }

    /// Fills names and values. An entry with an optional placeholder that has no value is left out.
    pub(crate) fn pairs(
        &self,
        templates: &[(Template, Template)],
    ) -> Result<Vec<(String, SecretString)>, Placeholder> {
        let mut pairs = Vec::with_capacity(templates.len());
        for (name, value) in templates {
            if let (Some(name), Some(value)) = (self.render(name)?, self.render(value)?) {
                pairs.push((name.expose_secret().to_owned(), value));
            }
        }
        Ok(pairs)
    }

    /// All headers, `Authorization` for basic authentication among them.
    pub(crate) fn headers(
        &self,
        templates: &RequestTemplates,
    ) -> Result<Vec<(String, SecretString)>, Placeholder> {
        let mut headers = self.pairs(&templates.headers)?;
        if let Some(BasicTemplates { user, password, form_encoded }) = &templates.basic
            && let (Some(user), Some(password)) = (self.render(user)?, self.render(password)?)
        {
            let half = |text: SecretString| match form_encoded {
                true => url::form_urlencoded::byte_serialize(text.expose_secret().as_bytes())
                    .collect::<String>()
                    .into(),
                false => text,
            };
            let (user, password) = (half(user), half(password));
            let joined = SecretString::from(format!("{}:{}", user.expose_secret(), password.expose_secret()));
            let value = format!("Basic {}", STANDARD.encode(joined.expose_secret()));
            headers.push(("Authorization".to_owned(), value.into()));
        }
        Ok(headers)
    }

    /// Fills what requests carry, as far as it can be filled.
    pub(crate) fn request_auth(&self, templates: &RequestTemplates) -> RequestAuth {
        let mut auth = RequestAuth::default();
        let mut missing = None;
        let mut note = |placeholder: Placeholder| {
            missing.get_or_insert_with(|| Missing::from(placeholder));
        };
        match templates.base_url.as_ref().map(|url| self.render(url)).transpose() {
            Ok(url) => auth.base_url = url.flatten().map(|url| url.expose_secret().to_owned()),
            Err(placeholder) => note(placeholder),
        }
        self.headers(templates).map_or_else(&mut note, |headers| auth.headers = headers);
        self.pairs(&templates.query).map_or_else(&mut note, |query| auth.query = query);
        auth.missing = missing;
        auth
    }
}
