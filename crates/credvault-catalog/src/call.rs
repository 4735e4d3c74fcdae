//! Calls to a provider: from templates to a request that is ready to be sent. Nothing is sent here.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::json_template::{JsonTemplate, fill_members};
use crate::request_auth::RequestTemplates;
use crate::template::{Placeholder, Template};
use crate::values::Values;

/// The HTTP method of a request.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the variants have HTTP's own names")]
pub enum Method {
    Get,
    Post,
    Delete,
}

/// A complete request to a provider. Everything in it but the method may be secret.
#[derive(Debug)]
pub struct ProviderRequest {
    /// The request's HTTP method.
    pub method: Method,
    /// The URL, without the query parameters below. Its scheme is https unless the provider's file names another.
    pub url: String,
    /// The headers, by name.
    pub headers: Vec<(String, SecretString)>,
    /// Query parameters by name, not yet percent-encoded.
    pub query: Vec<(String, SecretString)>,
    /// The body, if the request has one.
    pub body: Body,
}

/// The body of a request.
#[derive(Debug)]
pub enum Body {
    /// The request has no body.
    Empty,
    /// Pairs, to be sent as `application/x-www-form-urlencoded`.
    Form(Vec<(String, SecretString)>),
    /// JSON, written as text.
    Json(SecretString),
}

/// A call that a provider's file describes; `Mode::request` makes a request of it.
#[derive(Debug)]
pub struct Call {
    pub(crate) method: Method,
    pub(crate) url: Template,
    pub(crate) parts: RequestTemplates,
    pub(crate) body: BodyTemplates,
    /// Whether the request also carries the headers and query parameters of the mode's own requests.
    pub(crate) carries_auth: bool,
}

/// The templates of a call's body.
#[derive(Debug)]
pub(crate) enum BodyTemplates {
    Empty,
    Form(Vec<(Template, Template)>),
    Json(BTreeMap<String, JsonTemplate>),
}

impl Call {
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
                members.values().for_each(|member| member.collect_templates(&mut found));
                all.extend(found.into_iter().map(|template| ("json", template)));
            }
        }
        all
    }

    /// Every template, without its key.
    pub(crate) fn templates(&self) -> impl Iterator<Item = &Template> {
        self.all().into_iter().map(|(_, template)| template)
    }

    /// Fills the call's own templates.
    ///
    /// # Errors
    /// The first needed placeholder that has no value.
    pub(crate) fn fill(&self, values: &Values<'_>) -> Result<ProviderRequest, Placeholder> {
        let body = match &self.body {
            BodyTemplates::Empty => Body::Empty,
            BodyTemplates::Form(pairs) => Body::Form(values.pairs(pairs)?),
            BodyTemplates::Json(members) => {
                Body::Json(Value::Object(fill_members(members, values)?).to_string().into())
            }
        };
        Ok(ProviderRequest {
            method: self.method,
            url: self.url(values)?,
            headers: self.parts.headers(values)?,
            query: values.pairs(&self.parts.query)?,
            body,
        })
    }

    /// Fills the URL, without the query.
    ///
    /// # Errors
    /// The first needed placeholder that has no value.
    pub(crate) fn url(&self, values: &Values<'_>) -> Result<String, Placeholder> {
        Ok(values.render(&self.url)?.unwrap_or_default().expose_secret().to_owned())
    }
}
