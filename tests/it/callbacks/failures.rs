//! Callbacks without a code, late or unasked: what ends the consent, and what the waiting page learns.

use std::time::Duration;

use credvault_proto::v1;
use credvault_simulator::{Refusal, RetryAfter, Step};
use tonic_types::StatusExt as _;

use super::{setting, text};
use crate::browser::{CALLBACK, ORIGIN, begin, complete, connected};
use crate::harness::browser::Browser;
use crate::harness::provider::{self, STRICT, connection_request, state};
use crate::harness::{Client, VaultBuilder, refusal};
use crate::on_both;

/// How providers say that nothing came of it, and whether that says that the person declined.
const SPELLINGS: &[(&[(&str, &str)], bool)] = &[
    (&[("error", "access_denied")], true),
    (&[("error", "access_denied"), ("error_description", "The user said no")], true),
    (&[("error", "server_error")], false),
    (&[("error", "temporarily_unavailable"), ("code", "a-code-beside-it")], false),
    (&[("error", "<script>CANARY</script>")], false),
    (&[("error", "user_cancelled_authorize")], true),
    (&[("error_code", "200"), ("error_reason", "user_denied")], true),
    (&[("error_code", "access_denied")], true),
    (&[("error_reason", "user_denied")], true),
    (&[("denied", "a-token")], true),
    (&[("ERROR", "ACCESS_DENIED")], true),
    (&[("Error_Code", "17")], false),
    (&[("code", "")], false),
    (&[("auth_code", "under-another-name")], false),
    (&[], false),
];

/// Which browser brings the callback.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Comer {
    Right,
    WithoutCookie,
    Stranger,
}

async fn waiting(app: &Client, account: &str, browser: &mut Browser) -> (String, String) {
    let id = app.create(connection_request(account)).await.unwrap().id;
    let begun = begin(app, &id, ORIGIN, "").await;
    assert_eq!(browser.start(&begun).await.status, 303);
    (id, begun.state)
}

async fn reasons(app: &Client, id: &str) -> Vec<String> {
    let events = app.events().await.into_iter();
    let ended = events.filter(|event| event.action == "CompleteAuthorization" && event.connection_id == id);
    ended.map(|event| event.reason).collect()
}

on_both![
    a_failure_reaches_the_page_that_waits_in_every_spelling,
    a_code_without_a_state_ends_the_consent_and_is_never_exchanged,
    of_several_consents_one_is_ended_only_if_it_is_the_only_one_meant,
    a_back_end_that_owns_the_callback_reads_the_same_outcomes,
];

async fn a_failure_reaches_the_page_that_waits_in_every_spelling(builder: VaultBuilder) {
    let (connected, app, mut browser) = setting(builder).await;
    // Started something once, so it has a cookie of its own.
    let mut stranger = Browser::of(&connected);
    let theirs = waiting(&app, "theirs", &mut stranger).await;
    let decline = text(&[("state", &theirs.1), ("error", "access_denied")]);
    assert_eq!(stranger.get(CALLBACK, &decline).await.data("outcome"), "denied");
    let mut accounts = 0..;
    let cookieless = Browser::of(&connected);
    for (spelling, denied) in SPELLINGS {
        for (stated, comer) in [true, false].into_iter().flat_map(|stated| {
            [Comer::Stranger, Comer::WithoutCookie, Comer::Right].map(|comer| (stated, comer))
        }) {
            let case = format!("{spelling:?} state: {stated} {comer:?}");
            let (id, its) = waiting(&app, &format!("a{}", accounts.next().unwrap()), &mut browser).await;
            let mut query = text(spelling);
            if stated {
                query.insert("state".into(), its.clone());
            }
            let page = match comer {
                Comer::Right => browser.get(CALLBACK, &query).await,
                Comer::WithoutCookie => Browser::at(&cookieless.url).get(CALLBACK, &query).await,
                Comer::Stranger => stranger.get(CALLBACK, &query).await,
            };
            assert!(!page.body.contains("CANARY"), "{case}");
            assert!(page.headers.contains_key("content-security-policy"), "{case}");
            let on_record = reasons(&app, &id).await;
            if comer != Comer::Right {
                // Nothing ends, and no page receives a message.
                assert!(page.status >= 400, "{case}: {}", page.body);
                assert!(!page.body.contains("data-"), "{case}: {}", page.body);
                assert_eq!(state(&app, &id).await.0, v1::ConnectionState::Connecting, "{case}");
                let expected: &[&str] = if stated { &["STATE_FOREIGN"] } else { &[] };
                assert_eq!(on_record, expected, "{case}");
                let over = text(&[("state", &its), ("error", "access_denied")]);
                browser.get(CALLBACK, &over).await;
                continue;
            }
            let (outcome, reason) =
                if *denied { ("denied", "CONSENT_DENIED") } else { ("failed", "CONSENT_FAILED") };
            assert_eq!(page.data("outcome"), outcome, "{case}");
            assert_eq!(page.reason(), reason, "{case}");
            assert_eq!(page.data("origin"), ORIGIN, "{case}");
            assert_eq!(page.data("reason"), reason, "{case}");
            assert_eq!(on_record, [reason], "{case}");
            assert_eq!(state(&app, &id).await.0, v1::ConnectionState::Disconnected, "{case}");
            connected.vault.clock.advance(Duration::from_secs(7));
        }
    }
    assert_eq!(connected.provider.counts().exchanges, 0);
}

