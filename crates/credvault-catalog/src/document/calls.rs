//! Calls to the provider and conditions on its answers, in words.

use serde_json::Value;

use super::words::{code, list};
use crate::call::{BodyTemplates, Call, Method};
use crate::condition::{Condition, Test};

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
pub(super) fn proof(call: &Call) -> &'static str {
    let secret_in = |part: &str| {
        call.all().into_iter().any(|(place, template)| {
            place.starts_with(part)
                && template
                    .placeholders()
                    .any(|placeholder| placeholder.to_string().contains("client_secret"))
        })
    };
    if secret_in("basic") {
        "client id and secret by basic authentication"
    } else if secret_in("form") || secret_in("json") {
        "client id and secret in the body"
    } else if secret_in("query") {
        "client id and secret in the query"
    } else if call.all().iter().any(|(_, template)| template.to_string().contains("{flow.assertion}")) {
        "a signed assertion (RS256)"
    } else {
        "no client secret"
    }
}

/// Conditions of which one is enough, joined by "or".
pub(super) fn conditions(conditions: &[Condition]) -> String {
    list(conditions.iter().map(condition), "or")
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
