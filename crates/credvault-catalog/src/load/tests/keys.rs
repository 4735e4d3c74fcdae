//! Keys that sign assertions, which are tried before they are stored.

use super::*;

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
