//! RFC 9700 (OAuth 2.0 security best current practice), section by section, as far as it is about clients: each attack on
//! a consent through the vault's own callback. What concerns authorization servers, resource servers and browser-only
//! clients (4.6, 4.9, 4.10, 4.15) has nothing to say here.

use std::collections::{BTreeMap, BTreeSet};

use credvault_proto::v1;
use credvault_simulator::Rotation;

use crate::browser::{CALLBACK, ORIGIN, begin, complete, connected};
use crate::harness::browser::Browser;
use crate::harness::provider::{Connected, connection_request, decide};
use crate::harness::{Client, VaultBuilder, by_id};

struct Setting {
    connected: Connected,
    app: Client,
    id: String,
    browser: Browser,
}

async fn setting() -> Setting {
    let connected = connected(VaultBuilder::sqlite()).await;
    let app = connected.vault.app("acme").await;
    let id = app.create(connection_request("main")).await.unwrap().id;
    let browser = Browser::of(&connected);
    Setting { connected, app, id, browser }
}

fn parameters(url: &str) -> BTreeMap<String, String> {
    url::Url::parse(url).unwrap().query_pairs().into_owned().collect()
}

impl Setting {
    /// Where a browser that starts is sent to.
    async fn location(&mut self) -> String {
        let begun = begin(&self.app, &self.id, ORIGIN, "").await;
        let started = self.browser.start(&begun).await;
        started.headers["location"].to_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn section_2_1_1_pkce_is_used_with_s256_and_a_challenge_of_its_own_each_time() {
    let mut it = setting().await;
    let mut challenges = BTreeSet::new();
    for _ in 0..5 {
        let asked = parameters(&it.location().await);
        assert_eq!(asked["code_challenge_method"], "S256");
        assert_eq!(asked["code_challenge"].len(), 43);
        challenges.insert(asked["code_challenge"].clone());
    }
    assert_eq!(challenges.len(), 5);
}

#[tokio::test]
async fn section_4_1_the_redirect_uri_is_the_registered_one_whatever_the_request_says() {
    let mut it = setting().await;
    let begun = begin(&it.app, &it.id, ORIGIN, "").await;
    let path = begun.authorization_url.strip_prefix("http://localhost:7480").unwrap();
    let request = it.browser.http.get(format!("{}{path}&redirect_uri=https://evil.example", it.browser.url));
    let request = request.header("host", "evil.example").header("x-forwarded-host", "evil.example");
    let started = it.browser.send(request).await;
    let asked = parameters(started.headers["location"].to_str().unwrap());
    assert_eq!(asked["redirect_uri"], format!("http://localhost:7480{CALLBACK}"));
}

#[tokio::test]
async fn section_4_2_and_4_3_neither_code_nor_state_leaves_by_referer_history_or_page() {
    let mut it = setting().await;
    let begun = begin(&it.app, &it.id, ORIGIN, "").await;
    let parameters = it.browser.allow(&begun).await;
    let page = it.browser.get(CALLBACK, &parameters).await;
    assert_eq!(page.headers["referrer-policy"], "no-referrer");
    assert_eq!(page.headers["cache-control"], "no-store");
    for secret in [&parameters["code"], &parameters["state"]] {
        assert!(!page.body.contains(secret.as_str()));
    }
    // The address bar is the script's to clean; the walk in a browser looks at it.
    let script = it.browser.open(&page.file("page", "js")).await;
    assert!(script.body.contains("history.replaceState"));
}

#[tokio::test]
async fn section_4_4_a_callback_of_another_server_is_refused_and_the_code_goes_nowhere() {
    let mut it = setting().await;
    it.connected.provider.behave(|behaviour| behaviour.send_iss = true);
    // By the redirect URI, which is distinct for each provider.
    let begun = begin(&it.app, &it.id, ORIGIN, "").await;
    let back = it.browser.allow(&begun).await;
    assert_eq!(it.browser.get("/oauth/callback/klaviyo", &back).await.status, 403);
    // By the issuer (RFC 9207).
    let begun = begin(&it.app, &it.id, ORIGIN, "").await;
    let mut back = it.browser.allow(&begun).await;
    back.insert("iss".into(), "https://evil.example".into());
    let page = it.browser.get(CALLBACK, &back).await;
    let refused = complete(&it.app, &page.data("result"), "").await.unwrap_err();
    assert!(refused.message().contains("iss"), "{refused:?}");
    assert_eq!(it.connected.provider.counts().exchanges, 0, "no code was sent anywhere");
}

#[tokio::test]
async fn section_4_5_an_injected_code_is_refused_for_another_challenge_binds_it() {
    let mut it = setting().await;
    let one = begin(&it.app, &it.id, ORIGIN, "").await;
    let mut mine = it.browser.allow(&one).await;
    let two = begin(&it.app, &it.id, ORIGIN, "").await;
    let stolen = it.browser.allow(&two).await;
    mine.insert("code".into(), stolen["code"].clone());
    let page = it.browser.get(CALLBACK, &mine).await;
    let refused = complete(&it.app, &page.data("result"), "").await.unwrap_err();
    assert!(refused.message().contains("did not accept the code"), "{refused:?}");
}

#[tokio::test]
async fn section_4_7_a_forged_callback_is_refused_by_state_and_by_browser() {
    let mut it = setting().await;
    let begun = begin(&it.app, &it.id, ORIGIN, "").await;
    let back = it.browser.allow(&begun).await;
    let mut victim = Browser::of(&it.connected);
    assert_eq!(victim.get(CALLBACK, &back).await.status, 403, "the attacker's code in the victim's browser");
    let mut guessed = back.clone();
    guessed.insert("state".into(), "A".repeat(43));
    assert_eq!(it.browser.get(CALLBACK, &guessed).await.status, 400);
    assert_eq!(it.connected.provider.counts().exchanges, 0);
}

#[tokio::test]
async fn section_4_8_no_consent_begins_without_the_challenge_of_its_exchange() {
    // A downgrade would leave the challenge out of the one and the verifier out of the other.
    let mut it = setting().await;
    let url = it.location().await;
    let mut downgraded = url::Url::parse(&url).unwrap();
    let pairs: Vec<_> = downgraded.query_pairs().into_owned().collect();
    let pairs = pairs.iter().filter(|(name, _)| !name.starts_with("code_challenge"));
    downgraded.query_pairs_mut().clear().extend_pairs(pairs);
    let back = decide(downgraded.as_str(), "shop-1", "allow").await;
    let page = it.browser.get(CALLBACK, &back).await;
    assert!(
        complete(&it.app, &page.data("result"), "").await.is_err(),
        "the provider sees the verifier without a challenge"
    );
}

#[tokio::test]
async fn section_4_11_the_port_redirects_to_the_providers_page_and_nowhere_else() {
    let mut it = setting().await;
    let begun = begin(&it.app, &it.id, ORIGIN, "").await;
    let provider = it.connected.provider.url();
    assert!(it.location().await.starts_with(&format!("{provider}/authorize?")));
    let back = it.browser.allow(&begun).await;
    for path in [
        "/",
        CALLBACK,
        "/oauth/start",
        "/oauth/confirm",
        "//evil.example",
        "/oauth/callback/%2f%2fevil.example",
    ] {
        let mut query = back.clone();
        for name in ["next", "url", "return_to", "redirect_uri", "origin"] {
            query.insert(name.into(), "https://evil.example".into());
        }
        let page = it.browser.get(path, &query).await;
        assert!(!page.headers.contains_key("location"), "{path}");
        assert!(!page.body.contains("evil.example"), "{path}");
    }
}

#[tokio::test]
async fn section_4_12_a_redirect_makes_the_browser_get() {
    let mut it = setting().await;
    let begun = begin(&it.app, &it.id, ORIGIN, "").await;
    assert_eq!(it.browser.start(&begun).await.status, 303);
}

#[tokio::test]
async fn section_4_13_headers_of_a_proxy_say_nothing_here() {
    let mut it = setting().await;
    let begun = begin(&it.app, &it.id, ORIGIN, "").await;
    let back = it.browser.allow(&begun).await;
    let stranger = Browser::of(&it.connected);
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&back).finish();
    let forged = stranger.http.get(format!("{}{CALLBACK}?{query}", stranger.url));
    let forged = forged.header("x-tenant-id", "acme").header("x-forwarded-for", "127.0.0.1");
    let forged = forged.header("x-forwarded-client-cert", "URI=spiffe://test.local/app");
    assert_eq!(forged.send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn section_4_14_a_refresh_token_is_used_once_and_leaves_only_to_who_may_have_it() {
    let mut it = setting().await;
    it.connected.provider.behave(|behaviour| {
        behaviour.rotation =
            Rotation::Rotating { grace: Default::default(), same_answer_within_grace: false };
    });
    let begun = begin(&it.app, &it.id, ORIGIN, "").await;
    let back = it.browser.allow(&begun).await;
    let page = it.browser.get(CALLBACK, &back).await;
    complete(&it.app, &page.data("result"), "").await.unwrap();
    for _ in 0..3 {
        let request = v1::RefreshConnectionRequest { connection_id: it.id.clone() };
        it.app.connections().refresh_connection(request).await.unwrap();
        let credential = it.app.fetch(by_id(&it.id)).await.unwrap();
        assert!(!credential.fields.contains_key("refresh_token"));
    }
    let counts = it.connected.provider.counts();
    assert!(counts.refreshes_granted >= 3, "{counts:?}");
    assert_eq!(counts.reuses_detected, 0, "{counts:?}");
}

#[tokio::test]
async fn section_4_16_no_page_can_be_framed() {
    let mut it = setting().await;
    for path in ["/", CALLBACK, "/oauth/start"] {
        let page = it.browser.get(path, &BTreeMap::new()).await;
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(page.headers["x-frame-options"], "DENY");
    }
}

#[tokio::test]
async fn section_4_17_a_message_goes_to_the_origin_of_the_beginning_and_holds_no_token() {
    let mut it = setting().await;
    let begun = begin(&it.app, &it.id, ORIGIN, "").await;
    let back = it.browser.allow(&begun).await;
    let page = it.browser.get(CALLBACK, &back).await;
    assert_eq!(page.data("origin"), ORIGIN);
    let script = it.browser.open(&page.file("page", "js")).await.body;
    assert!(script.contains("}, origin)"), "{script}");
    assert!(!script.contains("\"*\""), "{script}");
    // What goes is sealed: another tenant has nothing from it.
    let other = it.connected.vault.app("other").await;
    assert!(complete(&other, &page.data("result"), "").await.is_err());
}
