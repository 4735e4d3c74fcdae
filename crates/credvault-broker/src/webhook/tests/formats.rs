//! The ways to write a signature, and lists of signatures.

use super::*;

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
