//! Who changes something: the page itself, in the browser that opened it, within its time, and no other site, browser or session.

use std::time::Duration;

use credvault_proto::v1;

use super::pages::about;
use super::window::{APP, OWN, Window, embedders};
use super::{acting, request, session, token};
use crate::harness::provider::STRICT;
use crate::harness::{VaultBuilder, eventually, generic, owned_by};
use crate::on_both;

on_both![
    only_the_page_itself_changes_something,
    a_page_is_of_one_browser_and_one_user,
    only_the_registered_origin_embeds_a_page_and_its_refusals,
    a_page_does_not_do_what_its_session_does_not_permit,
    a_person_with_a_slow_provider_keeps_no_other_waiting,
];

/// Headers that a browser sends with a form.
type Headers = &'static [(&'static str, &'static str)];

async fn only_the_page_itself_changes_something(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = acting(&connected.vault, "u1").await;
    let id = app.create(owned_by("u1", generic("main", "CANARY"))).await.unwrap().id;
    let (mut window, _) = Window::opened(&connected, "u1", request()).await;
    let (other, _) = Window::opened(&connected, "u1", request()).await;
    let (token, path) = (window.token.clone(), format!("/c/{id}/remove"));
    let own: Headers = &[("sec-fetch-site", "same-origin")];
    let forged: [(&str, Headers); 9] = [
        // A hostile page has the browser send the form; it cannot read the token, but let it have it.
        (&token, &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")]),
        (&token, &[("sec-fetch-site", "same-site")]),
        (&token, &[("sec-fetch-site", "none")]),
        (&token, &[("sec-fetch-site", "cross-site"), ("origin", "http://localhost:7480")]),
        (&token, &[("origin", "https://app.example.com")]),
        (&token, &[("origin", "null")]),
        (&token, &[]),
        // Its own page, without the token or with that of another session.
        ("", own),
        (&other.token, own),
    ];
    for (token, headers) in forged {
        let refused = window.post_with(&path, &[("token", token)], headers).await;
        assert_eq!((refused.status, refused.reason().as_str()), (403, "STATE_FOREIGN"), "{headers:?}");
        assert_eq!(refused.title(), "This request does not come from the page");
    }
    let missing = window.post_with(&path, &[], own).await;
    assert_eq!(missing.status, 403);
    let records = app.events().await;
    let forged = records.iter().filter(|event| event.reason == "STATE_FOREIGN" && event.user_id == "u1");
    assert_eq!(forged.count(), 10, "each is on record");
    assert_eq!(connected.vault.count("connections WHERE delete_time IS NULL").await, 1);
    // An older browser that says its origin only is believed.
    let done = window.post_with(&path, &[("token", token.as_str())], &[("origin", OWN)]).await;
    assert!(done.body.contains("The connection is removed."), "{}", done.body);
    // A form that is too large changes nothing.
    let large = "x".repeat(70_000);
    let unread = window.post("/add/simulator", &[("mode", "api_key"), ("f-key", large.as_str())]).await;
    assert_eq!((unread.status, unread.title().as_str()), (400, "The request could not be read"));
}

async fn a_page_is_of_one_browser_and_one_user(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let vault = &connected.vault;
    let app = acting(vault, "u1").await;
    let theirs = app.create(owned_by("u2", generic("theirs", "CANARY"))).await.unwrap().id;
    let (mut window, _) = Window::opened(&connected, "u1", request()).await;
    let list = window.list.clone();
    // Another browser, with a cookie of its own or with none.
    let (mut stranger, _) = Window::opened(&connected, "u2", request()).await;
    for cookie in [true, false] {
        if !cookie {
            stranger.with_cookie("credvault-connect", None);
        }
        let foreign = stranger.go(&list).await;
        assert_eq!((foreign.status, foreign.reason().as_str()), (403, "STATE_FOREIGN"));
        assert!(!foreign.body.contains("name=\"token\""), "{}", foreign.body);
        assert!(!foreign.body.contains("data-event"), "{}", foreign.body);
    }
    // Another user's connection is answered as one that does not exist, by every page.
    let unknown = "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e";
    for page in ["reconnect", "name", "disconnect", "remove"] {
        let [one, other] = [theirs.as_str(), unknown].map(|id| format!("/c/{id}/{page}"));
        let (one, other) = (window.look(&one).await, window.look(&other).await);
        assert_eq!((one.status, one.title().as_str()), (404, "There is no such connection"), "{page}");
        assert_eq!(one.body, other.body, "{page}");
    }
    for deed in ["reconnect", "name", "test", "default", "disconnect", "remove"] {
        for id in [theirs.as_str(), unknown, "x", "%3Cscript%3E"] {
            let seen = window.post(&format!("/c/{id}/{deed}"), &[("account_name", "x")]).await;
            assert_eq!((seen.status, seen.reason().as_str()), (404, "CONNECTION_NOT_FOUND"), "{deed} {id}");
        }
    }
    assert_eq!(vault.count("connections WHERE delete_time IS NULL").await, 1);
    // Its time. The application's page, and no other, learns that it is over, also of a page that was not opened before.
    let unopened = format!("/connect/open/{}", token(&session(&app, request()).await));
    assert!(window.look("").await.body.contains("data-seconds=\"1801\""), "the page knows when");
    vault.clock.advance(Duration::from_secs(1800));
    for late in [window.look("").await, window.go(&unopened).await] {
        assert_eq!((late.status, late.title().as_str()), (400, "The time of this page is over"));
        assert_eq!((late.data("event").as_str(), late.data("host").as_str()), ("expired", APP));
        assert_eq!(embedders(&late), (APP.to_owned(), false));
        assert!(!late.body.contains("data-token"), "{}", late.body);
    }
    assert_eq!(window.post("/leave", &[]).await.status, 400);
    for none in ["/connect/s/x", "/connect/s/0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e"] {
        assert_eq!(window.go(none).await.status, 404);
    }
}

async fn only_the_registered_origin_embeds_a_page_and_its_refusals(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let (mut window, list) = Window::opened(&connected, "u1", request()).await;
    assert_eq!(embedders(&list), (APP.to_owned(), false));
    assert_eq!(list.headers["referrer-policy"], "same-origin");
    assert_eq!(list.headers["cache-control"], "no-store");
    let refusals = [
        window.look("/c/x/name").await,
        window.post_with("/leave", &[], &[]).await,
        window.look("/add/canary").await,
    ];
    for seen in &refusals {
        assert_eq!(embedders(seen), (APP.to_owned(), false), "{}", seen.body);
    }
    let url = window.list.clone();
    window.with_cookie("credvault-connect", None);
    assert_eq!(embedders(&window.go(&url).await), (APP.to_owned(), false));
    // A session that no other page shows, and what is no session, are shown in no frame.
    let alone = v1::CreateConnectSessionRequest::default();
    let (mut window, list) = Window::opened(&connected, "u1", alone).await;
    let nowhere = ("'none'".to_owned(), true);
    assert_eq!(embedders(&list), nowhere);
    assert!(!list.body.contains("data-host"), "{}", list.body);
    assert_eq!(embedders(&window.look("/c/x/name").await), nowhere);
    assert_eq!(embedders(&window.go("/connect/s/x").await), nowhere);
    assert_eq!(embedders(&window.go(&format!("/connect/open/{}", "A".repeat(43))).await), nowhere);
    assert_eq!(embedders(&window.go("/").await), nowhere);
}

async fn a_page_does_not_do_what_its_session_does_not_permit(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = acting(&connected.vault, "u1").await;
    let id = app.create(owned_by("u1", generic("main", "CANARY"))).await.unwrap().id;
    let looking =
        v1::CreateConnectSessionRequest { actions: vec![v1::ConnectAction::Test.into()], ..request() };
    let (mut window, list) = Window::opened(&connected, "u1", looking).await;
    assert!(!list.body.contains("/add\"") && !list.body.contains("/remove\""), "{}", list.body);
    let mut seen = vec![window.look("/add").await, window.look("/add/simulator").await];
    for page in ["reconnect", "name", "disconnect", "remove"] {
        seen.push(window.look(&format!("/c/{id}/{page}")).await);
        seen.push(window.post(&format!("/c/{id}/{page}"), &[("account_name", "x")]).await);
    }
    seen.push(window.post(&format!("/c/{id}/default"), &[]).await);
    seen.push(window.post("/add/simulator", &[("mode", "api_key"), ("f-key", "sim_key_x")]).await);
    for page in seen {
        assert_eq!((page.status, page.reason().as_str()), (403, "SESSION_LIMITED"), "{}", page.body);
        assert!(page.body.contains("Back to your connections"), "{}", page.body);
    }
    assert_eq!(connected.vault.count("connections WHERE delete_time IS NULL").await, 1);
}

async fn a_person_with_a_slow_provider_keeps_no_other_waiting(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let (mut window, _) = Window::opened(&connected, "u1", request()).await;
    let (mut one, _) = Window::opened(&connected, "u2", request()).await;
    let (mut other, _) = Window::opened(&connected, "u3", request()).await;
    let id =
        about(&window.post("/add/simulator", &[("mode", "api_key"), ("f-key", "sim_key_shop-1")]).await.body);
    connected.provider.behave(|behaviour| behaviour.hold = true);
    // More than the port has turns.
    let tests: Vec<_> = (0..24)
        .map(|_| {
            let (mut window, path) = (window.clone(), format!("/c/{id}/test"));
            tokio::spawn(async move { window.post(&path, &[]).await.status })
        })
        .collect();
    eventually("the provider is asked", || async { connected.provider.counts().tests > 1 }).await;
    for _ in 0..5 {
        // Two people share a limit by chance once in a while, three hardly ever.
        let list = tokio::select! {
            list = one.look("") => list,
            list = other.look("") => list,
        };
        assert_eq!((list.status, list.title().as_str()), (200, "Your connections"));
    }
    assert!(tests.iter().all(|test| !test.is_finished()), "they still wait");
    connected.provider.behave(|behaviour| behaviour.hold = false);
    for test in tests {
        test.await.unwrap();
    }
}
