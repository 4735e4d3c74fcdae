//! Rotations of credentials: what a file must say together, and how answers with new keys are read.

use std::time::Duration;

use credvault_domain::Timestamp;

use super::*;
use crate::rotation::OldKeyEnd;

/// A sound file up to its rotation, with a test.
const TESTED: &str = "[modes.key.secret.token]\ntitle = \"T\"\nrequired = true\ndescription = \"Settings > Keys.\"\n\
    [modes.key.secret.key_id]\ntitle = \"I\"\n\
    [modes.key.derived.id]\npart = { of = \"{secret.token}\", separator = \".\", index = 1 }\n\
    [modes.key.request]\nheaders = { Authorization = \"Bearer {secret.token}\" }\n\
    [modes.key.test.call]\nurl = \"https://acme.example/me\"\n";
const MINT: &str = "[modes.key.rotation.mint]\ncall = { url = \"https://acme.example/keys\", json = { name = \"{flow.uuid}\" } }\n\
    fields = { token = \"key.secret\", key_id = \"key.id\" }\nexpires_in = \"lifetime\"\n";
const REVOKE: &str = "[modes.key.rotation.revoke]\nalready_revoked = [{ status = 404 }]\n\
    [modes.key.rotation.revoke.call]\nmethod = \"DELETE\"\nurl = \"https://acme.example/keys/{flow.old_key_id}\"\n";

fn with(rotation: &str, tables: &str) -> String {
    format!("{SOUND}{TESTED}[modes.key.rotation]\n{rotation}\n{tables}")
}

#[test]
fn a_rotation_must_say_how_the_old_key_ends_and_nothing_twice() {
    let id = "key_id = \"{derived.id}\"";
    let cases = [
        (with("", ""), "modes.key.rotation must have mint or rotate_after_days"),
        (with("rotate_after_days = 0", ""), "rotation.rotate_after_days must be from 1 to 730"),
        (with("overlap_seconds = 5", ""), "rotation.overlap_seconds must come with mint"),
        (with("self_replacing = true", ""), "rotation.self_replacing must come with mint"),
        (with("", MINT), "modes.key.rotation must say how the old key ends"),
        (with("overlap_seconds = 0", MINT), "modes.key.rotation must say how the old key ends"),
        (with("overlap_seconds = 2592001", MINT), "rotation.overlap_seconds must be at most"),
        (
            with("usable_after_seconds = 3601\nself_replacing = true", MINT),
            "usable_after_seconds must be at most",
        ),
        (
            with("self_replacing = true\noverlap_seconds = 5", MINT),
            "rotation.self_replacing must not be given",
        ),
        (with("", &format!("{MINT}{REVOKE}")), "rotation.revoke.call sends {flow.old_key_id}"),
        (
            with(id, &format!("{}{REVOKE}", MINT.replace("token = \"key.secret\"", "other = \"x\""))),
            "rotation.mint.fields.other is no secret field",
        ),
        (
            with(id, &format!("{}{REVOKE}", MINT.replace("{flow.uuid}", "{flow.old_key_id}"))),
            "rotation.mint.call.json refers to flow.old_key_id, which has no value there",
        ),
    ];
    for (text, expected) in cases {
        let message = broken(&text);
        assert!(message.contains(expected), "expected {expected:?} in {message:?}");
    }
    let untested = with(id, &format!("{MINT}{REVOKE}"));
    let untested = untested.replace("[modes.key.test.call]\nurl = \"https://acme.example/me\"\n", "");
    assert!(broken(&untested).contains("rotation.mint must come with test"), "{}", broken(&untested));
}

#[test]
fn a_file_says_how_a_key_is_replaced() {
    let text = with(
        "key_id = \"{derived.id}\"\noverlap_seconds = 60\nrotate_after_days = 90",
        &format!("{MINT}{REVOKE}"),
    );
    let provider = parse("acme.toml", &text).expect("sound");
    let mode = provider.mode(&AuthMode::parse("key").expect("mode")).expect("known");
    let mint = mode.mint().expect("it makes keys");
    assert_eq!(mode.rotation.as_ref().and_then(|rotation| rotation.rotate_after_days), Some(90));
    assert_eq!(mint.end, OldKeyEnd::Revoked(Duration::from_secs(60)));
    assert_eq!(mode.places_of_secrets(), ["Settings > Keys."]);
    let names: Vec<String> = mint.field_names().iter().map(|name| name.as_str().to_owned()).collect();
    assert_eq!(names, ["key_id", "token"]);

    let old = secrets(&[("token", "SG.abc_1.CANARY")]);
    assert_eq!(mode.key_id(mint, &Config::default(), &old).as_deref(), Some("abc_1"));
    for odd in ["SG", "SG..CANARY", "SG.a/b.CANARY", "SG.%2e.CANARY"] {
        assert_eq!(mode.key_id(mint, &Config::default(), &secrets(&[("token", odd)])), None, "{odd}");
    }
    let flow = Flow::default().with("old_key_id", "abc_1");
    let config = Config::default();
    let given = Given { config: &config, secrets: &old, app: None, flow: &flow };
    let request = key_end(mode, given, true).expect("a call").expect("complete");
    assert_eq!(request.url, "https://acme.example/keys/abc_1");
    assert_eq!(request.headers[0].1.expose_secret(), "Bearer SG.abc_1.CANARY");

    let sent = Timestamp::from_micros(1_000_000);
    let answer = json!({"key": {"secret": "CANARY new", "id": 7}, "lifetime": 60});
    let minted = mint.read(201, &answer, sent).expect("a key");
    assert_eq!(minted.expires, Some(sent.after(Duration::from_secs(60))));
    assert_eq!(minted.fields.get("key_id").map(|id| id.expose_secret().to_owned()).as_deref(), Some("7"));
    assert!(mint.read(200, &json!({"key": {"id": "7"}}), sent).is_err(), "the secret is missing");
    assert_eq!(mint.read(403, &json!({"error": "no"}), sent).expect_err("refused"), RefusalKind::Unknown);
    assert_eq!(mint.read(503, &Value::Null, sent).expect_err("away"), RefusalKind::Outage);
}

