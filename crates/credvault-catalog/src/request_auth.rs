//! What a caller adds to its own HTTP requests to the provider: base URL, headers and query parameters. The vault fills
//! these and sends no request of its own here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

use crate::template::{Placeholder, Template};
use crate::values::{Missing, Values};

/// Base URL, headers and query parameters of requests to the provider.
#[derive(Clone, Default, Debug)]
pub struct RequestAuth {
    /// The beginning of every URL, without a slash at its end.
    pub base_url: Option<String>,
    /// The headers, by name.
    pub headers: Vec<(String, SecretString)>,
    /// Query parameters by name. The caller percent-encodes them.
    pub query: Vec<(String, SecretString)>,
    /// The first value that requests need and that is missing.
    pub missing: Option<Missing>,
}

/// The two halves of basic authentication (RFC 7617).
#[derive(Debug)]
pub(crate) struct BasicTemplates {
    pub(crate) user: Template,
    pub(crate) password: Template,
    /// Whether both halves are form-encoded first, as RFC 6749, section 2.3.1 asks of clients.
    pub(crate) form_encoded: bool,
}

/// The templates of headers, query parameters and base URL.
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

    /// All headers, among them `Authorization` for basic authentication.
    ///
    /// # Errors
    /// The first needed placeholder that has no value.
    pub(crate) fn headers(&self, values: &Values<'_>) -> Result<Vec<(String, SecretString)>, Placeholder> {
        let mut headers = values.pairs(&self.headers)?;
        if let Some(basic) = &self.basic
            && let Some(value) = basic.fill(values)?
        {
            headers.push(("Authorization".to_owned(), value));
        }
        Ok(headers)
    }

    /// Fills everything that can be filled, and notes the first value that is missing.
    pub(crate) fn fill(&self, values: &Values<'_>) -> RequestAuth {
        let mut auth = RequestAuth::default();
        let mut missing = None;
        let mut note = |placeholder: Placeholder| {
            missing.get_or_insert_with(|| Missing::from(placeholder));
        };
        match self.base_url.as_ref().map(|url| values.render(url)).transpose() {
            Ok(url) => auth.base_url = url.flatten().map(|url| url.expose_secret().to_owned()),
            Err(placeholder) => note(placeholder),
        }
        self.headers(values).map_or_else(&mut note, |headers| auth.headers = headers);
        values.pairs(&self.query).map_or_else(&mut note, |query| auth.query = query);
        auth.missing = missing;
        auth
    }
}

impl BasicTemplates {
    /// The value of the `Authorization` header. `None` if an optional placeholder has no value.
    fn fill(&self, values: &Values<'_>) -> Result<Option<SecretString>, Placeholder> {
        let (Some(user), Some(password)) = (values.render(&self.user)?, values.render(&self.password)?)
        else {
            return Ok(None);
        };
        let half = |text: SecretString| match self.form_encoded {
            true => url::form_urlencoded::byte_serialize(text.expose_secret().as_bytes())
                .collect::<String>()
                .into(),
            false => text,
        };
        let (user, password) = (half(user), half(password));
        let joined = SecretString::from(format!("{}:{}", user.expose_secret(), password.expose_secret()));
        Ok(Some(format!("Basic {}", STANDARD.encode(joined.expose_secret())).into()))
    }
}
