//! Calls and conditions in words.

use super::words::{code, list};
use crate::answer::Condition;
use crate::call::{BodyTemplates, CallTemplates, Method};

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
    let Condition { status, path, any, contains } = condition;
    let mut parts = Vec::new();
    parts.extend(status.map(|status| format!("status {status}")));
    if let Some(path) = path {
        let path = code(&path.to_string());
        let values = list(any.iter().map(|value| code(&value.to_string())), "or");
        parts.push(match (values.as_str(), contains) {
            ("", None) => format!("{path} is there"),
            ("", Some(text)) => format!("{path} contains \"{text}\""),
            (values, _) => format!("{path} is {values}"),
        });
    }
    parts.join(" and ")
}
