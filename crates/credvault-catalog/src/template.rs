//! Texts with placeholders: `https://{config.shop}/admin`, `Bearer {secret.access_token}`.

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
pub(crate) const FLOW: [&str; 11] = [
    // Of an authorisation.
    "state",
    "redirect_uri",
    "scope",
    "code_challenge",
    "code",
    "code_verifier",
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
            Part::Literal(text) => f.write_str(text),
            Part::Placeholder(placeholder) => write!(f, "{{{placeholder}}}"),
        })
    }
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("has a { without a }")?;
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            parts.push(Part::Placeholder(match name.split_once('.') {
                Some(("config", field)) => Placeholder::Config(field.to_owned()),
                Some(("secret", field)) => match field.split_once('.') {
                    Some((field, member)) => Placeholder::Member(field.to_owned(), member.to_owned()),
                    None => Placeholder::Secret(field.to_owned()),
                },
                Some(("derived", field)) => Placeholder::Derived(field.to_owned()),
                Some(("app", field)) => Placeholder::App(field.to_owned()),
                Some(("flow", field)) => {
                    let known = FLOW.iter().find(|known| **known == field);
                    Placeholder::Flow(known.ok_or_else(|| {
                        format!("has {{flow.{field}}}; a flow has {}", FLOW.join(", "))
                    })?)
                }
                _ => {
                    return Err(format!(
                        "has {{{name}}}; a placeholder is config.X, secret.X, secret.X.MEMBER, derived.X, app.X or flow.X"
                    ));
                }
            }));
            rest = after;
        }
        if rest.contains('}') {
            return Err("has a } without a {".to_owned());
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
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
    fn malformed_templates_are_refused() {
        for text in ["{", "a{b", "}", "a}b", "{}", "{config}", "{env.HOME}", "{a{config.b}}"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
