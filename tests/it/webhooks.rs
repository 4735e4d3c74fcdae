//! Webhooks: a delivery is checked once, and the secret that signs it stays in the vault.

use credvault_domain::Clock as _;
use credvault_proto::v1;
use credvault_simulator::CLIENT_SECRET;

use crate::harness::provider::{STRICT, connection_request};
use crate::harness::{VaultBuilder, input};
use crate::on_both;

on_both![a_webhook_is_checked_once_and_its_secret_stays_inside];

async fn a_webhook_is_checked_once_and_its_secret_stays_inside(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let created = app
        .create(v1::CreateConnectionRequest {
            auth_mode: "api_key".into(),
            config: Some(prost_types::Struct {
                fields: [("shop".to_owned(), prost_types::Value::from("s-1"))].into(),
            }),
            credential: Some(input(&[
                ("key", "sim_key_shop-1"),
                ("webhook_secret", "CANARY webhook secret"),
            ])),
            ..connection_request("key")
        })
        .await
        .unwrap();
    let time = connected.vault.clock.now().seconds().to_string();
    let signed = |secret: &str, time: &str, body: &str| {
        credvault_testkit::hmac_sha256(secret.as_bytes(), format!("{time}.{body}").as_bytes())
    };
    let check = async |signature: String, time: &str, body: &str| {
        let header = |name: &str, value: &str| v1::WebhookHeader { name: name.into(), value: value.into() };
        let request = v1::VerifyWebhookRequest {
            connection_id: created.id.clone(),
            headers: vec![header("X-SIGNATURE", &signature), header("x-time", time)],
            body: body.as_bytes().to_vec(),
            ..Default::default()
        };
        let answer = app.vault().verify_webhook(request).await.unwrap().into_inner();
        assert!(!format!("{answer:?}").contains("CANARY"));
        (answer.verdict(), answer.problem)
    };
    let body = r#"{"order": "CANARY 17", "shop": "s-1"}"#;
    let good = signed("CANARY webhook secret", &time, body);
    assert_eq!(check(good.clone(), &time, body).await.0, v1::WebhookVerdict::Valid);
    assert_eq!(check(good.clone(), &time, body).await.0, v1::WebhookVerdict::Repeated);
    // The app's secret is one of the provider's, too, and the provider has not said whose key this is.
    let (verdict, problem) = check(signed(CLIENT_SECRET, &time, body), &time, body).await;
    assert_eq!(verdict, v1::WebhookVerdict::Invalid, "{problem}");
    assert!(problem.contains("TestConnection"), "{problem}");
    let foreign = r#"{"order": "CANARY 17", "shop": "s-2"}"#;
    for (signature, time, body) in [
        (good.clone(), time.as_str(), r#"{"order": "CANARY 18"}"#),
        (signed(CLIENT_SECRET, &time, foreign), &time, foreign),
        (good, "1", body),
        (signed("CANARY webhook secret", "1", body), "1", body),
        (signed("another", &time, body), &time, body),
        (String::new(), &time, body),
    ] {
        let (verdict, problem) = check(signature, time, body).await;
        assert_eq!(verdict, v1::WebhookVerdict::Invalid);
        assert!(!problem.is_empty());
    }
}
