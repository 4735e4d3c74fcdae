//! "Amazon Ads OAuth Flow": the ten steps of the document, from the variables of the environment to the message that the
//! page gets.

use credvault_proto::v1;
use credvault_simulator::{CLIENT_ID, CLIENT_SECRET};

use super::{Ads, CALLBACK, SESSION, get};
use crate::browser::{ORIGIN, begin, complete};
use crate::harness::browser::Seen;
use crate::harness::provider::{decide, state};
use crate::harness::{Client, VaultBuilder, by_id};
use crate::on_both;

on_both![the_amazon_ads_consent_goes_from_the_popup_to_the_message];

async fn the_amazon_ads_consent_goes_from_the_popup_to_the_message(builder: VaultBuilder) {
    let mut ads = Ads::without_app(builder).await;
    the_variables_become_the_app(&ads).await;
    let id = ads.account("Main").await;

    // "Amazon Ads OAuth": GET /integrations/ads/auth-url. "Amazon Ads OAuth Flow", 1 and 2: the id of the account goes in, a
    // URL with a state comes out, and the account waits. The state itself is not stored (`oauth_state`).
    let begun = begin(&ads.app, &id, ORIGIN, SESSION).await;
    assert_eq!(state(&ads.app, &id).await.0, v1::ConnectionState::Connecting);
    assert_eq!(ads.connected.vault.found_in(&begun.state).await, None);
    // "Amazon Ads OAuth Flow", 3: the popup opens that URL, and is at Amazon.
    let started = ads.browser.start(&begun).await;
    let page = started.headers["location"].to_str().unwrap().to_owned();
    the_page_is_amazons(&ads, &page);
    // "Amazon Ads OAuth Flow", 4 and 5: the owner allows it, and Amazon sends the popup back with `code` and `state`.
    let back = decide(&page, "seller-1", "allow").await;
    assert!(back.contains_key("code") && back["state"] == begun.state);
    // "Amazon Ads OAuth": GET /integrations/ads/callback. "Amazon Ads OAuth Flow", 6: it is the state that was given out,
    // and brought by the browser that started. No code is exchanged for that alone.
    let shown = ads.browser.get(CALLBACK, &back).await;
    assert_eq!((shown.status, ads.exchanges()), (200, 0));
    // "Amazon Ads OAuth Flow", 10: the page tells its opener, and only the origin at which the consent began.
    the_page_tells_its_opener(&mut ads, &shown).await;

    // "Amazon Ads OAuth Flow", 7 to 9: the back end of the opener completes it; the code is exchanged once, the tokens are
    // stored, and the account is CONNECTED.
    let done = complete(&ads.app, &shown.data("result"), SESSION).await.unwrap();
    assert_eq!((done.id.as_str(), done.state()), (id.as_str(), v1::ConnectionState::Connected));
    assert_eq!((done.current_version, ads.exchanges()), (1, 1));
    assert_eq!(done.scopes_granted, ["advertising::campaign_management"]);
    the_tokens_work_and_are_renewed(&ads, &id).await;
    a_refusal_comes_back_the_same_way(&mut ads).await;
    both_ends_are_on_record(&ads.app, &id).await;
}

/// "Environment Variables": the three variables become the platform's app at Amazon, with its secret sealed.
async fn the_variables_become_the_app(ads: &Ads) {
    let vault = &ads.connected.vault;
    vault.write(
        ".env",
        &format!(
            "AMAZON_ADS_CLIENT_ID={CLIENT_ID}\nAMAZON_ADS_CLIENT_SECRET={CLIENT_SECRET}\n\
             AMAZON_ADS_REDIRECT_URI=http://localhost:7480{CALLBACK}\n"
        ),
    );
    for expected in ["created", "unchanged"] {
        let run = vault.import("operator", &[], &["env", "--from", ".env"]).await;
        assert_eq!((run.code, run.counted(expected)), (0, 1), "{}", run.shown);
    }
    let request = v1::ListOAuthAppsRequest::default();
    let apps =
        vault.client("operator").await.admin().list_o_auth_apps(request).await.unwrap().into_inner().apps;
    let app = apps.iter().find(|app| app.provider == "amazon_ads").unwrap();
    assert_eq!(app.client_id, CLIENT_ID);
    assert_eq!(app.redirect_uri, format!("http://localhost:7480{CALLBACK}"));
    assert!(app.hints.contains_key("client_secret") && !format!("{apps:?}").contains(CLIENT_SECRET));
    assert_eq!(vault.found_in(CLIENT_SECRET).await, None);
}

/// The page that asks the owner is Amazon's, with what the app has registered and a challenge of this consent.
fn the_page_is_amazons(ads: &Ads, page: &str) {
    assert!(page.starts_with(&format!("{}/authorize?", ads.connected.provider.url())), "{page}");
    let url = url::Url::parse(page).unwrap();
    let asked = |name: &str| {
        url.query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    assert_eq!(asked("client_id"), CLIENT_ID);
    assert_eq!(asked("redirect_uri"), format!("http://localhost:7480{CALLBACK}"));
    assert_eq!(asked("scope"), "advertising::campaign_management");
    assert_eq!((asked("code_challenge_method").as_str(), asked("code_challenge").len()), ("S256", 43));
}

async fn the_page_tells_its_opener(ads: &mut Ads, shown: &Seen) {
    assert_eq!(shown.data("origin"), ORIGIN);
    assert_eq!(shown.data("outcome"), "returned");
    let script = ads.browser.open(&shown.file("page", "js")).await.body;
    assert!(script.contains("window.opener.postMessage(") && script.contains("}, origin)"), "{script}");
}

async fn the_tokens_work_and_are_renewed(ads: &Ads, id: &str) {
    let credential = ads.app.fetch(by_id(id)).await.unwrap();
    assert!(ads.connected.accepts(&credential).await);
    let headers = &credential.request_auth.as_ref().unwrap().headers;
    assert_eq!(headers["Amazon-Advertising-API-ClientId"], CLIENT_ID);
    assert!(!credential.fields.contains_key("refresh_token"), "it stays in the vault");
    let request = v1::RefreshConnectionRequest { connection_id: id.to_owned() };
    ads.app.connections().refresh_connection(request).await.unwrap();
    assert!(ads.connected.accepts(&ads.app.fetch(by_id(id)).await.unwrap()).await);
    assert_eq!(ads.connected.provider.counts().refreshes_granted, 1);
}

/// An owner who declines leaves the account DISCONNECTED, and the opener hears why.
async fn a_refusal_comes_back_the_same_way(ads: &mut Ads) {
    let id = ads.account("Second").await;
    let begun = begin(&ads.app, &id, ORIGIN, SESSION).await;
    let started = ads.browser.start(&begun).await;
    let back = decide(started.headers["location"].to_str().unwrap(), "seller-2", "deny").await;
    let shown = ads.browser.get(CALLBACK, &back).await;
    assert_eq!((shown.data("outcome").as_str(), shown.data("reason").as_str()), ("denied", "CONSENT_DENIED"));
    assert_eq!(get(&ads.app, &id).await.unwrap().state(), v1::ConnectionState::Disconnected);
}

async fn both_ends_are_on_record(app: &Client, id: &str) {
    let events = app.events().await;
    for action in ["BeginAuthorization", "CompleteAuthorization"] {
        let record = events.iter().find(|event| event.action == action && event.connection_id == id).unwrap();
        assert_eq!(record.outcome(), v1::AuditOutcome::Ok);
        assert_eq!(record.service, "spiffe://test.local/app");
    }
}
