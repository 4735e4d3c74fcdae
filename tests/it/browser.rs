//! The port for browsers: where they start, come back to, and what they are told. `tests/browser` walks the same way with
//! a real one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use credvault_proto::v1;

use crate::harness::browser::{Browser, Seen};
use crate::harness::provider::{Connected, STRICT, app_request, connection_request, state};
use crate::harness::{Client, VaultBuilder, by_id, refusal};
use crate::on_both;

pub const ORIGIN: &str = "https://app.example.com";
pub const CALLBACK: &str = "/oauth/callback/simulator";

/// A vault whose app at the provider has the vault's own callback.
pub async fn connected(builder: VaultBuilder) -> Connected {
    let connected = builder.start_with_provider(STRICT).await;
    let app = v1::PutOAuthAppRequest { redirect_uri: String::new(), ..app_request() };
    let stored = connected.vault.client("operator").await.admin().put_o_auth_app(app).await.unwrap();
    let expected = format!("http://localhost:7480{CALLBACK}");
    assert_eq!(stored.into_inner().app.unwrap().redirect_uri, expected);
    connected
}

pub async fn begin(app: &Client, id: &str, origin: &str, session: &str) -> v1::BeginAuthorizationResponse {
    let request = v1::BeginAuthorizationRequest {
        connection_id: id.to_owned(),
        session: session.to_owned(),
        return_origin: origin.to_owned(),
        ..Default::default()
    };
    app.connections().begin_authorization(request).await.unwrap().into_inner()
}

pub async fn complete(app: &Client, result: &str, session: &str) -> Result<v1::Connection, tonic::Status> {
    let request = v1::CompleteAuthorizationRequest {
        session: session.to_owned(),
        result: result.to_owned(),
        ..Default::default()
    };
    Ok(app.connections().complete_authorization(request).await?.into_inner().connection.unwrap())
}

async fn completions(app: &Client) -> Vec<v1::AuditEvent> {
    let all = app.events().await;
    all.into_iter().filter(|event| event.action == "CompleteAuthorization").collect()
}

on_both![
    the_page_that_opened_the_window_completes_the_consent,
    what_one_browser_began_no_other_finishes,
    the_person_confirms_by_the_code_that_the_beginner_shows,
    every_way_to_fail_has_its_own_page_and_reason,
];

async fn the_page_that_opened_the_window_completes_the_consent(builder: VaultBuilder) {
    let connected = connected(builder).await;
    let app = connected.vault.app("acme").await;
    let id = app.create(connection_request("main")).await.unwrap().id;
    let begun = begin(&app, &id, ORIGIN, "session-1").await;
    assert_eq!(begun.confirmation_code, "");
    let mut browser = Browser::of(&connected);
    let parameters = browser.allow(&begun).await;
    let page = browser.get(CALLBACK, &parameters).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.data("origin"), ORIGIN);
    assert_eq!(page.data("outcome"), "returned");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'"));
    assert!(policy.contains("script-src 'self'"));
    assert!(!policy.contains("unsafe"));
    assert_eq!(page.headers["referrer-policy"], "no-referrer");
    assert_eq!(page.headers["cache-control"], "no-store");
    assert!(!page.body.contains(&parameters["code"]));
    assert_eq!(page.body.matches("<script").count(), 1);
    assert_eq!(
        state(&app, &id).await.0,
        v1::ConnectionState::Connecting,
        "not before the consent is complete"
    );

    // Not by another tenant, not with another consent's way back, and once only.
    let result = page.data("result");
    let other = connected.vault.app("other").await;
    assert_eq!(
        refusal(&complete(&other, &result, "session-1").await.unwrap_err()),
        "FailedPrecondition STATE_INVALID"
    );
    let done = complete(&app, &result, "session-1").await.unwrap();
    assert_eq!(done.id, id);
    assert_eq!(done.state(), v1::ConnectionState::Connected);
    assert_eq!(done.external_account_id, "shop-1");
    assert!(complete(&app, &result, "session-1").await.unwrap_err().message().contains("used already"));
    assert!(connected.accepts(&app.fetch(by_id(&id)).await.unwrap()).await);
}

