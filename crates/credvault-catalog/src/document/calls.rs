//! Calls and conditions in words.

use serde_json::Value;

use super::words::{code, list};
use crate::call::{BodyTemplates, CallTemplates, Method};
use crate::condition::{Condition, Test};

/// "POST `https://…`, the app by basic authentication".
pub(super) fn call(call: &CallTemplates) -> String {
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

/// How the call proves who asks.
pub(super) fn proof(call: &CallTemplates) -> &'static str {
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

/// The conditions, any of which is enough.
pub(super) fn conditions(conditions: &[Condition]) -> String {
    list(conditions.iter().map(condition), "or")
}

fn condition(condition: &Condition) -> String {
    let status = condition.status.map(|status| format!("status {status}"));
    let body = condition.body.as_ref().map(|(path, test)| {
        let path = code(&path.to_string());
        let values = |values: &[Value]| list(values.iter().map(|value| code(&value.to_string())), "or");
        match test {
            Test::There => format!("{path} is there"),
            Test::Absent => format!("{path} is absent"),
            Test::Any(any) => format!("{path} is {}", values(any)),
            Test::Except(these) => format!("{path} is other than {}", values(these)),
            Test::Between(first, last) => format!("{path} is from {first} to {last}"),
            Test::Contains(text) => format!("{path} contains \"{text}\""),
        }
    });
    status.into_iter().chain(body).collect::<Vec<_>>().join(" and ")
}
