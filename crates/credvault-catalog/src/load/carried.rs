//! What the requests of callers reveal: secrets of the platform's app, and secrets that a fetch must leave out. It is
//! decided from the file and not from values, so it holds for every connection.

use super::names::Names;
use super::problem::Problem;
use crate::derived::Derived;
use crate::provider::AppField;
use crate::request_auth::RequestTemplates;
use crate::template::{Placeholder, Template};

impl Names<'_> {
    /// Whether one of the templates needs the platform's app.
    pub(super) fn names_app<'t>(&self, templates: impl IntoIterator<Item = &'t Template>) -> bool {
        let of_app = |template: &Template| {
            template.placeholders().any(|placeholder| matches!(placeholder, Placeholder::App(_)))
        };
        let derived = |placeholder: &Placeholder| match placeholder {
            Placeholder::Derived(name) => {
                self.derived.get(name).is_some_and(|derived| derived.templates().into_iter().any(of_app))
            }
            Placeholder::Config(_)
            | Placeholder::Secret(_)
            | Placeholder::Member(..)
            | Placeholder::App(_)
            | Placeholder::Flow(_) => false,
        };
        templates.into_iter().any(|it| of_app(it) || it.placeholders().any(derived))
    }

    /// The secrets of the platform's app that requests reveal, by the names that audit records have:
    /// `app.client_secret`. An HMAC does not reveal its key.
    pub(super) fn app_secrets(&self, request: &RequestTemplates) -> Vec<String> {
        let is_secret =
            |name: &str| name == "client_secret" || self.app.get(name).is_some_and(AppField::is_secret);
        let revealed = request.all().flat_map(|(_, template)| self.revealed(template));
        let mut names: Vec<_> = revealed
            .filter(|placeholder| matches!(placeholder, Placeholder::App(name) if is_secret(name)))
            .map(ToString::to_string)
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Checks that requests reveal no field that is `vault_only`: every caller who may fetch would see it.
    pub(super) fn check_carried(&self, key: &str, request: &RequestTemplates) -> Result<(), Problem> {
        for (part, template) in request.all() {
            let kept = |placeholder: &&Placeholder| match placeholder {
                Placeholder::Secret(name) | Placeholder::Member(name, _) => {
                    self.secrets.get(name.as_str()).is_some_and(|field| field.vault_only)
                }
                Placeholder::Config(_)
                | Placeholder::Derived(_)
                | Placeholder::App(_)
                | Placeholder::Flow(_) => false,
            };
            if let Some(secret) = self.revealed(template).find(kept) {
                let text = format!(
                    "refers to {secret}, which is vault_only: callers would have it from their requests; an hmac may use it"
                );
                return Err(Problem::new(format!("{key}.{part}"), text));
            }
        }
        Ok(())
    }

    /// The placeholders whose values can be read from the filled template, also through claims of tokens.
    fn revealed<'t>(&'t self, template: &'t Template) -> impl Iterator<Item = &'t Placeholder> {
        template.placeholders().flat_map(|placeholder| {
            let token = match placeholder {
                Placeholder::Derived(name) => match self.derived.get(name) {
                    Some(
                        Derived::Claim { token: read, .. }
                        | Derived::When { value: read, .. }
                        | Derived::Part { of: read, .. },
                    ) => Some(read),
                    _ => None,
                },
                Placeholder::Config(_)
                | Placeholder::Secret(_)
                | Placeholder::Member(..)
                | Placeholder::App(_)
                | Placeholder::Flow(_) => None,
            };
            std::iter::once(placeholder).chain(token.into_iter().flat_map(Template::placeholders))
        })
    }
}
