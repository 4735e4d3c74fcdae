//! Calls to the provider and conditions on its answers, in words.

use serde_json::Value;

use super::words::{code, list};
use crate::call::{BodyTemplates, Call, Method};
use crate::condition::{Condition, Test};
use crate::template::Template;

/// A call as "`POST https://…`, form".
pub(super) fn call(call: &Call) -> String {
    let method = match call.method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Delete => "DELETE",
    };
    let body = match &call.body {
        BodyTemplates::Empty => "",
        BodyTemplates::Form(_) => ", form",
        BodyTemplates::Json(_) => ", JSON",
    };
    format!("`{method} {}`{body}", call.url)
}

/// How the call authenticates the client.
pub(super) fn proof(call: &Call) -> String {
    let all = call.all();
    let holds = |part: &str, name: &str| {
        let named = |template: &Template| template.placeholders().any(|it| it.to_string().contains(name));
        all.iter().any(|(place, template)| place.starts_with(part) && named(template))
    };
    let secret = if holds("basic", "client_secret") {
        "client id and secret by basic authentication"
    } else if holds("form", "client_secret") || holds("json", "client_secret") {
        "client id and secret in the body"
    } else if holds("query", "client_secret") {
        "client id and secret in the query"
    } else {
        ""
    };
    let by_key = "an assertion that the client's key signs";
    match (secret, holds("form", "flow.client_assertion"), holds("", "flow.assertion")) {
        ("", true, _) => by_key.to_owned(),
        ("", false, true) => "a signed assertion".to_owned(),
        ("", false, false) => "no client secret".to_owned(),
        (secret, true, _) => format!("{secret}, or {by_key}"),
        (secret, false, _) => secret.to_owned(),
    }
}

/// Conditions of which one is enough, joined by "or".
pub(super) fn conditions<'c>(conditions: impl IntoIterator<Item = &'c Condition>) -> String {
    list(conditions.into_iter().map(condition), "or")
}

/// Conditions that must all hold, joined by "and".
pub(super) fn each_condition(conditions: &[Condition]) -> String {
    list(conditions.iter().map(condition), "and")
}

fn condition(condition: &Condition) -> String {
    let status = condition.status.map(|status| format!("status {status}"));
    let body = condition.body.as_ref().map(|(path, test)| {
        let path = code(&path.to_string());
        let values = |values: &[Value]| list(values.iter().map(|value| code(&value.to_string())), "or");
        match test {
            Test::Present => format!("{path} is there"),
            Test::Absent => format!("{path} is absent"),
            Test::OneOf(these) => format!("{path} is {}", values(these)),
            Test::NoneOf(these) => format!("{path} is other than {}", values(these)),
            Test::Between(first, last) => format!("{path} is from {first} to {last}"),
            Test::Contains(text) => format!("{path} contains \"{text}\""),
        }
    });
    status.into_iter().chain(body).collect::<Vec<_>>().join(" and ")
}
