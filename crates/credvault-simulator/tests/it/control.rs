//! The switches over HTTP.

use std::time::Duration;

use credvault_simulator::{Behaviour, Refusal, RetryAfter, Rotation, Step};
use serde_json::json;

use crate::harness::{Fixture, json};

async fn put(fixture: &Fixture, body: String) -> u16 {
    let request = fixture.client.put(fixture.simulator.url() + "/control/behaviour").body(body);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn switches_are_put_and_got() {
    let fixture = Fixture::start().await;
    let body = json!({
        "rotation": { "rotating": { "grace": 1.5 } },
        "script": ["lose_answer", { "refuse": "dead_grant" }, { "throttle": { "retry_after": { "seconds": 3 } } }],
        "access_token_seconds": 60,
    });
    assert_eq!(put(&fixture, body.to_string()).await, 200);
    let (status, got) = json(fixture.get("/control/behaviour").await).await;
    let expected = Behaviour {
        rotation: Rotation::Rotating { grace: Duration::from_millis(1500), same_answer_within_grace: false },
        script: vec![
            Step::LoseAnswer,
            Step::Refuse(Refusal::DeadGrant),
            Step::Throttle { retry_after: RetryAfter::Seconds(3) },
        ],
        access_token_seconds: 60,
        ..Behaviour::default()
    };
    assert_eq!(status, 200);
    assert_eq!(serde_json::from_value::<Behaviour>(got).unwrap(), expected);
    assert!(fixture.try_token(&[("grant_type", "client_credentials")]).await.is_err());
}

#[tokio::test]
async fn what_is_misspelt_is_refused_and_changes_nothing() {
    let fixture = Fixture::with(|behaviour| behaviour.envelope = true).await;
    let wrong = [r#"{"envelop":true}"#, r#"{"delay":-1}"#, r#"{"steady":{"fail":{"code":500}}}"#, "no"];
    for body in wrong {
        assert_eq!(put(&fixture, body.to_owned()).await, 400, "{body}");
    }
    let (_, got) = json(fixture.get("/control/behaviour").await).await;
    assert_eq!(got["envelope"], json!(true));
}

#[tokio::test]
async fn counts_are_got_and_reset_with_everything_else() {
    let fixture = Fixture::start().await;
    let tokens = fixture.simulator.issue("shop-1", &[]);
    fixture.me(&tokens.access_token).await;
    fixture.simulator.behave(|behaviour| behaviour.envelope = true);
    let (status, counts) = json(fixture.get("/control/counts").await).await;
    assert_eq!(status, 200);
    assert_eq!(&counts["tests"], &json!(1));
    assert_eq!(&counts["refreshes"], &json!(0));
    assert_eq!(fixture.post("/control/reset", &[]).await.unwrap().status(), 204);
    assert_eq!(fixture.simulator.counts().tests, 0);
    assert_eq!(fixture.simulator.families(), []);
    assert_eq!(fixture.me(&tokens.access_token).await, 401);
    let (_, got) = json(fixture.get("/control/behaviour").await).await;
    assert_eq!(got["envelope"], json!(false));
}
