//! Calls to a provider: from templates to a request that is ready to be sent.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::request_auth::{RequestTemplates, Values};
use crate::template::{FLOW, Placeholder, Template};

/// How a request is sent.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "HTTP's own names")]
pub enum Method {
    Get,
    Post,
    Delete,
}

/// A request to a provider, complete. Everything in it may be secret but the method.
#[derive(Debug)]
pub struct ProviderRequest {
    /// How it is sent.
    pub method: Method,
    /// Where to. https, unless the provider's file says otherwise.
    pub url: String,
    /// Headers.
    pub headers: Vec<(String, SecretString)>,
    /// Query parameters, not yet percent-encoded.
    pub query: Vec<(String, SecretString)>,
    /// What it carries.
    pub body: Body,
}

/// The body of a request.
#[derive(Debug)]
pub enum Body {
    /// Nothing.
    Empty,
    /// Pairs, to be sent as `application/x-www-form-urlencoded`.
    Form(Vec<(String, SecretString)>),
    /// JSON, as text.
    Json(SecretString),
}

/// The platform's app at a provider, as templates see it.
#[derive(Clone, Debug)]
pub struct App {
    /// Its id there.
    pub client_id: String,
    /// Its secret. Absent for public clients.
    pub client_secret: Option<SecretString>,
    /// Further values that the provider's file refers to as `{app.X}`.
    pub settings: BTreeMap<String, String>,
    /// The same, where the provider's file calls them secret.
    pub secrets: BTreeMap<String, SecretString>,
}

/// What `{flow.X}` stands for. Unknown names are the programmer's error, and have no value.
#[derive(Clone, Default, Debug)]
pub struct Flow(BTreeMap<&'static str, SecretString>);

impl Flow {
    /// Sets a value. The names are those of `{flow.X}` in provider files.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<SecretString>) -> Self {
        if let Some(name) = FLOW.iter().find(|known| **known == name) {
            self.0.insert(name, value.into());
        }
        self
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(ExposeSecret::expose_secret)
    }
}

/// The templates of a call.
#[derive(Debug)]
pub(crate) struct CallTemplates {
    pub(crate) method: Method,
    pub(crate) url: Template,
    pub(crate) parts: RequestTemplates,
    pub(crate) body: BodyTemplates,
    /// Whether what the mode's requests carry is left out.
    pub(crate) bare: bool,
}

#[derive(Debug)]
pub(crate) enum BodyTemplates {
    Empty,
    Form(Vec<(Template, Template)>),
    Json(BTreeMap<String, JsonTemplate>),
}

/// JSON whose strings are templates.
#[derive(Debug)]
pub(crate) enum JsonTemplate {
    Text(Template),
    List(Vec<JsonTemplate>),
    Object(BTreeMap<String, JsonTemplate>),
    Plain(Value),
}

impl JsonTemplate {
    pub(crate) fn parse(value: &Value) -> Result<Self, String> {
        Ok(match value {
            Value::String(text) => Self::Text(Template::parse(text)?),
            Value::Array(items) => Self::List(items.iter().map(Self::parse).collect::<Result<_, _>>()?),
            Value::Object(members) => {
                let members = members.iter().map(|(name, value)| Ok((name.clone(), Self::parse(value)?)));
                Self::Object(members.collect::<Result<_, String>>()?)
            }
            other => Self::Plain(other.clone()),
        })
    }

    fn templates<'t>(&'t self, found: &mut Vec<&'t Template>) {
        match self {
            Self::Text(template) => found.push(template),
            Self::List(items) => items.iter().for_each(|item| item.templates(found)),
            Self::Object(members) => members.values().for_each(|member| member.templates(found)),
            Self::Plain(_) => {}
        }
    }

    /// `None` where an optional placeholder has no value: the member is left out.
    fn fill(&self, values: &Values<'_>) -> Result<Option<Value>, Placeholder> {
        Ok(Some(match self {
            Self::Text(template) => match values.render(template)? {
                Some(text) => Value::String(text.expose_secret().to_owned()),
                None => return Ok(None),
            },
            Self::List(items) => Value::Array(
                items.iter().filter_map(|item| item.fill(values).transpose()).collect::<Result<_, _>>()?,
            ),
            Self::Object(members) => Value::Object(filled(members, values)?),
            Self::Plain(value) => value.clone(),
        }))
    }
}

fn filled(
    members: &BTreeMap<String, JsonTemplate>,
    values: &Values<'_>,
) -> Result<serde_json::Map<String, Value>, Placeholder> {
    let member = |(name, member): (&String, &JsonTemplate)| {
        Some(member.fill(values).transpose()?.map(|value| (name.clone(), value)))
    };
    members.iter().filter_map(member).collect()
}

impl CallTemplates {
    /// Every template with its key in the provider file.
    pub(crate) fn all(&self) -> Vec<(&'static str, &Template)> {
        let mut all: Vec<_> = self.parts.all().collect();
        all.push(("url", &self.url));
        match &self.body {
            BodyTemplates::Empty => {}
            BodyTemplates::Form(pairs) => {
                all.extend(pairs.iter().flat_map(|(name, value)| [("form", name), ("form", value)]));
            }
            BodyTemplates::Json(members) => {
                let mut found = Vec::new();
                members.values().for_each(|member| member.templates(&mut found));
                all.extend(found.into_iter().map(|template| ("json", template)));
            }
        }
        all
    }

    /// The request.
    ///
    /// # Errors
    /// The first placeholder without a value that must have one.
    pub(crate) fn fill(&self, values: &Values<'_>) -> Result<ProviderRequest, Placeholder> {
        let body = match &self.body {
            BodyTemplates::Empty => Body::Empty,
            BodyTemplates::Form(pairs) => Body::Form(values.pairs(pairs)?),
            BodyTemplates::Json(members) => {
                Body::Json(Value::Object(filled(members, values)?).to_string().into())
            }
        };
        Ok(ProviderRequest {
            method: self.method,
            url: self.url(values)?,
            headers: values.headers(&self.parts)?,
            query: values.pairs(&self.parts.query)?,
            body,
        })
    }

    /// Where the request goes, without its query.
    ///
    /// # Errors
    /// The first placeholder without a value.
    pub(crate) fn url(&self, values: &Values<'_>) -> Result<String, Placeholder> {
        Ok(values.render(&self.url)?.unwrap_or_default().expose_secret().to_owned())
    }
}
