//! A webhook as it arrived, before anything about it is believed.

use super::error::WebhookError;

/// A request as it arrived. The caller passes it on.
#[derive(Clone, Copy)]
pub struct Delivery<'a> {
    /// The HTTP method, in capitals.
    pub method: &'a str,
    /// The external URL that the provider called, absolute: behind a proxy, the one that the proxy was asked for.
    pub url: &'a str,
    /// Every header, repeated ones each time. Names in any case; values without white space at their ends.
    pub headers: &'a [(String, String)],
    /// The body's bytes, untouched.
    pub body: &'a [u8],
}

impl<'a> Delivery<'a> {
    /// A header's value. If a header has two different values, it is not known which of them was signed, so that is an error.
    pub(super) fn header(&self, name: &str) -> Result<Option<&'a str>, WebhookError> {
        let mut values =
            self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        let Some(first) = values.next() else { return Ok(None) };
        match values.all(|value| value == first) {
            true => Ok(Some(first)),
            false => Err(WebhookError::HeaderRepeated { header: name.to_owned() }),
        }
    }

    /// The header with the signature, which must be there.
    pub(super) fn signature(&self, name: &str) -> Result<&'a str, WebhookError> {
        self.header(name)?.ok_or_else(|| WebhookError::SignatureMissing { header: name.to_owned() })
    }
}
