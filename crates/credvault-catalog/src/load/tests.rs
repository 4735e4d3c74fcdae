//! The embedded files and the messages about broken ones. This file has what the tests below it share.

use credvault_domain::{AuthMode, Config, FieldName, ProviderId, SecretFields};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::*;
use crate::call::ProviderRequest;
use crate::credential_test::Verdict;
use crate::mode::Mode;
use crate::refusal::RefusalKind;
use crate::token_response::Granted;
use crate::values::{App, Flow, Given, Missing};

mod answers;

mod broken;

mod checks;

mod delivery;

mod destinations;

mod embedded;

mod filled;

mod golden;

mod keys;

mod reference;

mod refusals;

mod requests;

mod rotation;

mod spelling;

mod survival;

mod values;

/// RSA keys in both of the forms that are accepted.
const PKCS8: &str = include_str!("../../../credvault-crypto/tests/keys/rsa_pkcs8.pem");
const PKCS1: &str = include_str!("../../../credvault-crypto/tests/keys/rsa_pkcs1.pem");

fn catalog() -> Catalog {
    Catalog::load(None).expect("the embedded files are sound")
}

fn mode<'c>(catalog: &'c Catalog, provider: &str, mode: &str) -> &'c Mode {
    let provider = catalog.get(&ProviderId::parse(provider).expect("id")).expect("known provider");
    provider.mode(&AuthMode::parse(mode).expect("mode")).expect("known mode")
}

fn config(value: Value) -> Config {
    let Value::Object(object) = value else { panic!("an object") };
    Config::new(object).expect("small")
}

fn secrets(pairs: &[(&str, &str)]) -> SecretFields {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), SecretString::from(*value));
    SecretFields::parse("fields", pairs.iter().map(pair)).expect("within limits")
}

/// The app that every test uses unless it needs another.
fn app() -> App {
    App {
        client_id: "id".to_owned(),
        client_secret: Some("secret".into()),
        settings: Default::default(),
        secrets: Default::default(),
    }
}

/// The value that stands for a setting, a field or a value of the flow: its own name.
fn sample(name: &str) -> String {
    format!("the-{}", name.replace('_', "-"))
}

/// An app that has every value that the provider's file declares.
fn whole_app(provider: &Provider) -> App {
    let (secret, plain): (Vec<_>, Vec<_>) = provider.app.iter().partition(|(_, field)| field.is_secret());
    let named = |name: &FieldName| (name.as_str().to_owned(), sample(name.as_str()));
    App {
        client_id: sample("client_id"),
        client_secret: Some(sample("client_secret").into()),
        settings: plain.into_iter().map(|(name, _)| named(name)).collect(),
        secrets: secret
            .into_iter()
            .map(|(name, _)| named(name))
            .map(|(name, value)| (name, value.into()))
            .collect(),
    }
}

/// A request, or what it lacks. `None` if the mode has no such call.
type Requested = Option<Result<ProviderRequest, Missing>>;

fn exchange(mode: &Mode, given: Given<'_>) -> Requested {
    Some(mode.request(&mode.code_grant()?.exchange, given))
}

fn post_exchange(mode: &Mode, given: Given<'_>) -> Requested {
    Some(mode.request(&mode.code_grant()?.post_exchange.as_ref()?.call, given))
}

fn refresh(mode: &Mode, given: Given<'_>) -> Requested {
    Some(mode.request(&mode.refresh()?.call, given))
}

fn revoke(mode: &Mode, given: Given<'_>) -> Requested {
    Some(mode.request(&mode.revocation.as_ref()?.call, given))
}

fn verify(mode: &Mode, given: Given<'_>) -> Requested {
    Some(mode.request(&mode.test.as_ref()?.call, given))
}

fn mint(mode: &Mode, given: Given<'_>) -> Requested {
    Some(mode.request(&mode.mint()?.call, given))
}

/// The call that ends a key that was replaced, or a new one that is not used.
fn key_end(mode: &Mode, given: Given<'_>, replaced: bool) -> Requested {
    Some(mode.request(&mode.mint()?.end_call(replaced)?.call, given))
}

fn verdict(mode: &Mode, status: u16, body: &Value) -> Option<Verdict> {
    Some(mode.test.as_ref()?.read(status, body))
}

/// The tokens in an answer with status 200 to a request that was sent in 1970.
fn granted(mode: &Mode, body: Value) -> Granted {
    mode.oauth().expect("tokens").response.read(200, &body, Default::default()).expect("tokens")
}

/// Why an answer has no tokens.
fn refusal(mode: &Mode, status: u16, body: Value) -> RefusalKind {
    let read = mode.oauth().expect("tokens").response.read(status, &body, Default::default());
    read.expect_err("a refusal")
}

/// The message about a broken provider file.
fn broken(text: &str) -> String {
    parse("acme.toml", text).expect_err("broken").to_string()
}

/// The beginning of a sound provider file, up to its mode `key`.
const SOUND: &str =
    "id = \"acme\"\ndisplay_name = \"Acme\"\n[modes.key]\ndisplay_name = \"Key\"\nkind = \"static\"\n";
