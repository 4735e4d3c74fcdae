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
}

/// The templates of a mode.
#[derive(Default, Debug)]
pub(crate) struct RequestTemplates {
    pub(crate) base_url: Option<Template>,
    pub(crate) basic: Option<(Template, Template)>,
    pub(crate) headers: Vec<(Template, Template)>,
    pub(crate) query: Vec<(Template, Template)>,
}

impl RequestTemplates {
    /// Every template with its key in the provider file.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, &Template)> {
        let basic = self
            .basic
            .iter()
            .flat_map(|(user, password)| [("basic.user", user), ("basic.password", password)]);
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

    pub(crate) fn render(&self, template: &Template) -> Option<SecretString> {
        let mut output = String::new();
        template.render(&mut output, &|placeholder| self.value(placeholder))?;
        Some(SecretString::from(output))
    }

    /// The filled template, or the first placeholder that has no value.
    pub(crate) fn rendered(&self, template: &Template) -> Result<SecretString, Placeholder> {
        match template.placeholders().find(|placeholder| self.value(placeholder).is_none()) {
            Some(missing) => Err(missing.clone()),
            None => Ok(self.render(template).unwrap_or_default()),
        }
    }

    pub(crate) fn pairs(&self, templates: &[(Template, Template)]) -> Vec<(String, SecretString)> {
        let pair = |(name, value): &(Template, Template)| {
            Some((self.render(name)?.expose_secret().to_owned(), self.render(value)?))
        };
        templates.iter().filter_map(pair).collect()
    }

    /// Fills the templates. An entry whose placeholders are not all filled is left out.
    pub(crate) fn request_auth(&self, templates: &RequestTemplates) -> RequestAuth {
        let base_url = templates.base_url.as_ref().and_then(|url| self.render(url));
        let mut headers = self.pairs(&templates.headers);
        let basic = templates.basic.as_ref().and_then(|(user, password)| {
            let (user, password) = (self.render(user)?, self.render(password)?);
            let joined = SecretString::from(format!("{}:{}", user.expose_secret(), password.expose_secret()));
            Some(SecretString::from(format!("Basic {}", STANDARD.encode(joined.expose_secret()))))
        });
        headers.extend(basic.map(|value| ("Authorization".to_owned(), value)));
        RequestAuth {
            base_url: base_url.map(|url| url.expose_secret().to_owned()),
            headers,
            query: self.pairs(&templates.query),
        }
    }
}
