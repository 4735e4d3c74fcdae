//! Opening a page: the request for its session, and the URL in browsers that come first, second, again, altered or without
//! cookies.

use std::collections::BTreeMap;

use credvault_proto::v1;
use rustix::process::Signal;

use super::{acting, browser, opened, reason, request, session, token, visits};
use crate::harness::browser::{Browser, Seen};
use crate::harness::provider::STRICT;
use crate::harness::{Client, Process, VaultBuilder, refusal};
use crate::on_both;

on_both![
    the_url_opens_in_one_browser,
    a_browser_without_cookies_uses_nothing_up,
    a_browser_keeps_its_cookie_as_long_as_its_newest_page,
    a_session_of_another_browser_is_none,
    a_request_is_held_against_every_rule,
    a_killed_vault_loses_no_page_and_gives_none_away,
];

fn location(seen: &Seen) -> String {
    assert_eq!(seen.status, 303, "{}", seen.body);
    seen.headers["location"].to_str().unwrap().to_owned()
}

/// Opens a session's URL as browsers do: once without a cookie, and again with the one that it got.
async fn open(browser: &mut Browser, path: &str) -> Seen {
    let seen = browser.open(path).await;
    match seen.headers.get("location").and_then(|place| place.to_str().ok()) {
        Some(again) if again.ends_with("?again") => browser.open(again).await,
        _ => seen,
    }
}

async fn the_url_opens_in_one_browser(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let made = session(&acting(&connected.vault, "u1").await, request()).await;
    let path = format!("/connect/open/{}", token(&made));
    let [mut mine, mut theirs] = [Browser::of(&connected), Browser::of(&connected)];
    // Asking for it ahead of the person uses nothing up.
    let ahead = mine.http.get(format!("{}{path}", mine.url)).header("sec-purpose", "prefetch");
    assert_eq!(mine.send(ahead).await.status, 503);
    let first = mine.open(&path).await;
    assert_eq!(location(&first), format!("{path}?again"));
    let cookie = first.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("credvault-connect=") && cookie.contains("; HttpOnly"), "{cookie}");
    assert!(!first.body.contains(&token(&made)));
    let page = format!("/connect/s/{}", made.session_id);
    assert_eq!(location(&open(&mut mine, &path).await), page);
    // The same browser may come again, another one may not, whatever it has as a cookie.
    assert_eq!(location(&open(&mut mine, &path).await), page);
    let stranger = open(&mut theirs, &path).await;
    assert_eq!((stranger.status, stranger.reason()), (403, "STATE_FOREIGN".to_owned()));
    assert_eq!(stranger.title(), "This page was opened in another browser");
    let altered = mine.cookie.clone().unwrap().replace('=', "=A");
    for cookie in [altered, "credvault-connect=".to_owned(), format!("credvault-connect={}", "A".repeat(43))]
    {
        theirs.cookie = Some(cookie);
        assert_ne!(open(&mut theirs, &format!("{path}?again")).await.status, 303);
    }
    // A token that was never given out, and one that is none.
    for wrong in ["A".repeat(43), "x".to_owned(), "%0d%0aX-Evil:%201".to_owned()] {
        let seen = open(&mut theirs, &format!("/connect/open/{wrong}")).await;
        assert_eq!(seen.status, 404, "{wrong}");
        assert!(!seen.headers.contains_key("x-evil"));
    }
    // On record: the session, and the strangers.
    let events = acting(&connected.vault, "u1").await.events().await;
    let of_page = events.iter().filter(|event| event.action == "CreateConnectSession");
    let (ok, refused): (Vec<_>, Vec<_>) = of_page.partition(|event| event.reason.is_empty());
    assert_eq!(ok.len(), 1);
    assert!(refused.iter().all(|event| event.reason == "STATE_FOREIGN" && event.tenant_source == "session"));
    let name = format!("connect_sessions/{}", made.session_id);
    assert!(!refused.is_empty());
    assert!(ok.iter().chain(&refused).all(|event| event.changed_fields.contains(&name)), "{refused:?}");
    assert!(connected.vault.found_in(&token(&made)).await.is_none(), "the token is stored nowhere");
}

