//! The content that a webhook's signature covers: a text of literals and parts of the delivery.

use crate::shown::shown_name;

/// A part of the signed content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Signed {
    /// A text that is the same in every delivery.
    Literal(String),
    /// The HTTP method of the delivery.
    Method,
    /// The URL that the provider called.
    Url,
    /// Path and query of that URL.
    Target,
    /// The body as it was sent.
    Body,
    /// The body's SHA-256, in lower-case hexadecimal.
    BodySha256,
    /// The text of the time's header.
    Timestamp,
    /// The text of the delivery id's header.
    Id,
    /// The app's id at the provider.
    ClientId,
}

impl Signed {
    /// Parses a text such as `v0:{timestamp}:{body}`.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence about its key.
    pub(crate) fn parse(text: &str) -> Result<Vec<Self>, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("has a { without a }")?;
            if !literal.is_empty() {
                parts.push(Self::Literal(literal.to_owned()));
            }
            parts.push(match name {
                "method" => Self::Method,
                "url" => Self::Url,
                "target" => Self::Target,
                "body" => Self::Body,
                "body_sha256" => Self::BodySha256,
                "timestamp" => Self::Timestamp,
                "id" => Self::Id,
                "app.client_id" => Self::ClientId,
                _ => return Err(format!("has {{{}}}, which is no part of a webhook", shown_name(name))),
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Self::Literal(rest.to_owned()));
        }
        Ok(parts)
    }
}