async fn a_code_without_a_state_ends_the_consent_and_is_never_exchanged(builder: VaultBuilder) {
    let (connected, app, mut browser) = setting(builder).await;
    let id = app.create(connection_request("main")).await.unwrap().id;
    let mut back = browser.allow(&begin(&app, &id, ORIGIN, "").await).await;
    back.remove("state");
    let page = browser.get(CALLBACK, &back).await;
    assert_eq!(page.data("outcome"), "failed");
    assert_eq!(page.data("result"), String::new());
    assert_eq!(page.reason(), "STATE_MISSING");
    assert_eq!(state(&app, &id).await.0, v1::ConnectionState::Disconnected);
    assert_eq!(reasons(&app, &id).await, ["STATE_MISSING"]);
    assert_eq!(connected.provider.counts().exchanges, 0);
}

async fn of_several_consents_one_is_ended_only_if_it_is_the_only_one_meant(builder: VaultBuilder) {
    let (connected, app, mut browser) = setting(builder).await;
    let denied = text(&[("error", "access_denied")]);
    // A second attempt at the same connection: both windows are of one person, who declines.
    let (id, _) = waiting(&app, "twice", &mut browser).await;
    let again = begin(&app, &id, ORIGIN, "").await;
    browser.start(&again).await;
    assert_eq!(browser.get(CALLBACK, &denied).await.data("outcome"), "denied");
    assert_eq!(state(&app, &id).await.0, v1::ConnectionState::Disconnected);
    // Two connections: neither ends, and the window's opener hears that this window brought nothing.
    let (one, its) = waiting(&app, "one", &mut browser).await;
    let (two, _) = waiting(&app, "two", &mut browser).await;
    let page = browser.get(CALLBACK, &denied).await;
    assert_eq!(page.status, 400);
    assert_eq!(page.data("outcome"), "failed");
    assert_eq!(page.reason(), "STATE_MISSING");
    for id in [&one, &two] {
        assert_eq!(state(&app, id).await.0, v1::ConnectionState::Connecting);
        assert_eq!(reasons(&app, id).await, ["STATE_MISSING"]);
    }
    // The callback of another provider means neither.
    let elsewhere = browser.get("/oauth/callback/shopify", &denied).await;
    assert_eq!(elsewhere.status, 400);
    assert!(!elsewhere.body.contains("data-"));
    assert_eq!(
        browser.get(CALLBACK, &text(&[("state", &its), ("error", "x")])).await.data("outcome"),
        "failed"
    );
    // The one that is left is meant now.
    assert_eq!(browser.get(CALLBACK, &denied).await.data("outcome"), "denied");
    assert_eq!(state(&app, &two).await.0, v1::ConnectionState::Disconnected);
    drop(connected);
}