async fn what_one_browser_began_no_other_finishes(builder: VaultBuilder) {
    let connected = connected(builder).await;
    let app = connected.vault.app("acme").await;
    let id = app.create(connection_request("main")).await.unwrap().id;
    // The way to the provider is for the first browser that takes it; that one may reload.
    let begun = begin(&app, &id, ORIGIN, "session-1").await;
    let mut mine = Browser::of(&connected);
    let mut theirs = Browser::of(&connected);
    let parameters = mine.allow(&begun).await;
    assert_eq!(mine.start(&begun).await.status, 303);
    let stranger = theirs.start(&begun).await;
    assert_eq!(stranger.status, 403);
    assert_eq!(stranger.title(), "This was begun elsewhere");
    // Login CSRF: the code of one browser is brought back by another, with a cookie of its own or without.
    for cookie in [None, Some("credvault=AAAA".to_owned())] {
        theirs.cookie = cookie;
        let stranger = theirs.get(CALLBACK, &parameters).await;
        assert_eq!(stranger.status, 403);
        assert_eq!(stranger.title(), "This was begun elsewhere");
        assert!(!stranger.body.contains("data-"), "another browser ends nothing");
    }
    // The result in the hands of another session, and the raw callback in the hands of a back end.
    let page = mine.get(CALLBACK, &parameters).await;
    assert!(
        complete(&app, &page.data("result"), "session-2")
            .await
            .unwrap_err()
            .message()
            .contains("another session")
    );
    let begun = begin(&app, &id, ORIGIN, "").await;
    let parameters = mine.allow(&begun).await;
    let raw = v1::CompleteAuthorizationRequest { parameters, ..Default::default() };
    let raw = app.connections().complete_authorization(raw).await.unwrap_err();
    assert_eq!(refusal(&raw), "FailedPrecondition STATE_INVALID", "{raw:?}");
    assert!(raw.message().contains("`result`"), "{raw:?}");
    assert_eq!(connected.vault.count("credential_versions").await, 0);
}

async fn the_person_confirms_by_the_code_that_the_beginner_shows(builder: VaultBuilder) {
    let connected = connected(builder).await;
    let app = connected.vault.app("acme").await;
    let id = app.create(connection_request("<b>main</b>")).await.unwrap().id;
    let begun = begin(&app, &id, "", "").await;
    assert_eq!(begun.confirmation_code.len(), 9);
    let mut mine = Browser::of(&connected);
    let mut theirs = Browser::of(&connected);
    let parameters = mine.allow(&begun).await;
    let page = mine.get(CALLBACK, &parameters).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.title(), "Connect this account?");
    assert!(page.body.contains(&begun.confirmation_code));
    assert!(page.body.contains("&lt;b&gt;main&lt;/b&gt;"));
    assert_eq!(state(&app, &id).await.0, v1::ConnectionState::Connecting);
    assert_eq!(theirs.confirm(&page).await.status, 403);
    let done = mine.confirm(&page).await;
    assert_eq!(done.status, 200);
    assert_eq!(done.title(), "Connected");
    assert_eq!(state(&app, &id).await.0, v1::ConnectionState::Connected);
    let again = mine.confirm(&page).await;
    assert_eq!(again.title(), "This was used already");
    assert_eq!(again.reason(), "STATE_REPLAYED");
    assert!(connected.accepts(&app.fetch(by_id(&id)).await.unwrap()).await);

    // A consent that a page completes has no confirmation here.
    let begun = begin(&app, &id, ORIGIN, "").await;
    let parameters = mine.allow(&begun).await;
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&parameters).finish();
    let told = mine.open(&format!("{CALLBACK}?{query}")).await.returned().unwrap();
    // A stolen address shows nothing in another browser, and the attempt is on record.
    let before = completions(&app).await.len();
    let stolen = theirs.open(&told).await;
    assert_eq!((stolen.status, stolen.reason()), (403, "STATE_FOREIGN".to_owned()));
    assert_eq!(completions(&app).await.len(), before + 1);
    let consent = told.strip_prefix("/oauth/return/").unwrap();
    let forged = mine.decide(consent, "connect").await;
    assert_eq!(forged.status, 403);
    assert_eq!(forged.reason(), "STATE_FOREIGN");
    // On record with the service that began it, and what vouched for the tenant.
    let audit = completions(&app).await;
    let ok = audit.iter().find(|event| event.outcome() == v1::AuditOutcome::Ok).unwrap();
    assert_eq!(ok.service, "spiffe://test.local/app");
    assert_eq!(ok.tenant_source, "state");
    assert_eq!(ok.connection_id, id);
}

