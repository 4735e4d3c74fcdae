//! Keys that sign assertions, which are tried before they are stored.

use std::collections::BTreeMap;

use credvault_crypto::SigningAlgorithm;

use super::*;
use crate::call::Body;

const EC: &str = include_str!("../../../../credvault-crypto/tests/keys/ec_pkcs8.pem");
const ENCRYPTED: &str = include_str!("../../../../credvault-crypto/tests/keys/rsa_encrypted.pem");
const SHORT: &str = include_str!("../../../../credvault-crypto/tests/keys/rsa_short.pem");

/// Every mode with a key that signs, and a credential made of that key.
fn signers(catalog: &Catalog, key: &str) -> Vec<(&'static str, SecretFields, Result<(), String>)> {
    let account = json!({ "type": "service_account", "client_email": "a@b.example", "private_key": key });
    let account = account.to_string();
    let cases = [
        ("google_sheets", "service_account", ("service_account", account.as_str())),
        ("google_analytics", "service_account", ("service_account", account.as_str())),
        ("github", "github_app", ("private_key", key)),
        ("salesforce", "jwt_bearer", ("private_key", key)),
    ];
    let checked = |(provider, name, field): (&'static str, &str, (&str, &str))| {
        let fields = secrets(&[field]);
        let checked = mode(catalog, provider, name).check_secrets("fields", &fields);
        (provider, fields, checked.map_err(|violations| violations.to_string()))
    };
    cases.map(checked).into()
}

#[test]
fn a_key_that_cannot_sign_is_not_stored_and_its_owner_is_told_why() {
    let catalog = catalog();
    for key in [PKCS8.to_owned(), PKCS1.to_owned(), PKCS8.replace('\n', "\\n"), PKCS1.replace('\n', "\r\n")] {
        for (provider, _, checked) in signers(&catalog, &key) {
            assert_eq!(checked, Ok(()), "{provider}: {key}");
        }
    }
    let cases = [
        (EC, "must be an RSA key"),
        (ENCRYPTED, "must not be encrypted"),
        (SHORT, "2048 to 4096 bits"),
        ("CANARY", "must be PEM"),
    ];
    for (key, expected) in cases {
        for (provider, _, checked) in signers(&catalog, key) {
            let message = checked.expect_err(provider);
            assert!(message.contains(expected) && message.starts_with("fields["), "{provider}: {message}");
            assert!(!message.contains("CANARY"), "{message}");
        }
    }
    let signing = catalog
        .iter()
        .flat_map(|provider| provider.modes())
        .filter(|(_, mode)| mode.refresh().is_some_and(|refresh| refresh.assertion.is_some()));
    assert_eq!(signing.count(), signers(&catalog, PKCS8).len(), "every mode that signs is here");
}

#[test]
fn only_googles_key_files_are_given_out() {
    let catalog = catalog();
    let out: Vec<_> = catalog
        .iter()
        .flat_map(|provider| {
            provider.modes().map(move |(name, mode)| (provider.id.as_str(), name.as_str(), mode))
        })
        .filter(|(_, _, mode)| mode.hands_out_key())
        .map(|(provider, name, _)| (provider, name))
        .collect();
    assert_eq!(out, [("google_analytics", "service_account"), ("google_sheets", "service_account")]);
}

/// A text in the place of a certificate, whose thumbprint is all that is sent of it.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n";

/// The names of a form's fields, and the value of each.
fn form(request: &ProviderRequest) -> BTreeMap<&str, &str> {
    let Body::Form(form) = &request.body else { panic!("a form") };
    form.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect()
}

#[test]
fn entras_own_clients_prove_themselves_by_a_certificate() {
    let catalog = catalog();
    let cases = [
        ("microsoft_graph", ("cloud", "us_government"), "login.microsoftonline.us"),
        ("dynamics_365", ("host", "acme.crm4.dynamics.com"), "login.microsoftonline.com"),
    ];
    for (provider, (setting, value), host) in cases {
        let mode = mode(&catalog, provider, "client_certificate");
        let put = |key: &str| {
            let fields = secrets(&[("private_key", key)]);
            mode.check_secrets("fields", &fields).map_err(|violations| violations.to_string())
        };
        assert_eq!(put(&format!("{PKCS8}{CERTIFICATE}")), Ok(()));
        for (key, expected) in [(PKCS8.to_owned(), "certificate"), (format!("{EC}{CERTIFICATE}"), "RSA key")]
        {
            let message = put(&key).expect_err(provider);
            assert!(message.contains("fields[private_key]") && message.contains(expected), "{message}");
        }

        let config = config(json!({ "tenant_id": "t", "client_id": "c", setting: value }));
        let key = format!("{PKCS8}{CERTIFICATE}");
        let fields = secrets(&[("private_key", key.as_str())]);
        let flow = Flow::default().with("uuid", "u");
        let given = Given { config: &config, secrets: &fields, app: None, flow: &flow };
        let proof = mode.client_assertion(given).expect("complete").expect("there is a key");
        let audience = format!("https://{host}/t/oauth2/v2.0/token");
        assert_eq!(
            Value::Object(proof.claims),
            json!({ "iss": "c", "sub": "c", "aud": audience, "jti": "u" })
        );
        assert_eq!(proof.algorithms, [SigningAlgorithm::Ps256]);
        assert_eq!(
            refresh(mode, given).expect("there is one").expect_err("no proof").0,
            "flow.client_assertion"
        );
    }
}

#[test]
fn an_app_at_entra_has_a_certificate_or_a_secret() {
    let catalog = catalog();
    let key = BTreeMap::from([("private_key".to_owned(), SecretString::from("k"))]);
    let (keyed, secret) = (App { client_secret: None, secrets: key, ..app() }, app());
    let (settings, token) = (Config::default(), secrets(&[("refresh_token", "r")]));
    let unsigned = Flow::default().with("uuid", "u");
    let signed = unsigned.clone().with("client_assertion", "signed").with("client_assertion_type", "jwt");
    for provider in ["microsoft_graph", "dynamics_365", "microsoft_ads"] {
        let mode = mode(&catalog, provider, "oauth2_code");
        let by_key = Given { config: &settings, secrets: &token, app: Some(&keyed), flow: &unsigned };
        let proof = mode.client_assertion(by_key).expect("complete").expect("there is a key");
        assert_eq!((&proof.claims["iss"], proof.key.expose_secret()), (&json!("id"), "k"), "{provider}");
        let sent = refresh(mode, Given { flow: &signed, ..by_key }).expect("there is one").expect("complete");
        let fields = form(&sent);
        assert_eq!(fields.get("client_assertion"), Some(&"signed"), "{provider}");
        assert!(!fields.contains_key("client_secret"), "{provider}");

        let by_secret = Given { app: Some(&secret), ..by_key };
        assert!(mode.client_assertion(by_secret).expect("complete").is_none(), "{provider}");
        let sent = refresh(mode, by_secret).expect("there is one").expect("complete");
        assert_eq!(form(&sent).get("client_secret"), Some(&"secret"), "{provider}");
    }
}
