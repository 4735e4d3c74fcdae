//! Fields of a provider file, checked each for itself and against each other.

use std::collections::BTreeMap;

use credvault_domain::FieldName;

use super::Problem;
use crate::AppField;
use crate::field::Field;
use crate::file::{Belongs, FieldFile, FieldKind};
use crate::request_auth::RequestTemplates;
use crate::template::Placeholder;

pub(super) fn app_fields(
    files: BTreeMap<String, AppField>,
) -> Result<BTreeMap<FieldName, AppField>, Problem> {
    let field = |(name, field): (String, AppField)| {
        let key = format!("app.{name}");
        if matches!(name.as_str(), "client_id" | "client_secret" | "previous_client_secret") {
            return Err((key, "is known: every app has one".to_owned()));
        }
        Ok((FieldName::parse(&name).map_err(|rule| (key, rule.to_string()))?, field))
    };
    files.into_iter().map(field).collect()
}

/// Headers are single lines, so nothing that may have several can stand in one.
pub(super) fn check_single_lines(
    request: &RequestTemplates,
    secrets: &BTreeMap<FieldName, Field>,
) -> Result<(), (&'static str, String)> {
    for (part, template) in request.all().filter(|(part, _)| *part == "headers") {
        for placeholder in template.placeholders() {
            if let Placeholder::Secret(name) = placeholder
                && secrets
                    .get(name.as_str())
                    .is_some_and(|field| matches!(field.kind, FieldKind::Text | FieldKind::Json))
            {
                return Err((part, format!("must not refer to {name}, which may have several lines")));
            }
        }
    }
    Ok(())
}

/// What settings belong to must be there, with the values that are named.
pub(super) fn check_belongs(config: &BTreeMap<FieldName, Field>) -> Result<(), Problem> {
    for (name, field) in config {
        let Some(Belongs { to, values }) = &field.belongs else { continue };
        let other = config.get(to.as_str());
        if !other.is_some_and(|other| values.values().all(|value| other.values.contains(value))) {
            let problem = "must name a setting with an enum, and values of it";
            return Err((format!("config.{name}.belongs"), problem.to_owned()));
        }
    }
    Ok(())
}

pub(super) fn fields(
    key: &str,
    files: BTreeMap<String, FieldFile>,
    secret: bool,
) -> Result<BTreeMap<FieldName, Field>, Problem> {
    files
        .into_iter()
        .map(|(name, file)| {
            let key = format!("{key}.{name}");
            let name = FieldName::parse(&name).map_err(|rule| (key.clone(), rule.to_string()))?;
            let field = Field::from_file(file, secret)
                .map_err(|(part, problem)| (format!("{key}.{part}"), problem))?;
            Ok((name, field))
        })
        .collect()
}
