//! The pages after a callback: loading them again, windows without an opener, headers of every response.

use std::collections::BTreeMap;

use credvault_proto::v1;

use super::{setting, text};
use crate::browser::{CALLBACK, ORIGIN, begin, complete};
use crate::harness::VaultBuilder;
use crate::harness::browser::Browser;
use crate::harness::provider::{connection_request, state};
use crate::on_both;

on_both![
    an_answer_that_is_posted_comes_by_get,
    the_page_of_a_return_can_be_loaded_again_and_cancelled,
    a_window_without_an_opener_carries_the_same_message_to_the_return_url,
];

async fn an_answer_that_is_posted_comes_by_get(builder: VaultBuilder) {
    let (_connected, app, mut browser) = setting(builder).await;
    let id = app.create(connection_request("main")).await.unwrap().id;
    let back = browser.allow(&begin(&app, &id, ORIGIN, "").await).await;
    // From the provider's site, so without the cookie.
    let posted = Browser::at(&browser.url).post(CALLBACK, &back).await;
    assert_eq!(posted.status, 303);
    let location = posted.headers["location"].to_str().unwrap().to_owned();
    let page = browser.open(&location).await.returned().unwrap();
    let page = browser.open(&page).await;
    assert_eq!(complete(&app, &page.data("result"), "").await.unwrap().id, id);
}

async fn the_page_of_a_return_can_be_loaded_again_and_cancelled(builder: VaultBuilder) {
    let (connected, app, mut browser) = setting(builder).await;
    let id = app.create(connection_request("main")).await.unwrap().id;
    let begun = begin(&app, &id, "", "").await;
    let back = browser.allow(&begun).await;
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&back).finish();
    let address = browser.open(&format!("{CALLBACK}?{query}")).await.returned().unwrap();
    assert!(!address.contains(&begun.state));
    assert!(!address.contains(&back["code"]));
    for _ in 0..2 {
        let page = browser.open(&address).await;
        assert!(page.body.contains(&begun.confirmation_code), "{}", page.body);
        assert!(!page.body.contains(&begun.state));
        assert!(!page.body.contains(&back["code"]));
    }
    // It is this browser's, and nothing of it stays once it is over.
    assert_eq!(Browser::of(&connected).open(&address).await.status, 403);
    assert_eq!(connected.vault.count("callbacks").await, 1);
    let page = browser.open(&address).await;
    let cancelled = browser.decide(&page.hidden("consent"), "cancel").await;
    assert_eq!(cancelled.status, 200);
    assert_eq!(cancelled.reason(), "CONSENT_DENIED");
    assert_eq!(state(&app, &id).await.0, v1::ConnectionState::Disconnected);
    assert_eq!(connected.vault.count("callbacks").await, 0);
    assert_eq!(connected.provider.counts().exchanges, 0);
    assert_eq!(browser.confirm(&page).await.reason(), "STATE_REPLAYED");
}

