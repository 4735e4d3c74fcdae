//! Deliveries that are accepted, at least one for every scheme. Those without a source in a comment were computed with
//! Python's `hmac`, independently of this code, and frozen.

use base64::Engine as _;
use credvault_catalog::{Encoding, KeyEncoding, Scheme, Signed, TimestampForm};

use super::cases::{BASE64_TEXT, Case, HEX};
use crate::webhook::claim::BASE64;

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = body_cases().into_iter().chain(timed_cases()).collect();
    for case in &mut cases {
        match case.name {
            "walmart_perf" => case.url = "https://hooks.example.com/hooks/wm?seller=10%2F7&x=a%20b",
            "etsy" => case.secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            _ => {}
        }
    }
    cases
}

/// Providers up to Notion; most of them sign the body alone.
fn body_cases() -> Vec<Case> {
    vec![
        Case::new("shopify", "X-Shopify-Hmac-Sha256", BASE64_TEXT)
            .encoding(Encoding::Base64)
            .id("X-Shopify-Webhook-Id", "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"),
        Case::new("woocommerce", "X-WC-Webhook-Signature", BASE64_TEXT).encoding(Encoding::Base64),
        Case::new("takealot", "X-Takealot-Signature", HEX).id("X-Takealot-Delivery", "6f1c"),
        Case::new("xero", "x-xero-signature", BASE64_TEXT).encoding(Encoding::Base64),
        Case::new("kustomer", "X-Kustomer-Webhook-Signature", HEX),
        Case::new("walmart_perf", "WM_SEC.SIGNATURE", "DUnXYeDu3QbnVeM0992PImUc12kqJMWdLm0sLbtrK9k=")
            .encoding(Encoding::Base64)
            .time("WM_SEC.TIMESTAMP", "1700000000", TimestampForm::Seconds)
            .signed([
                Signed::Method,
                Signed::Literal("\n".to_owned()),
                Signed::Target,
                Signed::Literal("\n".to_owned()),
                Signed::Timestamp,
                Signed::Literal("\n".to_owned()),
                Signed::BodySha256,
            ]),
        Case::new("walmart_event, hexadecimal", "X-Ours", HEX).encoding(Encoding::Any),
        Case::new("walmart_event, base64", "X-Ours", BASE64_TEXT).encoding(Encoding::Any),
        Case::new("meta", "X-Hub-Signature-256", &format!("sha256={HEX}")).prefix("sha256="),
        github(),
        Case::new("notion", "X-Notion-Signature", &format!("sha256={HEX}")).prefix("sha256="),
    ]
}

/// Providers from Slack on; most of them sign a time as well.
fn timed_cases() -> Vec<Case> {
    vec![
        slack(),
        Case::stripe("t=1700000000,v1=b4da3fea24a81ebac3f4239d47254b44e5c3b94040f3975a44d07d91f8a5f90d"),
        hubspot("VevFDNZBZgbQb7kq6IeHPQ02kX34AWG8DCxnjWyKQGI="),
        hubspot("+mPwqS3sdCPLmos66fW/nAsFrv9rZ7uIjn25OBIBPb8="),
        Case::new("zendesk", "X-Zendesk-Webhook-Signature", "YeXdZGizgmOF5frWU6X76o9pHIJ5txPvBX+orKWFW68=")
            .encoding(Encoding::Base64)
            .time("X-Zendesk-Webhook-Signature-Timestamp", "2023-11-14T22:13:20Z", TimestampForm::Rfc3339)
            .signed([Signed::Timestamp, Signed::Body]),
        klaviyo(
            "Tue, 14 Nov 2023 22:13:20 GMT",
            "5112f44e73174ea7569628da1dfbd97835ac9a55da127ba3def9a3bd458ecc6c",
        ),
        klaviyo(
            "2023-11-14T22:13:20.000000",
            "f3dd5a81340b64e8b2773d2d5a0768d4e30656a907a0543d3dabfe60e920d716",
        ),
        Case::new(
            "tiktok_shop",
            "Authorization",
            "0bf08e2ef48ab70a7918f0ae615c1a8940e05b43858a7e3dece977a18e07753c",
        )
        .signed([Signed::ClientId, Signed::Body]),
        Case::new("intuit", "intuit-signature", BASE64_TEXT).encoding(Encoding::Base64),
        standard_webhooks(),
        Case::standard(
            "etsy",
            "v1,+JQTBFoV5OId83x+dQw2Z0c5WtfF/UWkRRiw7G6Gykw=",
            "msg_1",
            "1700000000",
            KeyEncoding::Base64,
        ),
        Case::standard(
            "bigcommerce",
            "v1,98oC9iQCj3uwGQLxyqWJFik9Y8qfJlefDL7zwVS2+po=",
            "msg_1",
            "1700000000",
            KeyEncoding::Text,
        ),
        Case::token(),
    ]
}

