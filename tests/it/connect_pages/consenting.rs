//! Consents of a page: begun there, given in a browser, and completed by the page that began them and by no other.

use std::collections::BTreeMap;

use credvault_operations::connect::{Awaited, Begun, ConsentWay};
use credvault_proto::v1;
use secrecy::ExposeSecret as _;

use super::{Page, acting, entry, opened, reason, request};
use crate::browser::{CALLBACK, connected};
use crate::harness::browser::{Browser, Seen};
use crate::harness::provider::{Connected, decide, state};
use crate::harness::{VaultBuilder, by_id};
use crate::on_both;

const OWN: &str = "http://localhost:7480";

on_both![
    a_consent_comes_back_to_the_page_that_began_it,
    no_other_page_completes_a_consent,
    a_consent_that_was_left_is_continued_under_its_name,
];

/// Goes to the provider, allows, and comes back: the page of the vault's own that has the result.
async fn allowed(connected: &Connected, browser: &mut Browser, begun: &Begun, account: &str) -> Seen {
    let path = begun.url.expose_secret().strip_prefix(OWN).unwrap().to_owned();
    let started = browser.open(&path).await;
    assert_eq!(started.status, 303, "{}", started.body);
    let parameters = decide(started.headers["location"].to_str().unwrap(), account, "allow").await;
    let seen = browser.get(CALLBACK, &parameters).await;
    assert_eq!((seen.status, seen.data("origin").as_str()), (200, OWN));
    assert_eq!(
        connected.vault.count("authorizations WHERE return_time IS NOT NULL AND consume_time IS NULL").await,
        1
    );
    seen
}

async fn begin(page: &Page, account: &str, way: ConsentWay) -> Begun {
    page.changes().await.begin(entry("simulator", "oauth2_code", account, &[]), way).await.unwrap()
}

async fn a_consent_comes_back_to_the_page_that_began_it(builder: VaultBuilder) {
    let connected = connected(builder).await;
    let page = opened(&connected.vault, "u1", request()).await;
    let app = acting(&connected.vault, "u1").await;
    let mut browser = Browser::of(&connected);
    let way = ConsentWay::Window;
    for shop in ["shop-1", "shop-2"] {
        let begun = begin(&page, shop, way).await;
        let seen = allowed(&connected, &mut browser, &begun, shop).await;
        let (url, message) = seen.onward();
        let awaited = Awaited::read(&url, OWN).unwrap();
        assert_eq!((awaited.session.to_string(), awaited.way), (page.id.clone(), way));
        assert_eq!((awaited.connection, awaited.provider.as_str()), (begun.connection, "simulator"));
        let result = message["result"].clone();
        let visit = page.visit().await.unwrap();
        assert_eq!(visit.complete(result.clone().into()).await.unwrap(), begun.connection);
        assert_eq!(reason(visit.complete(result.into()).await), "STATE_REPLAYED");
        let id = begun.connection.to_string();
        assert_eq!(state(&app, &id).await.0, v1::ConnectionState::Connected);
        assert!(connected.accepts(&app.fetch(by_id(&id)).await.unwrap()).await);
    }
    let listing = page.visit().await.unwrap().connections(String::new()).await.unwrap();
    let first = &listing.connections[0];
    assert_eq!((first.account_id.as_deref(), first.text.as_deref()), (Some("shop-1"), None));
    assert!(first.by_consent && !first.by_values && !first.shared);
    // The same connection consents again and keeps its id.
    let begun = page.changes().await.begin_again(first.id, way).await.unwrap();
    assert_eq!(begun.connection, first.id);
    let result = allowed(&connected, &mut browser, &begun, "shop-1").await.data("result");
    page.visit().await.unwrap().complete(result.into()).await.unwrap();
    // Disconnected, the provider has revoked the grant.
    let ended = page.changes().await.disconnect(first.id).await.unwrap();
    assert_eq!(ended.revocation, Some(credvault_domain::Revocation::Done));
    // It is all on record as the user's.
    let completed = app.events().await.into_iter().filter(|event| event.action == "CompleteAuthorization");
    let name = format!("connect_sessions/{}", page.id);
    for event in completed.filter(|event| event.reason.is_empty()) {
        assert!(event.user_id == "u1" && event.changed_fields.contains(&name), "{event:?}");
    }
}

