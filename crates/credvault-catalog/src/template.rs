//! Templates: texts with placeholders, such as `https://{config.shop}/admin` and `Bearer {secret.access_token}`. A
//! template knows the names of values and not the values themselves.
//!
//! `{{` and `}}` stand for braces. A placeholder with a question mark, `{config.team_id?}`, is optional: if it has no
//! value, the entry that contains the template is left out. If any other placeholder has no value, nothing is sent.

use std::borrow::Cow;

use secrecy::SecretString;

use crate::shown::shown_name;

/// A template, parsed into its parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Literal(String),
    Needed(Placeholder),
    Optional(Placeholder),
}

/// What a placeholder stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Placeholder {
    /// A setting of the connection.
    Config(String),
    /// A secret field of the credential.
    Secret(String),
    /// A string member of a secret field that holds a JSON object.
    Member(String, String),
    /// A value that is derived from others.
    Derived(String),
    /// A value of the platform's app at the provider: `client_id`, `client_secret`, or one of its settings.
    App(String),
    /// A value of the call in progress, one of [`FLOW`].
    Flow(&'static str),
}

impl Placeholder {
    fn parse(name: &str) -> Result<Self, String> {
        Ok(match name.split_once('.') {
            Some(("config", field)) => Self::Config(field.to_owned()),
            Some(("secret", field)) => match field.split_once('.') {
                Some((field, member)) => Self::Member(field.to_owned(), member.to_owned()),
                None => Self::Secret(field.to_owned()),
            },
            Some(("derived", field)) => Self::Derived(field.to_owned()),
            Some(("app", field)) => Self::App(field.to_owned()),
            Some(("flow", field)) => {
                let known = FLOW.iter().find(|known| **known == field);
                let unknown =
                    || format!("has {{flow.{}}}; a flow has {}", shown_name(field), FLOW.join(", "));
                Self::Flow(known.ok_or_else(unknown)?)
            }
            _ => {
                return Err(format!(
                    "has {{{}}}; a placeholder is config.X, secret.X, secret.X.MEMBER, derived.X, app.X or flow.X",
                    shown_name(name)
                ));
            }
        })
    }
}

impl std::fmt::Display for Placeholder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Config(name) => write!(f, "config.{name}"),
            Self::Secret(name) => write!(f, "secret.{name}"),
            Self::Member(name, member) => write!(f, "secret.{name}.{member}"),
            Self::Derived(name) => write!(f, "derived.{name}"),
            Self::App(name) => write!(f, "app.{name}"),
            Self::Flow(name) => write!(f, "flow.{name}"),
        }
    }
}

/// The names `X` of `{flow.X}`.
pub(crate) const FLOW: [&str; 18] = [
    // Values of a consent.
    "state",
    "redirect_uri",
    "scope",
    "code_challenge",
    "code",
    "code_verifier",
    // Where the provider posts a credential to, and the host of the vault's public address.
    "delivery_uri",
    "host",
    // For fetching a public key: the key's id (letters, digits, - and _ only), and an access token of the app.
    "key_id",
    "token",
    // The id of the key that is to be revoked (see `plain_key_id`).
    "old_key_id",
    // Values of every call: seconds since 1970, milliseconds since 1970, RFC 3339, a fresh UUID, a signed assertion.
    "now",
    "now_ms",
    "date",
    "uuid",
    "assertion",
    // How a client proves who it is with a key: the signed assertion, and the type that says that it is one.
    "client_assertion",
    "client_assertion_type",
];

impl std::fmt::Display for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Literal(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}")),
            Part::Needed(placeholder) => write!(f, "{{{placeholder}}}"),
            Part::Optional(placeholder) => write!(f, "{{{placeholder}?}}"),
        })
    }
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence about its key.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            literal.push_str(before);
            rest = if let Some(after) = brace.strip_prefix("{{") {
                literal.push('{');
                after
            } else if let Some(after) = brace.strip_prefix("}}") {
                literal.push('}');
                after
            } else if let Some(inside) = brace.strip_prefix('{') {
                let (name, after) = inside.split_once('}').ok_or("has a { without a }")?;
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(match name.strip_suffix('?') {
                    Some(name) => Part::Optional(Placeholder::parse(name)?),
                    None => Part::Needed(Placeholder::parse(name)?),
                });
                after
            } else {
                return Err("has a } without a {".to_owned());
            };
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self(parts))
    }

    /// All placeholders, first the needed and then the optional ones.
    pub(crate) fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.needed().chain(self.optional())
    }

    /// The placeholders that must have a value.
    pub(crate) fn needed(&self) -> impl Iterator<Item = &Placeholder> {
        self.0.iter().filter_map(|part| match part {
            Part::Needed(placeholder) => Some(placeholder),
            Part::Literal(_) | Part::Optional(_) => None,
        })
    }

    /// The beginning of a URL, up to the end of its authority (RFC 3986, section 3.2). The whole template, if no
    /// literal part ends the authority.
    pub(crate) fn authority(&self) -> Self {
        let mut parts = Vec::new();
        for part in &self.0 {
            let Part::Literal(text) = part else {
                parts.push(part.clone());
                continue;
            };
            let begin = text.find("://").map_or(0, |at| at + 3);
            let rest = text.get(begin..).unwrap_or_default();
            match rest.find(['/', '\\', '?', '#']) {
                Some(end) => {
                    parts.extend(text.get(..begin + end).map(|text| Part::Literal(text.to_owned())));
                    break;
                }
                None => parts.push(part.clone()),
            }
        }
        parts.retain(|part| *part != Part::Literal(String::new()));
        Self(parts)
    }

    /// The placeholders that are marked as optional.
    pub(crate) fn optional(&self) -> impl Iterator<Item = &Placeholder> {
        self.0.iter().filter_map(|part| match part {
            Part::Optional(placeholder) => Some(placeholder),
            Part::Literal(_) | Part::Needed(_) => None,
        })
    }

    /// Fills the template. `None` if an optional placeholder has no value.
    ///
    /// # Errors
    /// The first needed placeholder that has no value.
    pub(crate) fn render<'v>(
        &self,
        value: &impl Fn(&Placeholder) -> Option<Cow<'v, str>>,
    ) -> Result<Option<SecretString>, Placeholder> {
        if self.optional().any(|placeholder| value(placeholder).is_none()) {
            return Ok(None);
        }
        let mut output = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(literal) => output.push_str(literal),
                Part::Needed(placeholder) | Part::Optional(placeholder) => {
                    output.push_str(&value(placeholder).ok_or_else(|| placeholder.clone())?);
                }
            }
        }
        Ok(Some(output.into()))
    }
}

#[cfg(test)]
mod tests;
