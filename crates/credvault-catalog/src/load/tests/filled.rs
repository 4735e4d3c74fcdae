//! What templates are filled with, and what becomes of those that lack something.

use super::*;
use crate::call::Body;
use crate::field::{Field, FieldKind};
use crate::template::{Placeholder, Template};

/// A value that a field would not have to take, but that stands for one.
fn any(field: &Field) -> Value {
    match field.kind {
        FieldKind::Integer => json!(1),
        FieldKind::Boolean => json!(true),
        FieldKind::String | FieldKind::Text | FieldKind::Json | FieldKind::HttpsUrl => {
            json!(field.values.first().cloned().unwrap_or_else(|| "x".to_owned()))
        }
    }
}

/// Settings and fields without all that may be left out.
fn least(mode: &Mode) -> (Config, Vec<(String, SecretString)>) {
    let required = mode.config.iter().filter(|(_, field)| field.required);
    let settings = required.map(|(name, field)| (name.as_str().to_owned(), any(field))).collect();
    let fields = mode.secrets.iter().filter(|(_, field)| field.required).map(|(name, field)| {
        let members = field.required_members.iter().map(|member| (member.clone(), json!("x"))).collect();
        let value =
            if field.kind == FieldKind::Json { Value::Object(members).to_string() } else { "x".to_owned() };
        (name.as_str().to_owned(), SecretString::from(value))
    });
    (Config::new(settings).expect("small"), fields.collect())
}

#[test]
fn requests_carry_all_that_they_must_or_say_what_is_missing() {
    for provider in catalog().iter() {
        let app = whole_app(provider);
        for (name, mode) in provider.modes() {
            let place = format!("{}.{name}", provider.id);
            let (settings, mut fields) = least(mode);
            if mode.oauth().is_some() {
                fields.retain(|(name, _)| name != "access_token");
                let bare = SecretFields::parse("fields", fields.clone()).expect("within limits");
                let auth = mode.request_auth(&settings, &bare, Some(&app));
                assert_eq!(auth.missing.expect(&place).0, "secret.access_token", "{place}");
                fields.push(("access_token".to_owned(), "t".into()));
            }
            let fields = SecretFields::parse("fields", fields).expect("within limits");
            let auth = mode.request_auth(&settings, &fields, Some(&app));
            assert_eq!(auth.missing, None, "{place}");
            let needs = mode.request.all().any(|(_, template)| {
                template.needed().any(|placeholder| matches!(placeholder, Placeholder::Secret(_)))
            });
            assert_eq!(needs, !(auth.headers.is_empty() && auth.query.is_empty()), "{place}");
            let none = SecretFields::default();
            assert_eq!(mode.request_auth(&settings, &none, Some(&app)).missing.is_some(), needs, "{place}");
        }
    }
}

/// What a call can lack although all that must be given is there: it comes with the consent, or is the app's.
const COMES_LATER: [&str; 9] = [
    "secret.refresh_token",
    "config.api_domain",
    "config.user_id",
    "config.instance_url",
    "config.realm_id",
    "config.account_id",
    "config.seller_id",
    "config.dc",
    "derived.consent_host",
];

#[test]
fn a_call_lacks_nothing_but_what_comes_later() {
    let flow = [
        "state",
        "redirect_uri",
        "scope",
        "code_challenge",
        "code",
        "code_verifier",
        "delivery_uri",
        "host",
        "now",
        "now_ms",
        "date",
        "uuid",
        "assertion",
        "client_assertion",
        "client_assertion_type",
    ];
    let flow = flow.into_iter().fold(Flow::default(), |flow, name| flow.with(name, "v"));
    for provider in catalog().iter() {
        for (name, mode) in provider.modes() {
            let (settings, mut fields) = least(mode);
            fields.push(("access_token".to_owned(), "t".into()));
            let fields = SecretFields::parse("fields", fields).expect("within limits");
            let app = whole_app(provider);
            let given = Given { config: &settings, secrets: &fields, app: Some(&app), flow: &flow };
            let assertion = mode.refresh().and_then(|refresh| refresh.assertion.as_ref());
            let missing = [
                mode.consent_page().and_then(|page| mode.consent_url(page, given).err()),
                exchange(mode, given).and_then(Result::err),
                post_exchange(mode, given).and_then(Result::err),
                refresh(mode, given).and_then(Result::err),
                assertion.and_then(|assertion| mode.assertion(assertion, given).err()),
                mode.client_assertion(given).err(),
                revoke(mode, given).and_then(Result::err),
                verify(mode, given).and_then(Result::err),
            ];
            let found = |missing: &Missing| {
                let settings = mode.discovery.iter().flat_map(|discovery| discovery.settings.keys());
                settings.into_iter().any(|name| missing.0 == format!("config.{name}"))
            };
            for missing in missing.into_iter().flatten().filter(|missing| !found(missing)) {
                assert!(COMES_LATER.contains(&missing.0.as_str()), "{}.{name}: {missing}", provider.id);
            }
        }
    }
}

