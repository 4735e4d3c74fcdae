//! Pages at a provider on which the account's owner consents.

use secrecy::ExposeSecret as _;

use crate::template::{Placeholder, Template};
use crate::values::Values;

/// A page at the provider that the browser is sent to.
#[derive(Debug)]
pub struct ConsentPage {
    pub(crate) url: Template,
    pub(crate) query: Vec<(Template, Template)>,
}

impl ConsentPage {
    /// The page's URL with its query.
    ///
    /// # Errors
    /// The first needed placeholder that has no value.
    pub(crate) fn full_url(&self, values: &Values<'_>) -> Result<String, Placeholder> {
        let url = self.url(values)?;
        let pairs = values.pairs(&self.query)?;
        let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.expose_secret()));
        let query: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        // Spaces as %20, because not every provider reads a plus in a URL.
        let query = query.replace('+', "%20");
        let separator = if url.contains('?') { '&' } else { '?' };
        Ok(format!("{url}{separator}{query}"))
    }

    /// The page's URL without its query.
    ///
    /// # Errors
    /// The first needed placeholder that has no value.
    pub(crate) fn url(&self, values: &Values<'_>) -> Result<String, Placeholder> {
        Ok(values.render(&self.url)?.unwrap_or_default().expose_secret().to_owned())
    }
}
