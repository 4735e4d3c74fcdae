//! Everything that can go wrong around a token request.

use std::time::{Duration, Instant};

use credvault_simulator::{CLIENT_ID, CLIENT_SECRET, RetryAfter, Step};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Fixture, form, text};

const REFRESH: (&str, &str) = ("grant_type", "refresh_token");
const SHORT: Duration = Duration::from_millis(150);

/// A request to renew as the app, as the body of a form.
fn refresh_form(token: &str) -> String {
    let app = [("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)];
    form(&[&app[..], &[REFRESH, ("refresh_token", token)]].concat())
}

/// The generation of the only family.
fn generation(fixture: &Fixture) -> u64 {
    fixture.simulator.families()[0].generation
}

/// A fixture whose next token request meets this step, and a refresh token.
async fn facing(step: Step) -> (Fixture, String) {
    let fixture = Fixture::with_step(step).await;
    let token = fixture.simulator.issue("shop-1", &[]).refresh_token;
    (fixture, token)
}

async fn send(fixture: &Fixture, token: &str) -> reqwest::Result<reqwest::Response> {
    fixture.try_token(&[REFRESH, ("refresh_token", token)]).await
}

/// Waits until this holds.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_slow_answer_has_its_effect_at_once() {
    let fixture = Fixture::with(|behaviour| behaviour.delay = SHORT).await;
    let token = fixture.simulator.issue("shop-1", &[]).refresh_token;
    let begun = Instant::now();
    let mut refresh = std::pin::pin!(fixture.refresh(&token));
    tokio::select! {
        _ = &mut refresh => panic!("answered without a delay"),
        () = until(|| generation(&fixture) == 1) => {}
    }
    assert_eq!(refresh.await.0, 200);
    assert!(begun.elapsed() >= SHORT);
}

#[tokio::test]
async fn a_delay_before_the_effect_delays_that_too_and_outlives_the_caller() {
    let fixture = Fixture::with(|behaviour| behaviour.delay_before_effect = SHORT * 3).await;
    let token = fixture.simulator.issue("shop-1", &[]).refresh_token;
    // Hangs up as soon as the request has arrived.
    tokio::select! {
        _ = fixture.refresh(&token) => panic!("answered without a delay"),
        () = until(|| fixture.simulator.counts().refreshes == 1) => {}
    }
    assert_eq!(generation(&fixture), 0);
    until(|| generation(&fixture) == 1).await;
}

#[tokio::test]
async fn a_slow_step_waits_on_both_sides() {
    let (fixture, token) = facing(Step::Slow { before_effect: SHORT, after_effect: SHORT }).await;
    let begun = Instant::now();
    fixture.renewed(&token).await;
    assert!(begun.elapsed() >= SHORT * 2);
}

#[tokio::test]
async fn a_lost_answer_leaves_the_effect_and_a_hang_up_does_not() {
    for (step, expected) in [(Step::LoseAnswer, 1), (Step::HangUp, 0)] {
        let (fixture, token) = facing(step).await;
        let body = refresh_form(&token);
        let mut stream = TcpStream::connect(fixture.simulator.address()).await.unwrap();
        let head =
            "POST /token HTTP/1.1\r\nhost: simulator\r\ncontent-type: application/x-www-form-urlencoded";
        let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // Closed or reset, and not a byte before that.
        let _ = stream.read_to_end(&mut answer).await;
        assert_eq!(String::from_utf8(answer).unwrap(), "");
        assert_eq!(generation(&fixture), expected);
        let counts = fixture.simulator.counts();
        assert_eq!(counts.refreshes, 1);
        assert_eq!(counts.refreshes_granted, expected);
        assert_eq!(counts.refreshes_answered_ok, 0);
    }
}

#[tokio::test]
async fn answers_are_held_back_until_they_are_let_go() {
    let fixture = Fixture::with(|behaviour| behaviour.hold = true).await;
    let token = fixture.simulator.issue("shop-1", &[]).refresh_token;
    let mut answer = std::pin::pin!(send(&fixture, &token));
    while generation(&fixture) == 0 {
        let wait = tokio::time::timeout(Duration::from_millis(10), &mut answer);
        assert!(wait.await.is_err(), "it has its effect, and no answer");
    }
    fixture.simulator.behave(|behaviour| behaviour.hold = false);
    assert!(answer.await.unwrap().status().is_success());
}

#[tokio::test]
async fn connections_are_refused_so_many_times() {
    let fixture = Fixture::with(|behaviour| behaviour.refuse_connections = 2).await;
    let token = fixture.simulator.issue("shop-1", &[]).refresh_token;
    for _ in 0..2 {
        assert!(send(&fixture, &token).await.is_err());
    }
    let counts = fixture.simulator.counts();
    assert_eq!(counts.refused_connections, 2);
    assert_eq!(counts.refreshes, 0);
    fixture.renewed(&token).await;
}

#[tokio::test]
async fn throttling_says_when_to_come_back_or_not() {
    let kinds = [RetryAfter::Absent, RetryAfter::Seconds(7), RetryAfter::Date(90)];
    let mut answers = Vec::new();
    for retry_after in kinds {
        let (fixture, token) = facing(Step::Throttle { retry_after }).await;
        let response = send(&fixture, &token).await.unwrap();
        assert_eq!(response.status().as_u16(), 429);
        assert_eq!(generation(&fixture), 0);
        answers.push(response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned()));
    }
    assert_eq!(answers[0], None);
    assert_eq!(answers[1].as_deref(), Some("7"));
    let date = answers[2].as_deref().unwrap();
    assert_eq!(date.len(), "Sun, 06 Nov 1994 08:49:37 GMT".len(), "{date}");
    assert!(date.ends_with(" GMT"), "{date}");
    let instant = time::OffsetDateTime::parse(
        &date.replace("GMT", "+0000"),
        &time::format_description::well_known::Rfc2822,
    );
    let ahead = instant.unwrap() - time::OffsetDateTime::now_utc();
    assert!((60..=90).contains(&ahead.whole_seconds()), "{ahead}");
}

