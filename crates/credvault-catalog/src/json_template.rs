//! JSON bodies of calls, in which every string is a template. Names of members, numbers and booleans stay as they are.

use std::collections::BTreeMap;

use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};

use crate::template::{Placeholder, Template};
use crate::values::Values;

/// JSON whose strings are templates.
#[derive(Debug)]
pub(crate) enum JsonTemplate {
    Text(Template),
    List(Vec<JsonTemplate>),
    Object(BTreeMap<String, JsonTemplate>),
    /// A number, a boolean or null.
    Plain(Value),
}

impl JsonTemplate {
    /// Parses the strings in `value`.
    ///
    /// # Errors
    /// What is wrong with a template, as the end of a sentence about its key.
    pub(crate) fn parse(value: &Value) -> Result<Self, String> {
        Ok(match value {
            Value::String(text) => Self::Text(Template::parse(text)?),
            Value::Array(items) => Self::List(items.iter().map(Self::parse).collect::<Result<_, _>>()?),
            Value::Object(members) => {
                let members = members.iter().map(|(name, value)| Ok((name.clone(), Self::parse(value)?)));
                Self::Object(members.collect::<Result<_, String>>()?)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::Plain(value.clone()),
        })
    }

    /// Adds every template in it to `found`.
    pub(crate) fn collect_templates<'t>(&'t self, found: &mut Vec<&'t Template>) {
        match self {
            Self::Text(template) => found.push(template),
            Self::List(items) => items.iter().for_each(|item| item.collect_templates(found)),
            Self::Object(members) => members.values().for_each(|member| member.collect_templates(found)),
            Self::Plain(_) => {}
        }
    }

    /// `None` if an optional placeholder has no value: the member is left out.
    fn fill(&self, values: &Values<'_>) -> Result<Option<Value>, Placeholder> {
        Ok(Some(match self {
            Self::Text(template) => match values.render(template)? {
                Some(text) => Value::String(text.expose_secret().to_owned()),
                None => return Ok(None),
            },
            Self::List(items) => Value::Array(
                items.iter().filter_map(|item| item.fill(values).transpose()).collect::<Result<_, _>>()?,
            ),
            Self::Object(members) => Value::Object(fill_members(members, values)?),
            Self::Plain(value) => value.clone(),
        }))
    }
}

/// Fills the members of an object. A member is left out if an optional placeholder in it has no value.
///
/// # Errors
/// The first needed placeholder that has no value.
pub(crate) fn fill_members(
    members: &BTreeMap<String, JsonTemplate>,
    values: &Values<'_>,
) -> Result<Map<String, Value>, Placeholder> {
    let member = |(name, member): (&String, &JsonTemplate)| {
        Some(member.fill(values).transpose()?.map(|value| (name.clone(), value)))
    };
    members.iter().filter_map(member).collect()
}
