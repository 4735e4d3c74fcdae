//! The values that templates are filled with: settings, secret fields, the platform's app, the call in progress, and
//! what is derived from them. A value that is missing is an error here and never an empty text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use credvault_crypto::MacKey;
use credvault_domain::{Config, FieldName, SecretFields};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::derived::Derived;
use crate::field::{Field, FieldKind};
use crate::template::{FLOW, Placeholder, Template};

/// The platform's app at a provider, `{app.X}` in templates.
#[derive(Clone, Debug)]
pub struct App {
    /// The app's id at the provider.
    pub client_id: String,
    /// The app's secret. Absent for public clients.
    pub client_secret: Option<SecretString>,
    /// Further values of the app, by the names that the provider's file gives them.
    pub settings: BTreeMap<String, String>,
    /// Further values of the app that the provider's file declares secret.
    pub secrets: BTreeMap<String, SecretString>,
}

/// The values of a call in progress, `{flow.X}` in templates. A name that no template knows is ignored.
#[derive(Clone, Default, Debug)]
pub struct Flow(BTreeMap<&'static str, SecretString>);

impl Flow {
    /// Sets the value of `{flow.name}`.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<SecretString>) -> Self {
        if let Some(name) = FLOW.iter().find(|known| **known == name) {
            self.0.insert(name, value.into());
        }
        self
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(ExposeSecret::expose_secret)
    }
}

/// What the templates of a call are filled from.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The settings of the connection.
    pub config: &'a Config,
    /// The credential's secret fields.
    pub secrets: &'a SecretFields,
    /// The platform's app at the provider, if there is one.
    pub app: Option<&'a App>,
    /// The values of the call in progress.
    pub flow: &'a Flow,
}

/// The name of a value without which a request cannot be made, as templates write it: `config.shop`.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Missing(pub String);

impl Missing {
    /// Whether the value belongs to the platform's app, so that the connection's owner cannot supply it.
    pub fn is_apps(&self) -> bool {
        self.0.starts_with("app.")
    }

    /// Whether the value is a field of the credential.
    pub fn is_secret(&self) -> bool {
        self.0.starts_with("secret.")
    }
}

impl From<Placeholder> for Missing {
    fn from(placeholder: Placeholder) -> Self {
        Self(placeholder.to_string())
    }
}

/// Everything that templates of one provider are filled from: the given values and the file's rules for them.
pub(crate) struct Values<'a> {
    pub(crate) given: Given<'a>,
    /// The settings' fields, for defaults and types.
    pub(crate) fields: &'a BTreeMap<FieldName, Field>,
    pub(crate) derived: &'a BTreeMap<String, Derived>,
}

impl Values<'_> {
    /// Fills a template. `None` if an optional placeholder has no value.
    ///
    /// # Errors
    /// The first needed placeholder that has no value.
    pub(crate) fn render(&self, template: &Template) -> Result<Option<SecretString>, Placeholder> {
        template.render(&|placeholder| self.value(placeholder))
    }

    /// Fills names and values. An entry is left out if an optional placeholder in it has no value.
    ///
    /// # Errors
    /// The first needed placeholder that has no value.
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

    /// The value of a placeholder. `None` if there is none.
    pub(crate) fn value(&self, placeholder: &Placeholder) -> Option<Cow<'_, str>> {
        let Given { secrets, app, flow, .. } = self.given;
        match placeholder {
            Placeholder::Config(name) => self.setting(name),
            Placeholder::Secret(name) => Some(Cow::Borrowed(secrets.get(name)?.expose_secret())),
            Placeholder::Member(name, member) => {
                let object: Value = serde_json::from_str(secrets.get(name)?.expose_secret()).ok()?;
                Some(Cow::Owned(object.get(member)?.as_str()?.to_owned()))
            }
            Placeholder::App(name) => app?.value(name).map(Cow::Borrowed),
            Placeholder::Flow(name) => flow.get(name).map(Cow::Borrowed),
            Placeholder::Derived(name) => self.derived(self.derived.get(name)?),
        }
    }

    fn setting(&self, name: &str) -> Option<Cow<'_, str>> {
        let field = self.fields.get(name);
        let default = || field?.default.as_ref();
        match self.given.config.get(name).or_else(default)? {
            Value::String(text) if field.is_some_and(|field| field.kind == FieldKind::HttpsUrl) => {
                Some(Cow::Borrowed(text.trim_end_matches('/')))
            }
            Value::String(text) => Some(Cow::Borrowed(text)),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            Value::Bool(flag) => Some(Cow::Owned(flag.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// A derived value. `None` if a value that it follows from is missing.
    fn derived<'v>(&'v self, derived: &'v Derived) -> Option<Cow<'v, str>> {
        let render = |template| self.render(template).ok().flatten();
        match derived {
            Derived::Lookup { setting, values } => {
                values.get(self.setting(setting)?.as_ref()).map(|value| Cow::Borrowed(value.as_str()))
            }
            Derived::Hmac { key, message } => {
                let key = MacKey::new(render(key)?.expose_secret().as_bytes())?;
                let tag = key.sign(&[render(message)?.expose_secret()]);
                Some(Cow::Owned(tag.iter().map(|byte| format!("{byte:02x}")).collect()))
            }
            Derived::When { setting, one_of, value } => {
                let setting = self.setting(setting)?;
                one_of.iter().find(|known| **known == setting)?;
                Some(Cow::Owned(render(value)?.expose_secret().to_owned()))
            }
            Derived::Part { of, separator, index } => {
                let text = render(of)?;
                let part = text.expose_secret().split(separator.as_str()).nth(*index)?;
                (!part.is_empty()).then(|| Cow::Owned(part.to_owned()))
            }
            Derived::Claim { token, name } => claim(render(token)?.expose_secret(), name).map(Cow::Owned),
        }
    }
}

impl App {
    fn value(&self, name: &str) -> Option<&str> {
        match name {
            "client_id" => Some(self.client_id.as_str()),
            "client_secret" => Some(self.client_secret.as_ref()?.expose_secret()),
            name => match self.settings.get(name) {
                Some(value) => Some(value),
                None => self.secrets.get(name).map(ExposeSecret::expose_secret),
            },
        }
    }
}

/// The claim `name` of a JWT, if it is a text.
fn claim(token: &str, name: &str) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    claims.get(name)?.as_str().map(str::to_owned)
}
