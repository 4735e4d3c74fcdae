//! Every scheme accepts its vector, and notices every change of what is signed.

use super::*;

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
