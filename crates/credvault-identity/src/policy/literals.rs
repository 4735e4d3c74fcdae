//! What policies name: services, and the texts that they compare facts with. It is read from the JSON form of a policy, because
//! no other says what a condition looks at. Decides nothing.

use cedar_policy::{Policy, PrincipalConstraint};
use serde_json::Value;

/// The ids of the services that a policy names, in its head or its conditions.
pub(super) fn services(policy: &Policy) -> Vec<String> {
    let mut found = Vec::new();
    walk(&json(policy), &mut |value| {
        if let (Some("Service"), Some(id)) = (text(value, "type"), text(value, "id")) {
            found.push(id.to_owned());
        }
    });
    found
}

/// The texts that a policy compares a fact of the context with. A pattern counts as its text without the wildcards, which fits it.
pub(super) fn compared(policy: &Policy, fact: &str) -> Vec<String> {
    let mut found = Vec::new();
    walk(&json(policy), &mut |value| {
        for operands in value.as_object().into_iter().flat_map(|operation| operation.values()) {
            let operands: Vec<&Value> = match operands {
                Value::Object(named) => named.values().collect(),
                Value::Array(listed) => listed.iter().collect(),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => continue,
            };
            let (facts, others): (Vec<&Value>, Vec<&Value>) =
                operands.into_iter().partition(|operand| is_fact(operand, fact));
            if !facts.is_empty() {
                others.into_iter().for_each(|other| found.extend(texts(other)));
            }
        }
    });
    found
}

/// Whether a policy is about services of more than one id and decides by what their ids have in common: trust domain or path.
pub(super) fn chooses_by_attributes(policy: &Policy) -> bool {
    let open = match policy.principal_constraint() {
        PrincipalConstraint::Any | PrincipalConstraint::Is(_) => true,
        PrincipalConstraint::Eq(_) | PrincipalConstraint::In(_) | PrincipalConstraint::IsIn(..) => false,
    };
    let mut looks = false;
    walk(&json(policy), &mut |value| looks |= is_attribute(value, "principal"));
    open && looks
}

fn json(policy: &Policy) -> Value {
    policy.to_json().unwrap_or(Value::Null)
}

/// Looks at a value and at everything within it.
fn walk(value: &Value, look: &mut impl FnMut(&Value)) {
    look(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, look)),
        Value::Object(members) => members.values().for_each(|member| walk(member, look)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn text<'a>(value: &'a Value, member: &str) -> Option<&'a str> {
    value.get(member)?.as_str()
}

/// Whether an expression is an attribute of this variable.
fn is_attribute(value: &Value, variable: &str) -> bool {
    let of = value.get(".").and_then(|access| access.get("left"));
    of.is_some_and(|of| text(of, "Var") == Some(variable))
}

/// Whether an expression is this fact of the context.
fn is_fact(value: &Value, fact: &str) -> bool {
    is_attribute(value, "context") && value.get(".").is_some_and(|access| text(access, "attr") == Some(fact))
}

/// The texts of an expression that a fact is compared with.
fn texts(value: &Value) -> Vec<String> {
    // The pattern of `like` is the only operand that is a list.
    if let Some(pattern) = value.as_array() {
        return vec![pattern.iter().filter_map(|element| text(element, "Literal")).collect()];
    }
    let mut found = Vec::new();
    walk(value, &mut |value| found.extend(value.as_str().map(str::to_owned)));
    found
}