async fn a_back_end_that_owns_the_callback_reads_the_same_outcomes(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    for (number, (spelling, denied)) in SPELLINGS.iter().enumerate() {
        let id = app.create(connection_request(&format!("a{number}"))).await.unwrap().id;
        let begun = provider::begin(&app, &id, "").await;
        let mut back = text(spelling);
        back.insert("state".into(), begun.state);
        let refused = provider::complete(&app, &back, "").await.unwrap_err();
        assert_eq!(refusal(&refused), "FailedPrecondition REAUTHORIZATION_REQUIRED", "{spelling:?}");
        let reason = if *denied { "CONSENT_DENIED" } else { "CONSENT_FAILED" };
        assert_eq!(reasons(&app, &id).await, [reason], "{spelling:?}");
        assert_eq!(state(&app, &id).await.0, v1::ConnectionState::Disconnected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consent_that_is_used_up_is_never_to_be_tried_again() {
    let connected = VaultBuilder::sqlite().start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let seven = RetryAfter::Seconds(7);
    for (number, (step, expected)) in [
        (Step::Fail { status: 503, after_effect: false }, "Unavailable PROVIDER_UNAVAILABLE"),
        (Step::NotJson, "Unavailable PROVIDER_UNAVAILABLE"),
        (Step::LoseAnswer, "Unavailable PROVIDER_UNAVAILABLE"),
        (Step::Refuse(Refusal::InvalidClient), "Unavailable PROVIDER_UNAVAILABLE"),
        (Step::Throttle { retry_after: seven }, "ResourceExhausted PROVIDER_RATE_LIMITED"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = app.create(connection_request(&format!("a{number}"))).await.unwrap().id;
        let begun = provider::begin(&app, &id, "").await;
        let back = provider::decide(&begun.authorization_url, "shop-1", "allow").await;
        connected.provider.behave(|behaviour| behaviour.script = vec![step.clone()]);
        let failed = provider::complete(&app, &back, "").await.unwrap_err();
        assert_eq!(refusal(&failed), expected, "{step:?}: {failed:?}");
        // A client that repeats what has a delay would only be told that the state is used up.
        assert!(failed.get_error_details().retry_info().is_none(), "{step:?}: {failed:?}");
        if matches!(step, Step::Throttle { .. }) {
            assert!(failed.message().contains("after 7 seconds"), "{failed:?}");
        }
        // The word for an app that is not accepted names what to do first.
        let again = failed.message().contains("begin again") || failed.message().contains("PutOAuthApp");
        assert!(again, "{failed:?}");
        let spent = provider::complete(&app, &back, "").await.unwrap_err();
        assert!(spent.get_error_details().retry_info().is_none());
        assert_eq!(state(&app, &id).await.0, v1::ConnectionState::Disconnected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_on_consents_say_when_there_is_room_again() {
    let connected = VaultBuilder::sqlite().start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let id = app.create(connection_request("main")).await.unwrap().id;
    let begin = async || {
        let request = v1::BeginAuthorizationRequest { connection_id: id.clone(), ..Default::default() };
        let begun = app.connections().begin_authorization(request).await;
        begun.map(drop).map_err(|error| {
            let delay = error.get_error_details().retry_info().and_then(|info| info.retry_delay);
            (refusal(&error), delay.unwrap_or_default().as_secs())
        })
    };
    for _ in 0..10 {
        begin().await.unwrap();
    }
    connected.vault.clock.advance(Duration::from_secs(15));
    assert_eq!(begin().await, Err(("ResourceExhausted RATE_LIMITED".into(), 45)));
    connected.vault.clock.advance(Duration::from_secs(45));
    for _ in 0..10 {
        begin().await.unwrap();
    }
    assert_eq!(begin().await, Err(("ResourceExhausted QUOTA_EXCEEDED".into(), 540)));
    connected.vault.clock.advance(Duration::from_secs(540));
    begin().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_issuer_is_refused_where_the_provider_says_that_it_sends_one() {
    let mut connected = connected(VaultBuilder::sqlite()).await;
    connected.vault.stop().await;
    let path = connected.vault.folder.path().join("catalog/simulator.toml");
    let file = std::fs::read_to_string(&path).unwrap();
    connected
        .vault
        .write("catalog/simulator.toml", &file.replace("issuer = ", "sends_issuer = true\nissuer = "));
    connected.vault.start().await;
    let app = connected.vault.app("acme").await;
    let mut browser = Browser::of(&connected);
    let id = app.create(connection_request("main")).await.unwrap().id;
    for (sent, accepted) in [(false, false), (true, true)] {
        connected.provider.behave(|behaviour| behaviour.send_iss = sent);
        let back = browser.allow(&begin(&app, &id, ORIGIN, "").await).await;
        let page = browser.get(CALLBACK, &back).await;
        let done = complete(&app, &page.data("result"), "").await;
        assert_eq!(done.is_ok(), accepted, "{done:?}");
        assert_eq!(connected.provider.counts().exchanges, u64::from(accepted));
    }
}
