//! The names that the templates of a mode may use, and the checks that a template uses no others. A name that can never
//! have a value is an error of the file: its entry would always be left out, or its call would never be made.

use std::collections::BTreeMap;

use credvault_domain::FieldName;

use super::problem::Problem;
use super::stage::Stage;
use crate::derived::Derived;
use crate::field::{Field, FieldKind};
use crate::provider::AppField;
use crate::shown::shown_name;
use crate::template::{Placeholder, Template};

/// The names that templates of a mode may use.
pub(super) struct Names<'a> {
    pub(super) config: &'a BTreeMap<FieldName, Field>,
    pub(super) secrets: &'a BTreeMap<FieldName, Field>,
    pub(super) derived: &'a BTreeMap<String, Derived>,
    pub(super) app: &'a BTreeMap<FieldName, AppField>,
    /// Whether the mode asks for scopes even if the caller chooses none.
    pub(super) scoped: bool,
}

impl Names<'_> {
    /// Parses a template that is filled at `stage`.
    pub(super) fn template(&self, key: &str, text: &str, stage: Stage) -> Result<Template, Problem> {
        let template = Template::parse(text).map_err(|problem| Problem::new(key, problem))?;
        self.check(key, &template)?;
        self.check_stage(key, &template, stage)?;
        Ok(template)
    }

    /// Parses templates of names and values.
    pub(super) fn pairs(
        &self,
        key: &str,
        pairs: BTreeMap<String, String>,
        stage: Stage,
    ) -> Result<Vec<(Template, Template)>, Problem> {
        let pair = |(name, value): (String, String)| {
            let key = format!("{key}.{name}");
            Ok((self.template(&key, &name, stage)?, self.template(&key, &value, stage)?))
        };
        pairs.into_iter().map(pair).collect()
    }

    /// Checks that a template refers to nothing that the mode does not have.
    pub(super) fn check(&self, key: &str, template: &Template) -> Result<(), Problem> {
        let unknown = template.needed().find(|placeholder| !self.has(placeholder));
        match unknown.or_else(|| template.optional().find(|placeholder| !self.may_have(placeholder))) {
            Some(unknown) => {
                let unknown = unknown.to_string();
                let text = format!("refers to {}, which this mode does not have", shown_name(&unknown));
                Err(Problem::new(key, text))
            }
            None => Ok(()),
        }
    }

    fn has(&self, placeholder: &Placeholder) -> bool {
        match placeholder {
            Placeholder::Config(name) => self.config.contains_key(name.as_str()),
            Placeholder::Secret(name) => self.secrets.contains_key(name.as_str()),
            Placeholder::Member(name, member) => self.secrets.get(name.as_str()).is_some_and(|field| {
                field.kind == FieldKind::Json && field.required_members.contains(member)
            }),
            Placeholder::Derived(name) => self.derived.contains_key(name.as_str()),
            Placeholder::App(name) => {
                matches!(name.as_str(), "client_id" | "client_secret") || self.app.contains_key(name.as_str())
            }
            Placeholder::Flow(_) => true,
        }
    }

    /// Whether an optional placeholder can have a value: its member need not be a required one.
    fn may_have(&self, placeholder: &Placeholder) -> bool {
        match placeholder {
            Placeholder::Member(name, _) => {
                self.secrets.get(name.as_str()).is_some_and(|field| field.kind == FieldKind::Json)
            }
            other @ (Placeholder::Config(_)
            | Placeholder::Secret(_)
            | Placeholder::Derived(_)
            | Placeholder::App(_)
            | Placeholder::Flow(_)) => self.has(other),
        }
    }

    /// Checks that a template can be filled at a stage.
    pub(super) fn check_stage(&self, key: &str, template: &Template, stage: Stage) -> Result<(), Problem> {
        let absent = |placeholder: &Placeholder| match placeholder {
            Placeholder::Derived(name) => {
                let templates = self.derived.get(name).map(Derived::templates).unwrap_or_default();
                !templates.into_iter().flat_map(Template::placeholders).all(|inner| stage.has(inner))
            }
            other @ (Placeholder::Config(_)
            | Placeholder::Secret(_)
            | Placeholder::Member(..)
            | Placeholder::App(_)
            | Placeholder::Flow(_)) => !stage.has(other),
        };
        if let Some(absent) = template.placeholders().find(|placeholder| absent(placeholder)) {
            let absent = absent.to_string();
            return Err(Problem::new(
                key,
                format!("refers to {}, which has no value there", shown_name(&absent)),
            ));
        }
        let scope = Placeholder::Flow("scope");
        if !self.scoped && template.needed().any(|placeholder| *placeholder == scope) {
            return Err(Problem::new(
                key,
                "refers to flow.scope, and no scope may be asked for: mark it as optional, {flow.scope?}",
            ));
        }
        Ok(())
    }

    /// Checks that the sources of derived values are there. `key_of` gives the key of a derived value.
    pub(super) fn check_derived(&self, key_of: impl Fn(&str) -> String) -> Result<(), Problem> {
        for (name, derived) in self.derived {
            let key = key_of(name);
            if let Derived::Lookup { setting, values } = derived {
                let setting = self.config.get(setting.as_str()).filter(|setting| !setting.values.is_empty());
                if !setting.is_some_and(|setting| setting.values.iter().all(|text| values.contains_key(text)))
                {
                    return Err(Problem::new(
                        key,
                        "must come from a setting with an enum, and have a value for each of its values",
                    ));
                }
            }
            if let Derived::When { setting, one_of, .. } = derived {
                let values = self.config.get(setting.as_str()).map(|setting| &setting.values);
                if !values.is_some_and(|values| one_of.iter().all(|value| values.contains(value))) {
                    return Err(Problem::new(key, "must name a setting with an enum, and values of it"));
                }
            }
            derived.templates().into_iter().try_for_each(|template| self.check(&key, template))?;
        }
        Ok(())
    }
}

/// Whether one of the templates refers to `{flow.name}`.
pub(super) fn refers_to_flow<'t>(templates: impl IntoIterator<Item = &'t Template>, name: &str) -> bool {
    let mut placeholders = templates.into_iter().flat_map(Template::placeholders);
    placeholders.any(|placeholder| matches!(placeholder, Placeholder::Flow(flow) if *flow == name))
}
