//! Texts with placeholders: `https://{config.shop}/admin`, `Bearer {secret.access_token}`. Doubled braces are literal. A
//! placeholder with a question mark, `{config.team_id?}`, is optional: without a value for it the whole entry is left
//! out. Without a value for any other, nothing is sent.

use std::borrow::Cow;

use secrecy::SecretString;

use crate::locate::named;

/// A parsed template.
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
    /// A setting.
    Config(String),
    /// A secret field.
    Secret(String),
    /// A string member of a secret field that holds a JSON object.
    Member(String, String),
    /// A value that follows from a setting.
    Derived(String),
    /// A value of the platform's app at the provider: `client_id`, `client_secret`, or one of its settings.
    App(String),
    /// A value of the flow in progress, one of [`FLOW`].
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
                let unknown = || format!("has {{flow.{}}}; a flow has {}", named(field), FLOW.join(", "));
                Self::Flow(known.ok_or_else(unknown)?)
            }
            _ => {
                return Err(format!(
                    "has {{{}}}; a placeholder is config.X, secret.X, secret.X.MEMBER, derived.X, app.X or flow.X",
                    named(name)
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

/// What `{flow.X}` may stand for.
pub(crate) const FLOW: [&str; 15] = [
    // Of an authorisation.
    "state",
    "redirect_uri",
    "scope",
    "code_challenge",
    "code",
    "code_verifier",
    // Where a provider hands over keys, and the vault's own name there: the host of its address.
    "handoff_uri",
    "host",
    // Of the fetch of a public key: its id, letters, digits, - and _ only; a token of the app's own.
    "key_id",
    "token",
    // Of any call: seconds since 1970, the same in milliseconds, as RFC 3339, a fresh UUID, a signed assertion.
    "now",
    "now_ms",
    "date",
    "uuid",
    "assertion",
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
    /// Parses a template. `{{` and `}}` stand for the braces themselves.
    ///
    /// # Errors
    /// What is wrong with it, in words.
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

    /// What the template refers to.
    pub(crate) fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.needed().chain(self.optional())
    }

    /// Those that must have a value.
    pub(crate) fn needed(&self) -> impl Iterator<Item = &Placeholder> {
        self.0.iter().filter_map(|part| match part {
            Part::Needed(placeholder) => Some(placeholder),
            Part::Literal(_) | Part::Optional(_) => None,
        })
    }

    /// The part of a URL up to the end of its authority. The whole template where a placeholder may hold all of a URL.
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

    /// Those that are marked as optional.
    pub(crate) fn optional(&self) -> impl Iterator<Item = &Placeholder> {
        self.0.iter().filter_map(|part| match part {
            Part::Optional(placeholder) => Some(placeholder),
            Part::Literal(_) | Part::Needed(_) => None,
        })
    }

    /// The filled template; `None` if an optional placeholder has no value.
    ///
    /// # Errors
    /// The first placeholder without a value that must have one.
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
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn filled(text: &str, missing: &str) -> Result<Option<String>, Placeholder> {
        let value = |placeholder: &Placeholder| (placeholder.to_string() != missing).then_some("a".into());
        let rendered = Template::parse(text).expect(text).render(&value)?;
        Ok(rendered.map(|text| text.expose_secret().to_owned()))
    }

    #[test]
    fn what_is_needed_must_have_a_value_and_what_is_optional_need_not() {
        let text = "https://{config.shop}/x/{secret.key?}";
        assert_eq!(Template::parse(text).expect("valid").placeholders().count(), 2);
        assert_eq!(filled(text, ""), Ok(Some("https://a/x/a".to_owned())));
        assert_eq!(filled(text, "config.shop"), Err(Placeholder::Config("shop".to_owned())));
        assert_eq!(filled(text, "secret.key"), Ok(None));
    }

    #[test]
    fn doubled_braces_stand_for_themselves() {
        let cases = [
            ("query {{ shop {{ id }} }}", "query { shop { id } }"),
            ("{{{config.shop}}}", "{a}"),
            ("{{{config.shop?}}}", "{a}"),
            ("{{config.shop}}", "{config.shop}"),
            ("}}{{", "}{"),
        ];
        for (text, expected) in cases {
            assert_eq!(filled(text, ""), Ok(Some(expected.to_owned())));
            let shown = Template::parse(text).expect(text).to_string();
            assert_eq!(shown, text, "what is shown can be parsed again");
        }
    }

    #[test]
    fn malformed_templates_are_refused() {
        for text in [
            "{",
            "a{b",
            "}",
            "a}b",
            "{}",
            "{?}",
            "{config}",
            "{env.HOME}",
            "{a{config.b}}",
            "{{a}",
            "{a}}",
            "{{{",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
