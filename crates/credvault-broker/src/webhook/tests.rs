//! Every scheme accepts its vector, and fails in every way in which it must.

use credvault_catalog::{Encoding, TimestampForm};
use credvault_crypto::P256Key;
use proptest::prelude::*;

mod accounts;

mod cases;

use super::*;
use cases::{
    AT, BASE64_TEXT, Case, HEX, KEY, cases, ebay, ebay_json, ebay_vector, hubspot, slack, standard_webhooks,
};

fn named(name: &str) -> Case {
    cases().into_iter().find(|case| case.name == name).expect(name)
}

#[test]
fn every_vector_is_accepted() {
    for case in cases() {
        let checked = case.check().expect(case.name);
        let id = case.webhook.id.as_deref().and_then(|name| case.delivery().header(name).expect("once"));
        assert_eq!(checked.id.as_deref(), id, "{}", case.name);
    }
}

#[test]
fn a_wrong_secret_is_refused() {
    for case in cases() {
        let wrong = if case.webhook.key_encoding == KeyEncoding::Base64 { "AAAA" } else { "wrong" };
        assert_eq!(case.check_with(&[wrong]), Err(WebhookError::SignatureWrong), "{}", case.name);
    }
}

#[test]
fn every_flipped_bit_of_the_body_is_noticed() {
    for mut case in cases().into_iter().filter(|case| case.webhook.scheme != Scheme::Token) {
        for bit in 0..case.body.len() * 8 {
            case.body[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(case.check(), Err(WebhookError::SignatureWrong), "{}, bit {bit}", case.name);
            case.body[bit / 8] ^= 1 << (bit % 8);
        }
        case.body.clear();
        assert_eq!(case.check(), Err(WebhookError::SignatureWrong), "{}, no body", case.name);
    }
}

#[test]
fn every_header_that_is_signed_must_be_there() {
    for mut case in cases() {
        let headers = case.headers.clone();
        for (missing, (name, _)) in headers.iter().enumerate() {
            let header = name.to_lowercase();
            let expected = if header == case.webhook.signature {
                Err(WebhookError::SignatureMissing { header })
            } else if case.webhook.timestamp.as_ref() == Some(&header) {
                Err(WebhookError::TimestampMissing { header })
            } else if case.webhook.signed.contains(&Signed::Id) {
                Err(WebhookError::IdMissing { header })
            } else {
                Ok(None)
            };
            case.headers.remove(missing);
            assert_eq!(case.check().map(|checked| checked.id), expected, "{} without {name}", case.name);
            case.headers.clone_from(&headers);
        }
    }
}

#[test]
fn a_header_that_comes_twice_must_say_the_same() {
    for mut case in cases() {
        let expected = case.check();
        for (name, value) in case.headers.clone() {
            case.headers.push((name.to_uppercase(), value.clone()));
            assert_eq!(case.check(), expected, "{}: {name}", case.name);
            for other in ["", "other", &format!("{value} "), &value[1..]] {
                case.headers.pop();
                case.headers.push((name.clone(), other.to_owned()));
                let header = name.to_lowercase();
                assert_eq!(
                    case.check(),
                    Err(WebhookError::HeaderRepeated { header }),
                    "{}: {name}",
                    case.name
                );
            }
            case.headers.pop();
        }
    }
}

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
fn header_names_may_have_any_case() {
    for mut case in cases() {
        let expected = case.check();
        for (name, _) in &mut case.headers {
            *name = name.to_uppercase();
        }
        assert_eq!(case.check(), expected, "{}", case.name);
        for (name, _) in &mut case.headers {
            *name = name.to_lowercase();
        }
        assert_eq!(case.check(), expected, "{}", case.name);
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

#[test]
fn time_is_checked_on_both_sides() {
    let mut dated = 0;
    for mut case in cases() {
        let now = case.now;
        let signed = case.webhook.signed.contains(&Signed::Timestamp);
        dated += usize::from(signed);
        let tolerance = Duration::from_secs(300);
        let window = if signed { tolerance * 2 } else { UNDATED_WINDOW };
        for (offset, inside) in [(-301, false), (-300, true), (300, true), (301, false), (-now, false)] {
            case.now = now + offset;
            let expected = if inside || !signed {
                Ok(window)
            } else {
                Err(WebhookError::TimestampOutside { tolerance })
            };
            let found = case.check().map(|checked| checked.replay_window);
            assert_eq!(found, expected, "{}, {offset} s", case.name);
        }
    }
    assert_eq!(dated, 11, "schemes with a signed time");
}

#[test]
fn every_form_of_time_is_read() {
    use TimestampForm::{Any, Milliseconds, Rfc3339, Seconds};
    let known = [
        ("1700000000", Seconds, 0),
        ("1700000000123", Milliseconds, 123_000),
        ("2023-11-14T22:13:20Z", Rfc3339, 0),
        ("2023-11-15T00:13:20.5+02:00", Rfc3339, 500_000),
        ("2023-11-14T22:13:20Z", Any, 0),
        ("2023-11-14T22:13:20.25", Any, 250_000),
        ("Tue, 14 Nov 2023 22:13:20 GMT", Any, 0),
    ];
    for (text, form, micros) in known {
        let expected = Timestamp::from_micros(AT * 1_000_000 + micros);
        assert_eq!(timestamp::parse(text, form), Some(expected), "{text}");
    }
}

/// Were `01700000000` the same as `1700000000`, a body that ends with a zero could lend it to the time after it.
#[test]
fn a_time_has_one_spelling() {
    use TimestampForm::{Any, Milliseconds, Rfc3339, Seconds};
    let digits = [
        "",
        "-1",
        "+1700000000",
        "01700000000",
        " 1700000000",
        "1700000000 ",
        "1.7e9",
        "17000000000000000000000",
    ];
    let dates =
        ["", "2023-11-14", "14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2023 22:13:20 +0000", "1700000000", "é"];
    for form in [Seconds, Milliseconds] {
        for text in digits {
            assert_eq!(timestamp::parse(text, form), None, "{text}");
        }
    }
    for form in [Rfc3339, Any] {
        for text in dates {
            assert_eq!(timestamp::parse(text, form), None, "{text}");
        }
    }
    let mut case = slack();
    case.set("X-Slack-Request-Timestamp", "yesterday");
    assert_eq!(case.check(), Err(WebhookError::TimestampMalformed));
}

#[test]
fn signatures_may_be_written_in_every_usual_way() {
    let same = [
        Case::new("upper case", "x", &HEX.to_uppercase()),
        Case::new("no padding", "x", BASE64_TEXT.trim_end_matches('=')).encoding(Encoding::Base64),
        Case::new("any, no padding", "x", BASE64_TEXT.trim_end_matches('=')).encoding(Encoding::Any),
        Case::new("any, upper case", "x", &HEX.to_uppercase()).encoding(Encoding::Any),
    ];
    let expected = Case::new("plain", "x", HEX).check().expect("accepted");
    for case in same {
        assert_eq!(case.check().expect(case.name), expected, "{}: the same replay key", case.name);
    }
}

#[test]
fn what_is_no_signature_is_malformed() {
    let long = format!("{HEX}00");
    for encoding in [Encoding::Hex, Encoding::Base64, Encoding::Any] {
        for text in ["", "00", "g", &HEX[1..], &long, "*", "é", "=", &BASE64_TEXT[..40], "sha256="] {
            let case = Case::new("malformed", "x", text).encoding(encoding);
            assert_eq!(case.check(), Err(WebhookError::SignatureMalformed), "{text}");
        }
    }
    let mut meta = named("meta");
    for text in [HEX.to_owned(), format!("sha1={HEX}"), format!("SHA256={HEX}")] {
        meta.set("X-Hub-Signature-256", &text);
        assert_eq!(meta.check(), Err(WebhookError::SignatureMalformed), "{text}");
    }
}

#[test]
fn one_good_signature_in_stripes_list_is_enough() {
    let good = "v1=b4da3fea24a81ebac3f4239d47254b44e5c3b94040f3975a44d07d91f8a5f90d";
    let other = format!("v1={HEX}");
    let expected = named("stripe").check().expect("accepted");
    let accepted = [
        format!("t=1700000000,{other},{good}"),
        format!("t=1700000000,{good},{other}"),
        format!("t=1700000000, {good}, v0=00, v2, v1=short"),
        format!("{good},t=1700000000"),
    ];
    for value in accepted {
        assert_eq!(Case::stripe(&value).check(), Ok(expected.clone()), "{value}");
    }
    let header = "stripe-signature".to_owned();
    let refused = [
        (format!("t=1700000000,{other}"), WebhookError::SignatureWrong),
        ("t=1700000000".to_owned(), WebhookError::SignatureMalformed),
        (format!("t=1700000000,v0={HEX}"), WebhookError::SignatureMalformed),
        (format!("t=1700000000,t=1700000000,{good}"), WebhookError::SignatureMalformed),
        (format!("t=now,{good}"), WebhookError::TimestampMalformed),
        (good.to_owned(), WebhookError::TimestampMissing { header: header.clone() }),
        (String::new(), WebhookError::TimestampMissing { header }),
    ];
    for (value, reason) in refused {
        assert_eq!(Case::stripe(&value).check(), Err(reason), "{value}");
    }
}

#[test]
fn one_good_signature_in_a_standard_list_is_enough() {
    let good = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let expected = standard_webhooks().check();
    let mut case = standard_webhooks();
    for value in
        [format!("v1a,xyz v1,{BASE64_TEXT} {good}"), format!("{good} v2,? v1,? ,"), good.replace('=', "")]
    {
        case.set("webhook-signature", &value);
        assert_eq!(case.check(), expected, "{value}");
    }
    for value in ["", "v1", "v1,", "v1,?", &good.replace("v1,", "v2,"), &good.replace("v1,", "")] {
        case.set("webhook-signature", value);
        assert_eq!(case.check(), Err(WebhookError::SignatureMalformed), "{value}");
    }
    case.set("webhook-signature", good);
    case.set("webhook-id", "msg_other");
    assert_eq!(case.check(), Err(WebhookError::SignatureWrong));
    case.set("webhook-id", "");
    assert_eq!(case.check(), Err(WebhookError::IdMissing { header: "webhook-id".to_owned() }));
}

#[test]
fn method_target_and_url_are_signed() {
    for (name, url) in [
        ("walmart_perf", "https://hooks.example.com/hooks/wm?seller=10/7&x=a%20b"),
        ("walmart_perf", "https://hooks.example.com/hooks/wm"),
        ("hubspot_v3", "https://hooks.example.com/in/hubspot?next=https%3A%2F%2Fa.example%2Fx&q=a+b"),
        ("hubspot_v3", "https://other.example.com/in/hubspot?next=https%3A%2F%2Fa.example%2Fx&q=a%20b"),
    ] {
        let mut case = named(name);
        case.method = "PUT";
        assert_eq!(case.check(), Err(WebhookError::SignatureWrong), "{name}: method");
        case.method = "POST";
        case.url = url;
        assert_eq!(case.check(), Err(WebhookError::SignatureWrong), "{name}: {url}");
    }
    let mut case = named("walmart_perf");
    case.url = "http://proxy.internal:8080/hooks/wm?seller=10%2F7&x=a%20b#fragment";
    assert!(case.check().is_ok(), "only path and query count");
    for url in ["", "/hooks/wm", "https:/x", "https://", "https:///x", "https://?x"] {
        case.url = url;
        assert_eq!(case.check(), Err(WebhookError::UrlMalformed), "{url}");
    }
}

#[test]
fn a_clients_id_must_be_known_where_it_is_signed() {
    let case = named("tiktok_shop");
    let secret = SecretString::from(case.secret);
    for client_id in [None, Some("")] {
        let keys = Keys { secrets: vec![Key { secret: &secret, is_apps: false }], client_id };
        let found = check(&case.webhook, &case.delivery(), &keys, case.now());
        assert_eq!(found, Err(WebhookError::ClientIdMissing));
    }
}

#[test]
fn a_description_with_gaps_checks_nothing() {
    let incomplete = |part| Err(WebhookError::DescriptionIncomplete { part });
    let body = || Case::new("body", "x", HEX);
    assert_eq!(body().signed([]).check(), incomplete("how the body is signed"));
    assert_eq!(body().signed([Signed::Method]).check(), incomplete("how the body is signed"));
    assert_eq!(
        body().signed([Signed::Timestamp, Signed::Body]).check(),
        incomplete("the header of the time")
    );
    assert_eq!(body().signed([Signed::Id, Signed::Body]).check(), incomplete("the header of the id"));
}

#[test]
fn a_replay_cannot_look_new() {
    // The id is not signed, so another one is the same delivery.
    let mut case = named("github");
    let first = case.check().expect("accepted");
    case.set("X-GitHub-Delivery", "another");
    let again = case.check().expect("accepted");
    assert_eq!((first.replay_key, again.id.as_deref()), (again.replay_key, Some("another")));
    // HubSpot's two readings of one URL.
    let mut case = hubspot("+mPwqS3sdCPLmos66fW/nAsFrv9rZ7uIjn25OBIBPb8=");
    let first = case.check().expect("accepted");
    case.url = "https://hooks.example.com/in/hubspot?next=https://a.example/x&q=a%20b";
    assert_eq!(case.check(), Ok(first));
    // A signed id stays the same when the provider repeats the delivery later, with another time and tag.
    let mut case = named("bigcommerce");
    let first = case.check().expect("accepted");
    case.set("webhook-timestamp", "1700000100");
    case.set("webhook-signature", "v1,sXri805XL2YUsbO7IYzmPUcJ/d53zSA96mc+NVn3d7Q=");
    assert_eq!(case.check(), Ok(first));
    // Deliveries that differ have different keys.
    let mut keys: Vec<_> = cases().iter().map(|case| case.check().expect(case.name).replay_key).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 14, "by what is signed: body, tag or id");
}

#[test]
fn a_token_is_compared_whole() {
    let mut case = Case::token().prefix("Bearer ");
    assert_eq!(case.check(), Err(WebhookError::SignatureMalformed), "no prefix");
    case.set("X-Goog-Channel-Token", &format!("Bearer {KEY}"));
    let first = case.check().expect("accepted");
    for wrong in ["Bearer ", &format!("Bearer {}", &KEY[1..]), &format!("Bearer {KEY}0")] {
        case.set("X-Goog-Channel-Token", wrong);
        assert_eq!(case.check(), Err(WebhookError::SignatureWrong), "{wrong}");
    }
    case.set("X-Goog-Channel-Token", &format!("Bearer {KEY}"));
    case.set("X-Goog-Message-Number", "8");
    assert_ne!(case.check().expect("accepted").replay_key, first.replay_key, "another message");
}

#[test]
fn ebays_own_vector_is_accepted() {
    let key = P256Key::from_pem(ebay_vector::PUBLIC_KEY).expect("key");
    let mut case = ebay(ebay_vector::HEADER);
    assert_eq!(ebay_key_id(&case.delivery()).as_deref(), Ok("9936261a-7d7b-4621-a0f1-96ccb428af49"));
    let checked = check_ebay(&case.delivery(), &key).expect("accepted");
    assert_eq!(checked.replay_window, UNDATED_WINDOW);
    assert_eq!(case.check(), Err(WebhookError::PublicKeyNeeded), "no shared secret");
    case.body[40] ^= 1;
    assert_eq!(check_ebay(&case.delivery(), &key), Err(WebhookError::SignatureWrong));
}

#[test]
fn ebays_header_must_have_its_form() {
    use ebay_vector::SIGNATURE;
    let key = P256Key::from_pem(ebay_vector::PUBLIC_KEY).expect("key");
    let (wrong, malformed) = (WebhookError::SignatureWrong, WebhookError::SignatureMalformed);
    let (long, unsupported) = ("a".repeat(129), WebhookError::AlgorithmUnsupported);
    let cases = [
        (ebay_json("ECDSA", "k-1_A", SIGNATURE, "sha1"), None),
        (ebay_json("ecdsa", "k", SIGNATURE, "SHA256"), Some(&wrong)),
        (ebay_json("ecdsa", "k", "", "SHA1"), Some(&wrong)),
        (ebay_json("ecdsa", "k", "?", "SHA1"), Some(&malformed)),
        (ebay_json("ecdsa", "k", SIGNATURE, "MD5"), Some(&unsupported)),
        (ebay_json("none", "k", SIGNATURE, "SHA1"), Some(&unsupported)),
        (ebay_json("ecdsa", "", SIGNATURE, "SHA1"), Some(&malformed)),
        (ebay_json("ecdsa", "../token", SIGNATURE, "SHA1"), Some(&malformed)),
        (ebay_json("ecdsa", "k?x", SIGNATURE, "SHA1"), Some(&malformed)),
        (ebay_json("ecdsa", &long, SIGNATURE, "SHA1"), Some(&malformed)),
        (ebay(""), Some(&malformed)),
        (ebay("e30="), Some(&malformed)),
        (ebay("bnVsbA=="), Some(&malformed)),
        (ebay(ebay_vector::HEADER).with("x-ebay-signature", "e30="), None),
    ];
    let (last, cases) = cases.split_last().expect("some");
    for (case, expected) in cases {
        let found = check_ebay(&case.delivery(), &key);
        assert_eq!(found.as_ref().err(), *expected, "{:?}", case.headers);
    }
    let header = "x-ebay-signature".to_owned();
    let repeated = WebhookError::HeaderRepeated { header: header.clone() };
    assert_eq!(check_ebay(&last.0.delivery(), &key), Err(repeated.clone()));
    assert_eq!(ebay_key_id(&last.0.delivery()), Err(repeated));
    let mut none = ebay("");
    none.headers.clear();
    assert_eq!(ebay_key_id(&none.delivery()), Err(WebhookError::SignatureMissing { header }));
}

/// (r, n - s) is a signature too. It verifies, and it is the same delivery.
#[test]
fn ebays_other_signature_of_a_body_is_a_replay() {
    /// n - s of the vector, computed with Python's integers.
    const OTHER: &str =
        "MEUCIQCfxfIWuxmWcIBQJ9c5/X7iGDJqs2RCGsBEaAjinyrrfAIgeoU/l+x35GsbXat2Al5dsxG3Fm/0VbobFBMDWThPtuE=";
    let key = P256Key::from_pem(ebay_vector::PUBLIC_KEY).expect("key");
    let first = check_ebay(&ebay(ebay_vector::HEADER).delivery(), &key).expect("accepted");
    let second = check_ebay(&ebay_json("ecdsa", "k", OTHER, "SHA1").delivery(), &key).expect("accepted");
    assert_eq!(second.replay_key, first.replay_key);
}

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

#[test]
fn no_truncated_header_is_accepted_or_panics() {
    for mut case in cases() {
        for (name, value) in case.headers.clone() {
            let header = Some(name.to_lowercase());
            let signed = header.as_ref() == Some(&case.webhook.signature) || header == case.webhook.timestamp;
            for length in 0..value.len() {
                case.set(&name, &value[..length]);
                // Without its padding, base64 is whole.
                let whole = value[length..].bytes().all(|byte| byte == b'=');
                assert!(!signed || whole || case.check().is_err(), "{}: {name} of {length}", case.name);
            }
            case.set(&name, &value);
        }
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
