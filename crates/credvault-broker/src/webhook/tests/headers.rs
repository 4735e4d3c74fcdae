//! Headers that are missing, repeated, cut or written in another case.

use super::*;

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