async fn a_window_without_an_opener_carries_the_same_message_to_the_return_url(builder: VaultBuilder) {
    let (_connected, app, mut browser) = setting(builder).await;
    let id = app.create(connection_request("main")).await.unwrap().id;
    let with = async |origin: &str, url: &str| {
        let request = v1::BeginAuthorizationRequest {
            connection_id: id.clone(),
            return_origin: origin.into(),
            return_url: url.into(),
            session: "mine".into(),
            ..Default::default()
        };
        app.connections().begin_authorization(request).await.map(tonic::Response::into_inner)
    };
    for (origin, url, goes) in [
        (ORIGIN, "", "https://app.example.com/"),
        ("", "https://app.example.com/connected?from=vault", "https://app.example.com/connected?from=vault"),
        (ORIGIN, "https://app.example.com/a/../b", "https://app.example.com/b"),
    ] {
        let back = browser.allow(&with(origin, url).await.unwrap()).await;
        let page = browser.get(CALLBACK, &back).await;
        let (address, message) = page.onward();
        assert_eq!(address.as_str(), goes);
        assert_eq!(message["type"], "credvault.authorization");
        assert_eq!(message["outcome"], "returned");
        assert_eq!(message["result"], page.data("result"));
        // A person who is lured there is not the one who began: the session differs.
        let lured = complete(&app, &message["result"], "theirs").await.unwrap_err();
        assert!(lured.message().contains("another session"), "{lured:?}");
    }
    let back = browser.allow(&with(ORIGIN, "").await.unwrap()).await;
    let page = browser.get(CALLBACK, &back).await;
    assert_eq!(
        complete(&app, &page.onward().1["result"], "mine").await.unwrap().state(),
        v1::ConnectionState::Connected
    );
    for (origin, url) in [
        (ORIGIN, "https://evil.example/"),
        ("", "https://evil.example/"),
        ("", "javascript:alert(1)"),
        ("", "https://app.example.com:444/"),
        ("", "https://user@app.example.com/"),
        ("", "/relative"),
        ("", "https://app.example.com/#there"),
        ("", "https://app.example.com.evil.example/"),
    ] {
        let refused = with(origin, url).await.unwrap_err();
        assert!(refused.message().contains("return_url"), "{url}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_of_the_port_is_hardened_and_says_something() {
    let (connected, _, mut browser) = setting(VaultBuilder::sqlite()).await;
    let home = browser.open("/").await;
    let (script, style) = (home.file("page", "js"), home.file("page", "css"));
    let gets = ["/", &script, &style, "/nothing", "/favicon.ico", "/oauth/start", CALLBACK];
    let gets = gets.into_iter().chain(["/oauth/return/x", "/oauth/confirm", "/oauth/handoff/woocommerce"]);
    let mut seen = Vec::new();
    for path in gets {
        seen.push((path, browser.open(path).await));
    }
    seen.push(("POST /", browser.post("/", &BTreeMap::new()).await));
    for (path, answer) in seen {
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
        assert!(answer.headers.contains_key("content-security-policy"), "{path}");
        assert!(answer.status == 200 || !answer.title().is_empty(), "{path}");
    }
    // Metrics name pages by words that stay when titles change.
    let metrics = connected.vault.metrics().await;
    let pages = metrics.lines().filter(|line| line.starts_with("credvault_pages_total"));
    let names = pages.map(|line| line.split("page=\"").nth(1).unwrap().split('"').next().unwrap());
    let names: std::collections::BTreeSet<_> = names.collect();
    assert!(
        ["home", "not_found", "other_method", "incomplete"].iter().all(|name| names.contains(name)),
        "{names:?}"
    );
    assert!(names.iter().all(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_')), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_browser_at_the_start_is_on_record_and_random_states_are_counted() {
    let (connected, app, mut browser) = setting(VaultBuilder::sqlite()).await;
    let id = app.create(connection_request("main")).await.unwrap().id;
    let begun = begin(&app, &id, ORIGIN, "").await;
    browser.start(&begun).await;
    assert_eq!(Browser::of(&connected).start(&begun).await.status, 403);
    let started = app.events().await.into_iter().filter(|event| event.action == "BeginAuthorization");
    let refused: Vec<_> = started.filter(|event| event.outcome() != v1::AuditOutcome::Ok).collect();
    assert_eq!(refused.iter().map(|event| event.reason.as_str()).collect::<Vec<_>>(), ["STATE_FOREIGN"]);
    assert_eq!(refused[0].connection_id, id);
    assert_eq!(refused[0].tenant_source, "state");
    let random = text(&[("state", &"A".repeat(43)), ("code", "x")]);
    browser.get(CALLBACK, &random).await;
    let metrics = connected.vault.metrics().await;
    let counted = |line: &str| line.contains("page=\"unknown\"") && line.contains("reason=\"STATE_INVALID\"");
    assert!(metrics.lines().any(counted), "{metrics}");
}