async fn a_browser_without_cookies_uses_nothing_up(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let made = session(&acting(&connected.vault, "u1").await, request()).await;
    let path = format!("/connect/open/{}", token(&made));
    let mut bare = Browser::of(&connected);
    bare.open(&path).await;
    bare.cookie = None;
    let seen = bare.open(&format!("{path}?again")).await;
    assert_eq!((seen.status, seen.title().as_str()), (400, "This page needs cookies"));
    assert_eq!(connected.vault.count("connect_sessions WHERE open_time IS NULL").await, 1);
    let mut other = Browser::of(&connected);
    assert!(location(&open(&mut other, &path).await).starts_with("/connect/s/"));
}

async fn a_browser_keeps_its_cookie_as_long_as_its_newest_page(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = acting(&connected.vault, "u1").await;
    let mut browser = Browser::of(&connected);
    let path = |made: &v1::CreateConnectSessionResponse| format!("/connect/open/{}", token(made));
    open(&mut browser, &path(&session(&app, request()).await)).await;
    let cookie = browser.cookie.clone().unwrap();
    // Half an hour later the cookie has half of its life left, and a new page needs all of it.
    let second = browser.open(&path(&session(&app, request()).await)).await;
    assert!(location(&second).starts_with("/connect/s/"));
    let anew = second.headers["set-cookie"].to_str().unwrap();
    assert!(anew.starts_with(&format!("{cookie}; ")) && anew.contains("; Max-Age=3600"), "{anew}");
    // What is no value of the vault's does not come back in a header.
    browser.cookie = Some("credvault-connect=x;Domain=example.com".to_owned());
    let other = browser.open(&path(&session(&app, request()).await)).await;
    assert!(!other.headers["set-cookie"].to_str().unwrap().contains("example.com"), "{:?}", other.headers);
}

async fn a_session_of_another_browser_is_none(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let vault = &connected.vault;
    let page = opened(vault, "u1", request()).await;
    assert_eq!(reason(page.visits.enter(&page.id, &browser("B")).await), "STATE_FOREIGN");
    let mut bare = browser("A");
    bare.id = None;
    assert_eq!(reason(page.visits.enter(&page.id, &bare).await), "STATE_FOREIGN");
    for unknown in ["", "x", "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e"] {
        assert_eq!(reason(page.visits.enter(unknown, &browser("A")).await), "STATE_INVALID", "{unknown}");
    }
    // The id of a session that no browser has opened gives no page, not even with a cookie.
    let made = session(&acting(vault, "u2").await, request()).await;
    assert_eq!(reason(page.visits.enter(&made.session_id, &browser("A")).await), "STATE_FOREIGN");
    // One browser may have the pages of several people. The token of one page's forms is of no use at the other's.
    visits(vault).open(&token(&made), &browser("A")).await.unwrap();
    let other = page.visits.enter(&made.session_id, &browser("A")).await.unwrap();
    let foreign = secrecy::ExposeSecret::expose_secret(other.form_token()).to_owned();
    for forged in [foreign.as_str(), "", "A"] {
        let visit = page.visit().await.unwrap();
        assert_eq!(reason(visit.confirmed(forged).await), "STATE_FOREIGN", "{forged}");
    }
    page.changes().await.leave().await.unwrap();
    assert_eq!(reason(page.visit().await), "STATE_INVALID");
    assert!(page.visits.enter(&made.session_id, &browser("A")).await.is_ok());
}

