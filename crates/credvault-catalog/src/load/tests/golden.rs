//! Every request of every embedded mode, filled, beside a stored copy in `golden/`: what callers add to their requests,
//! the consent's URL, and the calls for tokens, revocation and test. A change of a file shows as a change of its copy.
//!
//! After a change that is meant, write the copies anew:
//! `CATALOG_GOLDEN=write cargo test -p credvault-catalog golden`

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::call::Body;
use crate::field::{Field, FieldKind};
use crate::template::FLOW;

/// A value of a field that names the field, or the first of the values that it takes.
fn of_field(name: &str, field: &Field) -> String {
    match field.kind {
        FieldKind::Json => {
            let member = |member: &String| (member.clone(), json!(sample(member)));
            Value::Object(field.required_members.iter().map(member).collect()).to_string()
        }
        FieldKind::HttpsUrl => format!("https://{}.example", sample(name)),
        FieldKind::Integer | FieldKind::Boolean | FieldKind::String | FieldKind::Text => {
            field.values.first().cloned().unwrap_or_else(|| sample(name))
        }
    }
}

/// All settings and all secret fields of a mode.
fn all_of(mode: &Mode) -> (Config, SecretFields) {
    let setting = |(name, field): (&FieldName, &Field)| {
        (name.as_str().to_owned(), json!(of_field(name.as_str(), field)))
    };
    let secret = |(name, field): (&FieldName, &Field)| {
        (name.as_str().to_owned(), SecretString::from(of_field(name.as_str(), field)))
    };
    let settings = Config::new(mode.config.iter().map(setting).collect()).expect("small");
    (settings, SecretFields::parse("fields", mode.secrets.iter().map(secret)).expect("within limits"))
}

/// The lines of headers, with basic authentication decoded.
fn headers(text: &mut String, headers: &[(String, SecretString)]) {
    for (name, value) in headers {
        let value = value.expose_secret();
        let decoded = value.strip_prefix("Basic ").and_then(|halves| STANDARD.decode(halves).ok());
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|it| it.contains(':'));
        let value = decoded.map_or_else(|| value.to_owned(), |halves| format!("Basic [{halves}]"));
        let _ = writeln!(text, "    {name}: {value}");
    }
}

/// The lines of pairs, each behind a sign for its kind.
fn pairs(text: &mut String, sign: &str, pairs: &[(String, SecretString)]) {
    for (name, value) in pairs {
        let _ = writeln!(text, "    {sign} {name}={}", value.expose_secret());
    }
}

/// The lines of a call, if the mode has it.
fn call(text: &mut String, name: &str, requested: Requested) {
    let Some(requested) = requested else { return };
    let request = requested.unwrap_or_else(|missing| panic!("{name} lacks {missing}"));
    let _ = writeln!(text, "  {name}: {:?} {}", request.method, request.url);
    headers(text, &request.headers);
    pairs(text, "?", &request.query);
    match &request.body {
        Body::Empty => {}
        Body::Form(form) => pairs(text, "form", form),
        Body::Json(json) => {
            let _ = writeln!(text, "    json {}", json.expose_secret());
        }
    }
}

/// Everything that the modes of a provider send.
fn golden(provider: &Provider) -> String {
    let mut text = String::new();
    let app = whole_app(provider);
    let flow = FLOW.iter().fold(Flow::default(), |flow, name| flow.with(name, sample(name)));
    for (name, mode) in provider.modes() {
        let (settings, fields) = all_of(mode);
        let given = Given { config: &settings, secrets: &fields, app: Some(&app), flow: &flow };
        let auth = mode.request_auth(&settings, &fields, Some(&app));
        let _ = writeln!(text, "{}.{name}\n  callers: {}", provider.id, auth.base_url.unwrap_or_default());
        headers(&mut text, &auth.headers);
        pairs(&mut text, "?", &auth.query);
        if let Some(page) = mode.consent_page() {
            let url = mode.consent_url(page, given).expect("complete");
            let _ = writeln!(text, "  consent: {}", url.replace(['?', '&'], "\n    ? "));
        }
        call(&mut text, "exchange", exchange(mode, given));
        call(&mut text, "after the exchange", post_exchange(mode, given));
        call(&mut text, "refresh", refresh(mode, given));
        call(&mut text, "revocation", revoke(mode, given));
        call(&mut text, "test", verify(mode, given));
        call(&mut text, "new key", mint(mode, given));
        call(&mut text, "end of the old key", key_end(mode, given, true));
        call(&mut text, "end of an unused key", key_end(mode, given, false));
    }
    text
}

#[test]
fn golden_requests_are_those_of_the_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/load/tests/golden");
    let write = std::env::var_os("CATALOG_GOLDEN").is_some_and(|value| value == "write");
    let mut differing = Vec::new();
    for provider in catalog().iter() {
        let path = folder.join(format!("{}.txt", provider.id));
        let filled = golden(provider);
        if write {
            std::fs::write(&path, filled).expect("the folder is there");
        } else if std::fs::read_to_string(&path).unwrap_or_default() != filled {
            differing.push(provider.id.as_str().to_owned());
        }
    }
    assert!(
        differing.is_empty(),
        "the requests of {differing:?} have changed; look at them, and write the copies anew: \
         CATALOG_GOLDEN=write cargo test -p credvault-catalog golden"
    );
    assert_eq!(std::fs::read_dir(&folder).expect("copies").count(), EMBEDDED.len(), "a copy without a file");
}