#[test]
fn nothing_is_sent_without_what_a_call_needs() {
    let catalog = catalog();
    let notion = mode(&catalog, "notion", "oauth2_code");
    let (settings, fields, flow) = (Config::default(), secrets(&[("access_token", "t")]), Flow::default());
    let app = app();
    let given = Given { config: &settings, secrets: &fields, app: Some(&app), flow: &flow };
    let missing = |request: Requested| request.expect("there is one").expect_err("incomplete").0;
    assert_eq!(missing(refresh(notion, given)), "secret.refresh_token");
    let without = App { client_secret: None, ..app.clone() };
    assert_eq!(missing(exchange(notion, given)), "flow.code");
    let flow = Flow::default().with("code", "c").with("redirect_uri", "r").with("code_verifier", "v");
    let given = Given { flow: &flow, ..given };
    assert!(exchange(notion, given).expect("there is one").is_ok());
    assert_eq!(missing(exchange(notion, Given { app: Some(&without), ..given })), "app.client_secret");
}

#[test]
fn zendesk_gets_the_scope_with_the_code() {
    let catalog = catalog();
    let zendesk = mode(&catalog, "zendesk", "oauth2_code");
    let (settings, fields, app) = (config(json!({"subdomain": "acme"})), SecretFields::default(), app());
    let flow = ["code", "redirect_uri", "code_verifier"]
        .into_iter()
        .fold(Flow::default(), |flow, name| flow.with(name, "v"));
    let flow = flow.with("scope", "read write");
    let given = Given { config: &settings, secrets: &fields, app: Some(&app), flow: &flow };
    let request = exchange(zendesk, given).expect("there is one").expect("complete");
    let Body::Json(body) = &request.body else { panic!("JSON") };
    let body: Value = serde_json::from_str(body.expose_secret()).expect("JSON");
    assert_eq!(body["scope"], "read write");
}

#[test]
fn the_two_halves_of_basic_are_form_encoded_where_a_client_proves_itself() {
    let basic = |more: &str| {
        let folder = tempfile::tempdir().expect("folder");
        let halves = format!("basic = {{ user = '{{secret.id}}', password = '{{secret.key}}'{more} }}");
        let file = format!(
            "{SOUND}secret.id = {{ title = 'I' }}\nsecret.key = {{ title = 'K' }}\n\
             [modes.key.request]\n{halves}\n[modes.key.revoke.call]\nurl = 'https://a.example/revoke'\n{halves}\n"
        );
        std::fs::write(folder.path().join("acme.toml"), file).expect("file");
        let catalog = Catalog::load(Some(folder.path())).expect("sound");
        let fields = secrets(&[("id", "1PpG/Q 1"), ("key", "z/tZ9+a:b")]);
        let mode = mode(&catalog, "acme", "key");
        let flow = Flow::default();
        let given = Given { config: &Config::default(), secrets: &fields, app: None, flow: &flow };
        let revoke = revoke(mode, given).expect("there is one").expect("complete");
        let auth = mode.request_auth(&Config::default(), &fields, None);
        [auth.headers, revoke.headers].map(|headers| {
            let value = headers[0].1.expose_secret().strip_prefix("Basic ").expect("basic").to_owned();
            let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, value);
            String::from_utf8(bytes.expect("base64")).expect("text")
        })
    };
    let (raw, encoded) = ("1PpG/Q 1:z/tZ9+a:b", "1PpG%2FQ+1:z%2FtZ9%2Ba%3Ab");
    assert_eq!(basic(""), [raw, encoded]);
    assert_eq!(basic(", form_encoded = true"), [encoded, encoded]);
    assert_eq!(basic(", form_encoded = false"), [raw, raw]);
}

#[test]
fn a_call_that_can_never_be_filled_is_told_at_load() {
    let file = |more: &str| {
        broken(&format!(
            "{SOUND}secret.access_token = {{ title = 'T' }}\nconfig.team = {{ title = 'T' }}\n{more}\n"
        ))
    };
    let refresh = |value: &str| {
        file(&format!("refresh.call = {{ url = 'https://a.example', form = {{ x = '{value}' }} }}"))
    };
    let cases = [
        (refresh("{flow.code}"), "refresh.call.form.x refers to flow.code, which has no value there"),
        (refresh("{flow.code?}"), "refresh.call.form.x refers to flow.code, which has no value there"),
        (refresh("{flow.scope}"), "refresh.call.form.x refers to flow.scope, and no scope may be asked for"),
        (
            file("request = { headers = { x = '{flow.now}' } }"),
            "request.headers.x refers to flow.now, which has no",
        ),
        (
            file("test = { call = { url = 'https://a.example/{config.team?}' } }"),
            "must not have an optional part",
        ),
        (
            file("exchange = { url = 'https://a.example', json = { x = ['{secret.access_token}'] } }"),
            "exchange.json refers to secret.access_token, which has no value there",
        ),
        (
            file(
                "derived.proof = { hmac = { key = '{secret.access_token}', message = '' } }\n\
                  exchange = { url = 'https://a.example', form = { x = '{derived.proof}' } }",
            ),
            "exchange.form.x refers to derived.proof, which has no value there",
        ),
    ];
    for (message, expected) in cases {
        assert!(message.contains(expected), "expected {expected:?} in {message:?}");
    }
    assert!(Template::parse("{flow.scope?}").is_ok());
}
