//! Checked fields and derived values, from their shape in a provider file.

use std::collections::BTreeMap;

use credvault_domain::FieldName;
use regex_lite::Regex;

use super::file::field::{DerivedFile, FieldFile, WhenFile};
use super::problem::Problem;
use crate::derived::Derived;
use crate::field::{DependsOn, Field, FieldKind};
use crate::provider::AppField;
use crate::request_auth::RequestTemplates;
use crate::spelling::Spelling;
use crate::template::{Placeholder, Template};

/// The values of an app that every provider has, and that `[app.NAME]` must not declare.
const KNOWN_APP_FIELDS: [&str; 3] = ["client_id", "client_secret", "previous_client_secret"];

/// Whether fields are settings or secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Config,
    Secret,
}

/// The fields of the table at `key`.
pub(super) fn fields(
    key: &str,
    files: BTreeMap<String, FieldFile>,
    table: Table,
) -> Result<BTreeMap<FieldName, Field>, Problem> {
    let checked = |(name, file): (String, FieldFile)| {
        let key = format!("{key}.{name}");
        let name = FieldName::parse(&name).map_err(|rule| Problem::new(&key, rule.to_string()))?;
        Ok((name, field(&key, file, table)?))
    };
    files.into_iter().map(checked).collect()
}

fn field(key: &str, file: FieldFile, table: Table) -> Result<Field, Problem> {
    let problem = |part: &str, text: &str| Problem::new(format!("{key}.{part}"), text);
    let pattern = file.pattern.as_deref().map(|text| {
        if !(text.starts_with('^') && text.ends_with('$')) {
            return Err(problem("pattern", "must begin with ^ and end with $"));
        }
        Regex::new(text).map_err(|_| problem("pattern", "is not a regular expression"))
    });
    let pattern = pattern.transpose()?;
    check_table(&file, table).map_err(|(part, text)| problem(part, text))?;
    let field = Field {
        title: file.title,
        description: file.description,
        kind: file.kind,
        required: file.required,
        pattern,
        pattern_description: file.pattern_description,
        spelling: file.spelling,
        values: file.values,
        min_length: file.min_length.unwrap_or(1),
        max_length: file.max_length,
        default: file.default,
        sandboxes: file.sandboxes,
        depends_on: file.depends_on,
        required_members: file.required_members,
        const_members: file.const_members,
        enum_members: file.enum_members,
        hint_member: file.hint_member,
        vault_only: file.vault_only,
    };
    if field.sandboxes.iter().any(|value| field.check_text(value).is_err()) {
        return Err(problem("sandboxes", "must be values that the field accepts"));
    }
    match field.default.as_ref().map(|default| field.check_value(default)) {
        // The broken rule is not repeated: it may contain what stands in the file.
        Some(Err(_)) => Err(problem("default", "must be a value that the field accepts")),
        Some(Ok(())) | None => Ok(field),
    }
}

/// Checks that a field has only keys that its table and type permit. The error is the key and its problem.
fn check_table(file: &FieldFile, table: Table) -> Result<(), (&'static str, &'static str)> {
    let is_secret = table == Table::Secret;
    let is_json = file.kind == FieldKind::Json;
    let has_members = !file.required_members.is_empty()
        || !file.const_members.is_empty()
        || !file.enum_members.is_empty()
        || file.hint_member.is_some();
    if is_secret && matches!(file.kind, FieldKind::Integer | FieldKind::Boolean) {
        Err(("type", "must be string, text, json or https_url for a secret"))
    } else if !is_secret && is_json {
        Err(("type", "must not be json in a config"))
    } else if has_members && !is_json {
        Err(("type", "must be json for a field with members"))
    } else if is_secret && file.depends_on.is_some() {
        Err(("depends_on", "must not be given for a secret"))
    } else if is_secret && !file.sandboxes.is_empty() {
        Err(("sandboxes", "must not be given for a secret"))
    } else if is_secret && file.default.is_some() {
        Err(("default", "must not be given for a secret"))
    } else if file.spelling != Spelling::Exact && (is_secret || file.kind != FieldKind::String) {
        Err(("spelling", "must be given for settings of the type string only"))
    } else {
        file.spelling.check().map_err(|text| ("spelling", text))
    }
}

/// The values of the platform's app that the file declares.
pub(super) fn app_fields(
    files: BTreeMap<String, AppField>,
) -> Result<BTreeMap<FieldName, AppField>, Problem> {
    let field = |(name, field): (String, AppField)| {
        let key = format!("app.{name}");
        if KNOWN_APP_FIELDS.contains(&name.as_str()) {
            return Err(Problem::new(key, "is known: every app has one"));
        }
        let name = FieldName::parse(&name).map_err(|rule| Problem::new(key, rule.to_string()))?;
        Ok((name, field))
    };
    files.into_iter().map(field).collect()
}

/// Checks that the settings on which others depend are there, and have the values that are named.
pub(super) fn check_dependencies(config: &BTreeMap<FieldName, Field>) -> Result<(), Problem> {
    for (name, field) in config {
        let Some(DependsOn { setting, values }) = &field.depends_on else { continue };
        let other = config.get(setting.as_str());
        if !other.is_some_and(|other| values.values().all(|value| other.values.contains(value))) {
            let text = "must name a setting with an enum, and values of it";
            return Err(Problem::new(format!("config.{name}.depends_on"), text));
        }
    }
    Ok(())
}

/// Checks that no header contains a field of several lines.
pub(super) fn check_single_lines(
    key: &str,
    request: &RequestTemplates,
    secrets: &BTreeMap<FieldName, Field>,
) -> Result<(), Problem> {
    let several = |name: &str| {
        let field = secrets.get(name);
        field.is_some_and(|field| matches!(field.kind, FieldKind::Text | FieldKind::Json))
    };
    for (part, template) in request.all().filter(|(part, _)| *part == "headers") {
        for placeholder in template.placeholders() {
            if let Placeholder::Secret(name) = placeholder
                && several(name)
            {
                let text = format!("must not refer to {name}, which may have several lines");
                return Err(Problem::new(format!("{key}.{part}"), text));
            }
        }
    }
    Ok(())
}

/// The derived value at `key`.
pub(super) fn derived(key: &str, file: DerivedFile) -> Result<Derived, Problem> {
    let template = |text: &str| {
        let template = Template::parse(text).map_err(|problem| Problem::new(key, problem))?;
        let nested = template.placeholders().any(|it| matches!(it, Placeholder::Derived(_)));
        if nested { Err(Problem::new(key, "must not refer to another derived value")) } else { Ok(template) }
    };
    let DerivedFile { lookup, hmac, when, part, claim } = file;
    match (lookup, hmac, when, part, claim) {
        (Some(lookup), None, None, None, None) => {
            Ok(Derived::Lookup { setting: lookup.setting, values: lookup.values })
        }
        (None, Some(hmac), None, None, None) => {
            Ok(Derived::Hmac { key: template(&hmac.key)?, message: template(&hmac.message)? })
        }
        (None, None, Some(WhenFile { setting, one_of, value }), None, None) => {
            Ok(Derived::When { setting, one_of, value: template(&value)? })
        }
        (None, None, None, Some(part), None) => {
            if part.separator.is_empty() {
                return Err(Problem::new(key, "must have a separator that is not empty"));
            }
            Ok(Derived::Part { of: template(&part.of)?, separator: part.separator, index: part.index })
        }
        (None, None, None, None, Some(claim)) => {
            Ok(Derived::Claim { token: template(&claim.token)?, name: claim.name })
        }
        _ => Err(Problem::new(key, "must have one of lookup, hmac, when, part and claim")),
    }
}