async fn every_way_to_fail_has_its_own_page_and_reason(builder: VaultBuilder) {
    const EVIL: &str = "<script>CANARY</script>";
    let connected = connected(builder).await;
    let app = connected.vault.app("acme").await;
    let id = app.create(connection_request("main")).await.unwrap().id;
    let mut browser = Browser::of(&connected);
    let mut seen = Vec::new();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());

    seen.push(browser.get(CALLBACK, &BTreeMap::from([pair("code", EVIL)])).await);
    seen.push(browser.get(CALLBACK, &BTreeMap::from([pair("state", EVIL), pair("code", EVIL)])).await);
    let parameters = browser.allow(&begin(&app, &id, ORIGIN, "").await).await;
    seen.push(browser.get("/oauth/callback/shopify", &parameters).await);
    assert_eq!(browser.get(CALLBACK, &parameters).await.status, 200);
    seen.push(browser.get(CALLBACK, &parameters).await);
    // Of a connection of its own: as long as another consent may come, nothing ends.
    let other = app.create(connection_request("other")).await.unwrap().id;
    let mut denied = browser.allow(&begin(&app, &other, ORIGIN, "").await).await;
    denied.remove("code");
    denied.extend([pair("error", "access_denied"), pair("error_description", EVIL)]);
    seen.push(browser.get(CALLBACK, &denied).await);
    let mut failed = browser.allow(&begin(&app, &other, ORIGIN, "").await).await;
    failed.remove("code");
    failed.extend([pair("error", EVIL), pair("error_description", EVIL)]);
    seen.push(browser.get(CALLBACK, &failed).await);
    assert_eq!(state(&app, &other).await.0, v1::ConnectionState::Disconnected, "it ends at once");
    assert_eq!(state(&app, &id).await.0, v1::ConnectionState::Connecting);
    let late = browser.allow(&begin(&app, &id, ORIGIN, "").await).await;
    connected.vault.clock.advance(Duration::from_secs(601));
    seen.push(browser.get(CALLBACK, &late).await);

    let reasons: Vec<_> = seen.iter().map(|page| (page.status, page.reason())).collect();
    let expected = [
        (400, "STATE_MISSING"),
        (400, "STATE_INVALID"),
        (403, "PROVIDER_MISMATCH"),
        (400, "STATE_REPLAYED"),
        (200, "CONSENT_DENIED"),
        (200, "CONSENT_FAILED"),
        (400, "STATE_EXPIRED"),
    ];
    assert_eq!(reasons, expected.map(|(status, reason)| (status, reason.to_owned())));
    let titles: BTreeSet<_> = seen.iter().map(Seen::title).collect();
    assert_eq!(titles.len(), 7, "{titles:?}");
    assert_eq!(seen[4].data("outcome"), "denied");
    assert_eq!(seen[5].data("outcome"), "failed");
    for page in &seen {
        assert!(!page.body.contains("CANARY"), "{}", page.body);
        assert!(page.headers.contains_key("content-security-policy"));
    }
    assert_eq!(connected.vault.count("credential_versions").await, 0);
    // Every callback whose state was known is on record.
    let refused = completions(&app).await;
    let refused = refused.iter().filter(|event| event.outcome() == v1::AuditOutcome::Failed);
    let refused: Vec<_> = refused.map(|event| event.reason.as_str()).rev().collect();
    let expected =
        ["PROVIDER_MISMATCH", "STATE_REPLAYED", "CONSENT_DENIED", "CONSENT_FAILED", "STATE_EXPIRED"];
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn what_the_port_does_not_know_is_refused_before_anything_is_written() {
    let connected = connected(VaultBuilder::sqlite()).await;
    let app = connected.vault.app("acme").await;
    let id = app.create(connection_request("main")).await.unwrap().id;
    let mut request = v1::BeginAuthorizationRequest { connection_id: id, ..Default::default() };
    request.return_origin = "https://evil.example".into();
    let unknown = app.connections().begin_authorization(request.clone()).await.unwrap_err();
    assert_eq!(refusal(&unknown), "InvalidArgument FIELDS_INVALID");
    assert!(unknown.message().contains("public.origins"));
    request.return_origin = String::new();
    request.session = "session-1".into();
    let alone = app.connections().begin_authorization(request).await.unwrap_err();
    assert!(alone.message().contains("return_origin"), "{alone:?}");
    assert_eq!(connected.vault.count("authorizations").await, 0);
    // Oversized, and what is not served here.
    let mut browser = Browser::of(&connected);
    let long = BTreeMap::from([("state".to_owned(), "a".repeat(60_000))]);
    let url = &browser.url;
    let long = browser.http.get(format!("{url}{CALLBACK}?state={}", long["state"]));
    let here = browser.http.get(url);
    assert!(browser.send(long).await.status >= 400);
    assert_eq!(browser.send(here).await.title(), "credvault");
    let metrics = browser.http.get(format!("{}/metrics", browser.url));
    assert_eq!(browser.send(metrics).await.status, 404);
}
