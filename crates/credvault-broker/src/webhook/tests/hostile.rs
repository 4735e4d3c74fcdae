//! Arbitrary input: no error shows a value, and nothing panics.

use super::*;

#[test]
fn errors_show_no_value() {
    let mut errors = Vec::new();
    for mut case in cases() {
        case.secret = "CANARY";
        case.body = b"CANARY".into();
        case.url = "CANARY";
        errors.extend(case.check_with(&["CANARY-1", "CANARY-2"]).err());
        errors.extend(case.check_with(&["CANARY*", ""]).err());
        for (name, value) in case.headers.clone() {
            case.headers.push((name.clone(), "CANARY".to_owned()));
            errors.extend(case.check().err());
            case.headers.pop();
            case.set(&name, "CANARY");
            errors.extend(case.check().err());
            case.set(&name, &value);
        }
    }
    for header in ["CANARY", "eyJDQU5BUlkiOiJDQU5BUlkifQ=="] {
        errors.extend(ebay_key_id(&ebay(header).delivery()).err());
    }
    errors.extend(ebay_key_id(&ebay_json("CANARY", "CANARY", "CANARYCA", "CANARY").delivery()).err());
    assert!(errors.len() > 80, "{}", errors.len());
    for error in errors {
        let text = format!("{error} {error:?}").to_lowercase();
        assert!(!text.contains("canary"), "{text}");
    }
}

proptest! {
    #[test]
    fn nothing_that_arrives_panics(
        signature in ".{0,100}",
        list in "(t=|v1[=,]|,| |[0-9a-f]{64}|[A-Za-z0-9+/]{43}=|é){0,8}",
        time in "(.{0,40}|[0-9]{1,25}|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT)",
        url in ".{0,60}",
        escapes in "https://h/(%[0-9A-Fa-f]{0,2}|%é|\\+){0,10}",
        body in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        for mut case in cases() {
            case.body.clone_from(&body);
            for name in [case.webhook.timestamp.clone(), case.webhook.id.clone()].into_iter().flatten() {
                case.set(&name, &time);
            }
            let header = case.webhook.signature.clone();
            let prefixed = format!("{}{list}", case.webhook.prefix);
            for value in [&signature, &list, &prefixed] {
                case.set(&header, value);
                for url in [&url, &escapes] {
                    let delivery = Delivery { url, ..case.delivery() };
                    let secret = SecretString::from(case.secret);
                    let keys = Keys { secrets: vec![Key { secret: &secret, is_apps: false }], client_id: Some("6abcdef123") };
                    prop_assert!(check(&case.webhook, &delivery, &keys, case.now()).is_err());
                }
            }
        }
        let json = BASE64.encode(&body);
        for value in [&signature, &json] {
            prop_assert!(ebay_key_id(&ebay(value).delivery()).is_err());
        }
    }
}