#[test]
fn a_key_is_made_only_with_the_settings_that_the_calls_need() {
    let catalog = catalog();
    let cases = [
        ("sendgrid", "api_key", json!({}), false),
        ("sendgrid", "api_key", json!({"key_access": "full"}), true),
        ("mailgun", "api_key", json!({"region": "eu"}), false),
        ("mailgun", "api_key", json!({"key_role": "admin"}), true),
        ("twilio", "auth_token", json!({"account_sid": "AC"}), true),
        ("twilio", "auth_token", json!({}), false),
        ("adyen", "api_key", json!({"company_id": "c"}), false),
        ("adyen", "api_key", json!({"company_id": "c", "api_credential_id": "C1"}), true),
        ("twilio", "api_key", json!({"account_sid": "AC", "key_sid": "SK"}), false),
    ];
    for (provider, name, settings, mints) in cases {
        let found = mode(&catalog, provider, name).mints_with(&config(settings.clone()));
        assert_eq!(found, mints, "{provider} {settings}");
    }
    let adyen = mode(&catalog, "adyen", "api_key");
    let account = |settings| adyen.minted_account(adyen.mint().expect("it makes keys"), &config(settings));
    assert_eq!(account(json!({"api_credential_id": "C1"})).as_deref(), Some("C1"));
    assert_eq!(account(json!({})), None);
}

#[test]
fn the_account_of_a_new_key_is_made_of_settings_and_compared_with_the_test() {
    let rotation = |account: &str, test: &str| {
        let account = format!("{MINT}account_id = \"{account}\"\n");
        with("self_replacing = true", &account).replace("[modes.key.test.call]\n", test)
    };
    let test = "[modes.key.test]\naccount_id = \"id\"\n[modes.key.test.call]\n";
    let untold = broken(&rotation("fixed", "[modes.key.test.call]\n"));
    assert!(untold.contains("rotation.mint.account_id must come with test.account_id"), "{untold}");
    let secret = broken(&rotation("{secret.token}", test));
    assert!(secret.contains("rotation.mint.account_id must be made of settings"), "{secret}");
    assert!(parse("acme.toml", &rotation("fixed", test)).is_ok());
}

#[test]
fn a_mode_with_tokens_has_no_rotation() {
    let text = with("rotate_after_days = 90", "").replace("kind = \"static\"", "kind = \"service_account\"");
    assert!(broken(&text).contains("modes.key.rotation must be of a mode of the kind static"));
}

/// What the embedded files can do at their providers.
#[test]
fn the_embedded_files_make_keys_where_their_providers_can() {
    let catalog = catalog();
    let mut minting = Vec::new();
    for provider in catalog.iter() {
        for (name, _) in provider.modes().filter(|(_, mode)| mode.mint().is_some()) {
            minting.push(format!("{}.{name}", provider.id));
        }
    }
    assert_eq!(minting, ["adyen.api_key", "mailgun.api_key", "sendgrid.api_key", "twilio.auth_token"]);
    let mint = |provider: &str, name: &str| mode(&catalog, provider, name).mint().expect("it makes keys");
    // Twilio's calls name no token, and Adyen has none that ends a key.
    let names =
        [("adyen", "api_key"), ("mailgun", "api_key"), ("sendgrid", "api_key"), ("twilio", "auth_token")]
            .map(|(provider, name)| mint(provider, name).names_keys());
    assert_eq!(names, [true, true, true, false]);
    let ends = |id: &str, name: &str| mode(&catalog, id, name).ending_call().is_some();
    assert!(ends("sendgrid", "api_key") && ends("mailgun", "api_key"));
    assert!(!ends("twilio", "auth_token") && !ends("adyen", "api_key"));
    assert_eq!(mint("adyen", "api_key").old_key_life(), Some(Duration::from_secs(86_400)));
    assert_eq!(mint("twilio", "auth_token").old_key_life(), None);
}

/// With another account's id, the calls that end a key, and the test of whether it has ended, are about that account.
#[test]
fn settings_in_the_calls_that_end_a_key_leave_the_keys_that_wait() {
    let catalog = catalog();
    let leaves = |provider: &str, name: &str, setting: &str| {
        let config = serde_json::Map::from_iter([(setting.to_owned(), "another".into())]);
        let config = Config::new(config).expect("it is small");
        mode(&catalog, provider, name).destinations().leave_keys(&serde_json::json!({}), &config)
    };
    assert!(leaves("twilio", "auth_token", "account_sid"));
    assert!(!leaves("mailgun", "api_key", "key_role") && !leaves("sendgrid", "api_key", "key_access"));
    // The call for another key needs it, and none that ends one.
    assert!(!leaves("adyen", "api_key", "company_id"));
}
