//! eBay's signatures with a public key.

use super::*;

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