async fn a_request_is_held_against_every_rule(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = acting(&connected.vault, "u1").await;
    let duration = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let wrong = [
        ("lifetime", v1::CreateConnectSessionRequest { lifetime: duration(1801), ..request() }),
        ("lifetime", v1::CreateConnectSessionRequest { lifetime: duration(59), ..request() }),
        ("lifetime", v1::CreateConnectSessionRequest { lifetime: duration(-1), ..request() }),
        ("providers", v1::CreateConnectSessionRequest { providers: vec!["CANARY".into()], ..request() }),
        ("providers", v1::CreateConnectSessionRequest { providers: vec!["canary".into()], ..request() }),
        ("actions", v1::CreateConnectSessionRequest { actions: vec![0], ..request() }),
        ("language", v1::CreateConnectSessionRequest { language: "CANARY canary".into(), ..request() }),
        (
            "return_origin",
            v1::CreateConnectSessionRequest { return_origin: "https://canary.test".into(), ..request() },
        ),
        (
            "return_url",
            v1::CreateConnectSessionRequest { return_url: "https://canary.test/".into(), ..request() },
        ),
    ];
    for (field, request) in wrong {
        let refused = app.connections().create_connect_session(request).await.unwrap_err();
        assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID", "{field}");
        assert!(refused.message().contains(field), "{refused:?}");
        assert!(!refused.message().to_lowercase().contains("canary"), "{refused:?}");
    }
    // A page without a user would be no one's.
    let without =
        app.acting_for("acme", None).connections().create_connect_session(request()).await.unwrap_err();
    assert_eq!(refusal(&without), "InvalidArgument FIELDS_INVALID");
    assert!(without.message().contains("x-user-id"), "{without:?}");
    let reader = connected.vault.client("reader").await.acting_for("acme", Some("u1"));
    let denied = reader.connections().create_connect_session(request()).await.unwrap_err();
    assert_eq!(refusal(&denied), "PermissionDenied POLICY_DENIED");
    assert_eq!(connected.vault.count("connect_sessions").await, 0);
}

/// Between the steps of an opening, and after it: what the first browser has begun it may end, and no other one.
async fn a_killed_vault_loses_no_page_and_gives_none_away(builder: VaultBuilder) {
    let vault = builder.prepare().await;
    let settings = ["public.url=http://localhost:7480", "public.address=127.0.0.1:0"];
    let serve = || Process::serve(vault.folder.path(), &settings).unwrap();
    let leaf = |service: &str| vault.authority.service(&format!("spiffe://test.local/{service}"));
    let mut process = serve();
    let at = |process: &Process| Browser::at(&format!("http://{}", process.public_address.unwrap()));
    let operator =
        Client::connect(process.address, vault.authority.pem(), Some(&leaf("operator"))).await.unwrap();
    let create = v1::CreateTenantRequest { tenant_id: "acme".into(), ..Default::default() };
    operator.admin().create_tenant(create).await.unwrap();
    let app = Client::connect(process.address, vault.authority.pem(), Some(&leaf("app"))).await.unwrap();
    let made = session(&app.acting_for("acme", Some("u1")), v1::CreateConnectSessionRequest::default()).await;
    let path = format!("/connect/open/{}", token(&made));
    let mut mine = at(&process);
    location(&mine.open(&path).await);
    // It has its cookie, and the session is not opened yet. The next browser would be the first.
    process.signal(Signal::KILL);
    process.wait();
    process = serve();
    let mut again = at(&process);
    again.cookie = mine.cookie.clone();
    location(&again.open(&format!("{path}?again")).await);
    process.signal(Signal::KILL);
    process.wait();
    process = serve();
    // The answer may have been lost: the same browser gets it once more, and another one is too late.
    let (mut same, mut other) = (at(&process), at(&process));
    same.cookie = mine.cookie.clone();
    let page = same.get(&path, &BTreeMap::new()).await;
    assert_eq!(location(&page), format!("/connect/s/{}", made.session_id));
    assert_eq!(open(&mut other, &path).await.status, 403);
    assert_eq!(vault.count("connect_sessions WHERE open_time IS NOT NULL").await, 1);
}