#[tokio::test]
async fn a_server_error_has_an_effect_where_asked() {
    for (status, after_effect) in [(500, false), (503, false), (504, true)] {
        let (fixture, token) = facing(Step::Fail { status, after_effect }).await;
        let response = send(&fixture, &token).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(generation(&fixture), u64::from(after_effect));
    }
}

#[tokio::test]
async fn a_storm_takes_its_share() {
    let fixture = Fixture::with(|behaviour| behaviour.failure_rate = 1.0).await;
    let token = fixture.simulator.issue("shop-1", &[]).refresh_token;
    assert_eq!(send(&fixture, &token).await.unwrap().status(), 503);
    fixture.simulator.behave(|behaviour| behaviour.failure_rate = 0.5);
    let grant = [("grant_type", "client_credentials")];
    let mut failed = 0;
    for _ in 0..100 {
        failed += u32::from(fixture.try_token(&grant).await.unwrap().status() == 503);
    }
    assert!((20..=80).contains(&failed), "{failed} of 100");
    fixture.simulator.behave(|behaviour| behaviour.failure_rate = 0.0);
    fixture.renewed(&token).await;
}

#[tokio::test]
async fn a_redirect_leads_to_where_it_was_told() {
    let to = "http://169.254.169.254/latest/meta-data/";
    let (fixture, token) = facing(Step::Redirect { to: to.to_owned() }).await;
    let response = send(&fixture, &token).await.unwrap();
    assert_eq!(response.status().as_u16(), 307);
    assert_eq!(response.headers()["location"], to);
    assert_eq!(generation(&fixture), 0);
}

#[tokio::test]
async fn a_huge_answer_is_right_but_huge() {
    let (fixture, token) = facing(Step::Huge).await;
    let body = send(&fixture, &token).await.unwrap().text().await.unwrap();
    assert!(body.len() > 2 * 1024 * 1024);
    let body: Value = serde_json::from_str(&body).unwrap();
    fixture.renewed(&text(&body, "refresh_token")).await;
}

#[tokio::test]
async fn an_answer_that_is_not_json_has_no_effect() {
    let (fixture, token) = facing(Step::NotJson).await;
    let response = send(&fixture, &token).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(serde_json::from_str::<Value>(&response.text().await.unwrap()).is_err());
    assert_eq!(generation(&fixture), 0);
}

#[tokio::test]
async fn a_dripping_answer_comes_in_pieces() {
    let (fixture, token) = facing(Step::Drip { piece: 64, every: Duration::from_millis(20) }).await;
    let begun = Instant::now();
    let mut response = send(&fixture, &token).await.unwrap();
    assert!(response.headers().get("content-length").is_none());
    let mut pieces = 0;
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.unwrap() {
        pieces += 1;
        body.extend_from_slice(&piece);
    }
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert!(pieces >= 3, "{pieces} pieces");
    assert!(begun.elapsed() >= Duration::from_millis(60), "{pieces} pieces");
    fixture.renewed(&text(&body, "refresh_token")).await;
}

#[tokio::test]
async fn the_script_comes_before_the_steady_step() {
    let fixture = Fixture::with(|behaviour| {
        behaviour.script = vec![Step::Answer, Step::Fail { status: 502, after_effect: false }];
        behaviour.steady = Step::NotJson;
    })
    .await;
    let grant = [("grant_type", "client_credentials")];
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let response = fixture.try_token(&grant).await.unwrap();
        statuses.push((response.status().as_u16(), response.headers()["content-type"] == "application/json"));
    }
    assert_eq!(statuses, [(200, true), (502, false), (200, false)]);
}

#[tokio::test]
async fn stopping_cuts_waits_short_and_frees_the_port() {
    let fixture = Fixture::with(|behaviour| behaviour.delay = Duration::from_secs(600)).await;
    let token = fixture.simulator.issue("shop-1", &[]).refresh_token;
    let client = fixture.client.clone();
    let url = fixture.simulator.url();
    let body = refresh_form(&token);
    let request = client
        .post(format!("{url}/token"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    let waiting = tokio::spawn(request.send());
    until(|| generation(&fixture) == 1).await;
    let begun = Instant::now();
    fixture.simulator.stop().await;
    assert!(waiting.await.unwrap().is_err());
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(client.get(url).send().await.unwrap_err().is_connect());
}
