//! Texts with placeholders: `https://{config.shop}/admin`, `Bearer {secret.access_token}`. Doubled braces are literal.

/// A parsed template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Literal(String),
    Placeholder(Placeholder),
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
                let unknown = || format!("has {{flow.{field}}}; a flow has {}", FLOW.join(", "));
                Self::Flow(known.ok_or_else(unknown)?)
            }
            _ => {
                return Err(format!(
                    "has {{{name}}}; a placeholder is config.X, secret.X, secret.X.MEMBER, derived.X, app.X or flow.X"
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
            Part::Placeholder(placeholder) => write!(f, "{{{placeholder}}}"),
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
                parts.push(Part::Placeholder(Placeholder::parse(name)?));
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
        self.0.iter().filter_map(|part| match part {
            Part::Literal(_) => None,
            Part::Placeholder(placeholder) => Some(placeholder),
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

    /// Appends the filled template to `output`; `None` if a placeholder has no value, with `output` then unusable.
    pub(crate) fn render<'v>(
        &self,
        output: &mut String,
        value: &impl Fn(&Placeholder) -> Option<std::borrow::Cow<'v, str>>,
    ) -> Option<()> {
        for part in &self.0 {
            match part {
                Part::Literal(literal) => output.push_str(literal),
                Part::Placeholder(placeholder) => output.push_str(&value(placeholder)?),
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_and_a_missing_one_gives_nothing() {
        let template = Template::parse("https://{config.shop}/x/{secret.key}").expect("valid");
        assert_eq!(template.placeholders().count(), 2);
        let fill = |missing: &str| {
            let value = |placeholder: &Placeholder| match placeholder {
                Placeholder::Config(name) if name != missing => Some("a".into()),
                Placeholder::Secret(name) if name != missing => Some("b".into()),
                _ => None,
            };
            let mut output = String::new();
            template.render(&mut output, &value).map(|()| output)
        };
        assert_eq!(fill("").as_deref(), Some("https://a/x/b"));
        assert_eq!(fill("key"), None);
    }

    #[test]
    fn doubled_braces_stand_for_themselves() {
        let cases = [
            ("query {{ shop {{ id }} }}", "query { shop { id } }"),
            ("{{{config.shop}}}", "{a}"),
            ("{{config.shop}}", "{config.shop}"),
            ("}}{{", "}{"),
        ];
        for (text, expected) in cases {
            let template = Template::parse(text).expect(text);
            let mut output = String::new();
            template.render(&mut output, &|_| Some("a".into())).expect("every placeholder has a value");
            assert_eq!(output, expected);
            assert_eq!(template.to_string(), text, "what is shown can be parsed again");
        }
    }

    #[test]
    fn malformed_templates_are_refused() {
        for text in
            ["{", "a{b", "}", "a}b", "{}", "{config}", "{env.HOME}", "{a{config.b}}", "{{a}", "{a}}", "{{{"]
        {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