async fn no_other_page_completes_a_consent(builder: VaultBuilder) {
    let connected = connected(builder).await;
    let mine = opened(&connected.vault, "u1", request()).await;
    let second = opened(&connected.vault, "u1", request()).await;
    let theirs = opened(&connected.vault, "u2", request()).await;
    let app = acting(&connected.vault, "u1").await;
    let mut browser = Browser::of(&connected);
    // Login CSRF: a person follows the link of another person's page. The result comes back in the browser of the one who
    // consented; its page is another one.
    for (account, page) in [("a", &second), ("b", &theirs)] {
        let begun = begin(&mine, account, ConsentWay::Window).await;
        let result = allowed(&connected, &mut browser, &begun, "shop-1").await.data("result");
        let completed = page.visit().await.unwrap().complete(result.clone().into()).await;
        assert_eq!(reason(completed), "STATE_FOREIGN");
        assert_ne!(state(&app, &begun.connection.to_string()).await.0, v1::ConnectionState::Connected);
        // The back end that made the session cannot either, for it does not know what stands for it.
        let request = v1::CompleteAuthorizationRequest { result, ..Default::default() };
        assert!(app.connections().complete_authorization(request).await.is_err());
    }
    // Another browser that brings the callback ends nothing.
    let begun = begin(&mine, "c", ConsentWay::Page).await;
    let path = begun.url.expose_secret().strip_prefix(OWN).unwrap().to_owned();
    let started = browser.open(&path).await;
    let parameters: BTreeMap<String, String> =
        decide(started.headers["location"].to_str().unwrap(), "shop-1", "allow").await;
    let stranger = Browser::of(&connected).get(CALLBACK, &parameters).await;
    assert_eq!((stranger.status, stranger.reason().as_str()), (403, "STATE_FOREIGN"));
    assert_eq!(
        reason(mine.visit().await.unwrap().complete("CANARY".to_owned().into()).await),
        "STATE_INVALID"
    );
    assert_eq!(connected.vault.count("credential_versions").await, 0);
}

async fn a_consent_that_was_left_is_continued_under_its_name(builder: VaultBuilder) {
    let connected = connected(builder).await;
    let page = opened(&connected.vault, "u1", request()).await;
    let left = begin(&page, "main", ConsentWay::Window).await;
    let again = begin(&page, "main", ConsentWay::Window).await;
    assert_eq!(left.connection, again.connection);
    // What the page does not list holds no name: other settings take its place.
    assert!(page.accounts().await.is_empty());
    let other = entry("simulator", "oauth2_code", "main", &[("shop", "another")]);
    let other = page.changes().await.begin(other, ConsentWay::Page).await.unwrap();
    assert_ne!(other.connection, left.connection);
    // Without an app there is no consent, and no connection that would only be in the way.
    let remove = v1::DeleteOAuthAppRequest { provider: "simulator".into(), ..Default::default() };
    connected.vault.client("operator").await.admin().delete_o_auth_app(remove).await.unwrap();
    let none =
        page.changes().await.begin(entry("simulator", "oauth2_code", "x", &[]), ConsentWay::Page).await;
    assert_eq!(reason(none), "STATE_INVALID");
    assert_eq!(connected.vault.count("connections WHERE delete_time IS NULL").await, 1);
    // Nor does it stay the default for ever: what was left long ago goes when the next one is added.
    connected.vault.clock.advance(std::time::Duration::from_secs(601));
    let key = entry("simulator", "api_key", "key", &[("key", "sim_key_shop-1")]);
    page.changes().await.add(key).await.unwrap();
    let listing = page.visit().await.unwrap().connections(String::new()).await.unwrap();
    let names: Vec<_> =
        listing.connections.iter().map(|one| (one.account_name.as_str(), one.default)).collect();
    assert_eq!(names, [("key", true)]);
    assert_eq!(connected.vault.count("connections WHERE delete_time IS NULL").await, 1);
    // A mode has its own way.
    let key = entry("simulator", "api_key", "x", &[("key", "CANARY")]);
    assert_eq!(reason(page.changes().await.begin(key, ConsentWay::Page).await), "FIELDS_INVALID");
    let token = entry("simulator", "oauth2_code", "x", &[("access_token", "CANARY")]);
    assert_eq!(reason(page.changes().await.add(token).await), "FIELDS_INVALID");
}
