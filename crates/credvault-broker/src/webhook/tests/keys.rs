//! Secrets: several live ones, empty ones and malformed ones.

use super::*;

#[test]
fn whose_key_signed_is_told() {
    for case in cases() {
        let secret = SecretString::from(case.secret);
        for is_apps in [true, false] {
            let other = SecretString::from("another");
            let secrets = vec![Key { secret: &other, is_apps: !is_apps }, Key { secret: &secret, is_apps }];
            let keys = Keys { secrets, client_id: Some("6abcdef123") };
            let checked = check(&case.webhook, &case.delivery(), &keys, case.now()).expect(case.name);
            assert_eq!(checked.shared, is_apps, "{}", case.name);
            assert_eq!(checked.shared_replay_key(None), checked.replay_key);
            assert_ne!(checked.shared_replay_key(Some("a")), checked.shared_replay_key(Some("b")));
        }
    }
}

#[test]
fn no_key_and_an_empty_key_are_refused() {
    for case in cases() {
        assert_eq!(case.check_with(&[]), Err(WebhookError::KeyMissing), "{}", case.name);
        for empty in ["", " ", "\n\t"] {
            assert_eq!(case.check_with(&[empty]), Err(WebhookError::KeyMalformed), "{}", case.name);
        }
    }
}

/// The tags are right under the empty key, which must not help.
#[test]
fn a_tag_under_the_empty_key_is_refused() {
    let mut case =
        Case::new("forged", "x", "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
    case.body.clear();
    assert_eq!(case.check_with(&[""]), Err(WebhookError::KeyMalformed));
    case.webhook.key_encoding = KeyEncoding::Base64;
    for empty in ["", "whsec_", "whsec_="] {
        assert_eq!(case.check_with(&[empty]), Err(WebhookError::KeyMalformed), "{empty}");
    }
    let mut token = Case::token();
    token.set("X-Goog-Channel-Token", "");
    assert_eq!(token.check_with(&[""]), Err(WebhookError::KeyMalformed));
    assert_eq!(token.check(), Err(WebhookError::SignatureWrong));
}

#[test]
fn a_key_in_hexadecimal_stands_for_its_bytes() {
    let tag = "f886681a7b0fd2899243f40e01aebf826fa60facea77dde75702a7a35acac206";
    let mut case = Case::new("hexadecimal key", "X-Ours", tag);
    case.body = br#"{"test":1}"#.into();
    case.webhook.key_encoding = KeyEncoding::Hex;
    for key in ["c0ffee00".repeat(8), "C0FFEE00".repeat(8)] {
        assert!(case.check_with(&[&key]).is_ok(), "{key}");
    }
    for malformed in ["c0ffee0", "c0ffeeg0", "", "whsec_c0ffee00"] {
        assert_eq!(case.check_with(&[malformed]), Err(WebhookError::KeyMalformed), "{malformed}");
    }
}

#[test]
fn every_live_secret_is_tried() {
    for case in cases() {
        let wrong = if case.webhook.key_encoding == KeyEncoding::Base64 { "AAAA" } else { "wrong" };
        let expected = case.check();
        assert_eq!(case.check_with(&[wrong, case.secret]), expected, "{}: the second", case.name);
        assert_eq!(case.check_with(&[case.secret, wrong]), expected, "{}: the first", case.name);
        assert_eq!(case.check_with(&["", case.secret]), expected, "{}: beside an empty one", case.name);
        assert_eq!(case.check_with(&[wrong, ""]), Err(WebhookError::KeyMalformed), "{}: neither", case.name);
    }
}

#[test]
fn a_secret_that_is_no_base64_is_named() {
    for secret in ["whsec_***", "MfKQ9r8GK YqrTwjUPD8", "ключ"] {
        assert_eq!(standard_webhooks().check_with(&[secret]), Err(WebhookError::KeyMalformed));
    }
    let bare = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    assert_eq!(standard_webhooks().check_with(&[bare]), standard_webhooks().check());
}