/// <https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries>: "Testing the webhook payload".
pub(super) fn github() -> Case {
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let mut case = Case::new("github", "X-Hub-Signature-256", signature)
        .prefix("sha256=")
        .id("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958");
    case.secret = "It's a Secret to Everybody";
    case.body = b"Hello, World!".into();
    case
}

/// <https://api.slack.com/authentication/verifying-requests-from-slack>: the example there.
pub(super) fn slack() -> Case {
    let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    let mut case = Case::new("slack", "X-Slack-Signature", signature)
        .prefix("v0=")
        .time("X-Slack-Request-Timestamp", "1531420618", TimestampForm::Seconds)
        .signed([
            Signed::Literal("v0:".to_owned()),
            Signed::Timestamp,
            Signed::Literal(":".to_owned()),
            Signed::Body,
        ]);
    case.secret = "8f742231b10e8888abcd99yyyzzz85a5";
    case.body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow\
        &channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner\
        &command=%2Fwebhook-collect&text=\
        &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
        &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
        .into();
    case.now = 1_531_420_618;
    case
}

/// Over the URL as it was called, or with the escapes of `:` and `/` decoded and that of the blank kept.
pub(super) fn hubspot(signature: &str) -> Case {
    let mut case = Case::new("hubspot_v3", "X-HubSpot-Signature-v3", signature)
        .encoding(Encoding::Base64)
        .time("X-HubSpot-Request-Timestamp", "1700000000000", TimestampForm::Milliseconds)
        .signed([Signed::Method, Signed::Url, Signed::Body, Signed::Timestamp]);
    case.url = "https://hooks.example.com/in/hubspot?next=https%3A%2F%2Fa.example%2Fx&q=a%20b";
    case
}

pub(super) fn klaviyo(time: &str, signature: &str) -> Case {
    Case::new("klaviyo", "Klaviyo-Signature", signature)
        .time("Klaviyo-Timestamp", time, TimestampForm::Any)
        .signed([Signed::Body, Signed::Timestamp])
}

/// The vector that the libraries of Standard Webhooks are tested with.
pub(super) fn standard_webhooks() -> Case {
    let mut case = Case::standard(
        "standard_webhooks",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "1614265330",
        KeyEncoding::Base64,
    );
    case.secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    case.body = br#"{"test": 2432232314}"#.into();
    case.now = 1_614_265_330;
    case
}

/// From the tests of eBay's `event-notification-nodejs-sdk`.
pub(super) mod ebay_vector {
    pub(in crate::webhook::tests) const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEZhhxXKtR+TOvtDbgTPCkSof02qgBB7IsYOyf76ilExJ/upAa/vKIKheOoCyOpcLmi4t0b4uepb7LLjmMr90FUg==-----END PUBLIC KEY-----";
    pub(in crate::webhook::tests) const HEADER: &str = "eyJhbGciOiJlY2RzYSIsImtpZCI6Ijk5MzYyNjFhLTdkN2ItNDYyMS1hMGYxLTk2Y2NiNDI4YWY0OSIsInNpZ25hdHVyZSI6Ik1FWUNJUUNmeGZJV3V4bVdjSUJRSjljNS9YN2lHREpxczJSQ0dzQkVhQWppbnlycmZBSWhBSVY2d0djVGlCdVY1S0pVaWYyaG9reXJMK1E5c3NIa2FkK214Mm5FRTI1dyIsImRpZ2VzdCI6IlNIQTEifQ==";
    pub(in crate::webhook::tests) const BODY: &str = r#"{"metadata":{"topic":"MARKETPLACE_ACCOUNT_DELETION","schemaVersion":"1.0","deprecated":false},"notification":{"notificationId":"49feeaeb-4982-42d9-a377-9645b8479411_33f7e043-fed8-442b-9d44-791923bd9a6d","eventDate":"2021-03-19T20:43:59.462Z","publishDate":"2021-03-19T20:43:59.679Z","publishAttemptCount":1,"data":{"username":"test_user","userId":"ma8vp1jySJC","eiasToken":"nY+sHZ2PrBmdj6wVnY+sEZ2PrA2dj6wJnY+gAZGEpwmdj6x9nY+seQ=="}}}"#;
    pub(in crate::webhook::tests) const SIGNATURE: &str =
        "MEYCIQCfxfIWuxmWcIBQJ9c5/X7iGDJqs2RCGsBEaAjinyrrfAIhAIV6wGcTiBuV5KJUif2hokyrL+Q9ssHkad+mx2nEE25w";
}

pub(super) fn ebay(header: &str) -> Case {
    let mut case = Case::new("ebay", "X-EBAY-SIGNATURE", header);
    case.webhook.scheme = Scheme::Ebay;
    case.body = ebay_vector::BODY.into();
    case
}

pub(super) fn ebay_json(alg: &str, kid: &str, signature: &str, digest: &str) -> Case {
    let json = serde_json::json!({ "alg": alg, "kid": kid, "signature": signature, "digest": digest });
    ebay(&BASE64.encode(json.to_string()))
}
