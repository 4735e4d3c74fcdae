//! URLs of a provider file. A URL decides where secrets are sent, so what a caller may choose in it must be narrow.

use super::names::Names;
use super::problem::Problem;
use super::stage::Stage;
use crate::derived::Derived;
use crate::field::FieldKind;
use crate::template::{Placeholder, Template};

impl Names<'_> {
    /// Parses the URL of a call that the vault makes, or of a page that a browser is sent to.
    pub(super) fn url(&self, key: &str, text: &str, stage: Stage) -> Result<Template, Problem> {
        let template = self.template(key, text, stage)?;
        if template.optional().next().is_some() {
            return Err(Problem::new(key, "must not have an optional part: without a URL there is no call"));
        }
        // The app is the platform's own, and key ids have a narrow alphabet.
        let fixed = |placeholder: &Placeholder| {
            matches!(placeholder, Placeholder::App(_) | Placeholder::Flow("key_id" | "old_key_id"))
        };
        if let Some(wide) = template.placeholders().find(|it| !fixed(it) && !self.is_narrow(it)) {
            let text = format!(
                "refers to {wide}; a URL takes settings with a pattern or enum, what is looked up by one, and, behind \
                 the host, app.X"
            );
            return Err(Problem::new(key, text));
        }
        self.check_authority(key, &template)?;
        Ok(template)
    }

    /// Parses the URL to which callers append paths.
    pub(super) fn base_url(&self, key: &str, text: &str) -> Result<Template, Problem> {
        let template = self.template(key, text, Stage::Request)?;
        self.check_authority(key, &template)?;
        Ok(template)
    }

    /// Checks that the file itself or a narrow setting decides the host. A setting of the app never may: the app keeps
    /// its secrets when its settings are changed, so a changed host would receive them.
    fn check_authority(&self, key: &str, template: &Template) -> Result<(), Problem> {
        match template.authority().placeholders().find(|placeholder| !self.is_narrow(placeholder)) {
            Some(wide) => {
                let text = format!(
                    "refers to {wide} in its host; a host takes settings with a pattern or enum, and what is \
                     looked up by one"
                );
                Err(Problem::new(key, text))
            }
            None => Ok(()),
        }
    }

    /// Whether the values that a caller may choose for the placeholder are restricted.
    fn is_narrow(&self, placeholder: &Placeholder) -> bool {
        match placeholder {
            Placeholder::Config(name) => self.config.get(name.as_str()).is_some_and(|field| {
                field.pattern.is_some() || !field.values.is_empty() || field.kind == FieldKind::HttpsUrl
            }),
            Placeholder::Derived(name) => matches!(self.derived.get(name), Some(Derived::Lookup { .. })),
            Placeholder::Secret(_) | Placeholder::Member(..) | Placeholder::App(_) | Placeholder::Flow(_) => {
                false
            }
        }
    }
}
