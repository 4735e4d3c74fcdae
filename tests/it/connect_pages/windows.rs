//! Consents of the page, over HTTP: in its own place, in a window of its browser, and in a window that an embedded page has opened.

use std::collections::BTreeMap;

use credvault_proto::v1;

use super::pages::about;
use super::request;
use super::window::{OWN, Window};
use crate::browser::{CALLBACK, connected};
use crate::harness::browser::Seen;
use crate::harness::provider::decide;
use crate::harness::{VaultBuilder, eventually};
use crate::on_both;

on_both![
    a_consent_in_the_place_of_the_page_comes_back_to_the_list,
    a_window_of_the_same_browser_completes_its_consent,
    a_window_of_an_embedded_page_hands_its_result_over,
    a_consent_that_connects_nothing_tells_the_page_that_waits,
];

const FORM: [(&str, &str); 3] = [("mode", "oauth2_code"), ("by", "consent"), ("account_name", "main")];

/// The link of the page that leads to the provider.
fn onward(seen: &Seen) -> String {
    assert_eq!((seen.status, seen.title().as_str()), (200, "Continue at Simulator"), "{}", seen.body);
    let start = format!("{OWN}/oauth/start?");
    let link = seen.body.split('"').find(|value| value.starts_with(&start));
    link.unwrap_or_else(|| panic!("no link in {}", seen.body)).to_owned()
}

/// Goes to the provider, where the person decides, and comes back.
async fn decided(window: &mut Window, link: &str, decision: &str) -> Seen {
    decided_for(window, link, "shop-1", decision).await
}

async fn decided_for(window: &mut Window, link: &str, account: &str, decision: &str) -> Seen {
    let started = window.go(link).await;
    assert_eq!(started.status, 303, "{}", started.body);
    let parameters = decide(started.headers["location"].to_str().unwrap(), account, decision).await;
    back(window, &parameters).await
}

async fn back(window: &mut Window, parameters: &BTreeMap<String, String>) -> Seen {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    window.go(&format!("{CALLBACK}?{query}")).await
}

async fn a_consent_in_the_place_of_the_page_comes_back_to_the_list(builder: VaultBuilder) {
    let connected = connected(builder).await;
    let (mut window, _) = Window::opened(&connected, "u1", request()).await;
    let form = window.look("/add/simulator?mode=oauth2_code").await;
    assert!(
        form.body.contains("Continue to Simulator") && !form.body.contains("f-access_token"),
        "{}",
        form.body
    );
    let page = window.post("/add/simulator", &FORM).await;
    // No redirect to another site follows a form: the policy of the page would stop it.
    let list = decided(&mut window, &onward(&page), "allow").await;
    assert_eq!((list.status, window.path.as_str()), (200, window.list.as_str()), "{}", list.body);
    assert!(
        list.body.contains("The account is connected.") && list.body.contains("main · shop-1"),
        "{}",
        list.body
    );
    let id = about(&list.body);
    // The person declines, and what was there still works.
    let again = window.post(&format!("/c/{id}/reconnect"), &[("by", "consent")]).await;
    let denied = decided(&mut window, &onward(&again), "deny").await;
    assert_eq!((denied.title().as_str(), denied.data("outcome").as_str()), ("Not connected", "denied"));
    assert_eq!(denied.onward().0, format!("{OWN}{}?of={id}&at=simulator", window.list));
    assert!(window.look("").await.body.contains(">Connected</span>"));
    eventually("the denial to be counted as one", || async {
        let request = v1::GetSuccessRatesRequest { tenant_id: "acme".into(), ..Default::default() };
        let operator = connected.vault.client("operator").await;
        let rates = operator.admin().get_success_rates(request).await.unwrap().into_inner().rates;
        rates.iter().any(|rates| (rates.consents_denied, rates.consents_failed) == (1, 0))
    })
    .await;
    // The provider takes the grant back, and the customer reads what to do.
    connected.provider.revoke_account("shop-1");
    let list = window.post(&format!("/c/{id}/test"), &[]).await;
    assert!(list.body.contains("does not accept this connection any more"), "{}", list.body);
    assert!(
        list.body.contains("<p class=\"why\" lang=\"en\">")
            && list.body.contains("connect your account again")
    );
    let repair = format!("class=\"button primary\" href=\"{}/c/{id}/reconnect\"", window.list);
    assert!(list.body.contains(&repair), "{}", list.body);
    let again = window.post(&format!("/c/{id}/reconnect"), &[("by", "consent")]).await;
    let list = decided(&mut window, &onward(&again), "allow").await;
    assert_eq!(about(&list.body), id, "it keeps its id");
}

async fn a_window_of_the_same_browser_completes_its_consent(builder: VaultBuilder) {
    let connected = connected(builder).await;
    let (mut window, _) = Window::opened(&connected, "u1", request()).await;
    let page = window.post("/add/simulator", &[&FORM[..], &[("way", "window")]].concat()).await;
    assert!(page.body.contains("target=\"_blank\" rel=\"opener\""), "{}", page.body);
    let done = decided(&mut window, &onward(&page), "allow").await;
    assert_eq!(window.path, format!("{}/window", window.list));
    assert_eq!((done.data("outcome").as_str(), done.data("origin").as_str()), ("connected", OWN));
    assert_eq!(done.data("result"), "", "it has completed the consent itself");
    let (list, _) = done.onward();
    assert!(window.go(&list).await.body.contains("The account is connected."));
    // Loaded without what it says, it is the list.
    assert_eq!(window.look("/window").await.title(), "Your connections");
}

async fn a_window_of_an_embedded_page_hands_its_result_over(builder: VaultBuilder) {
    let connected = connected(builder).await;
    let (mut frame, _) = Window::opened(&connected, "u1", request()).await;
    let page = frame.post("/add/simulator", &[&FORM[..], &[("way", "window")]].concat()).await;
    // The frame's cookie stays in the frame.
    let mut window = Window::new(&connected);
    let done = decided(&mut window, &onward(&page), "allow").await;
    assert_eq!((done.data("outcome").as_str(), done.data("origin").as_str()), ("returned", OWN));
    let (cut, message) = done.onward();
    // Where the provider has cut the window off, it has no use for the result, and says so.
    let cut = window.go(&cut).await;
    assert_eq!(cut.title(), "Not connected");
    assert!(
        cut.body.contains("window of their own") && !cut.body.contains(&message["result"]),
        "{}",
        cut.body
    );
    // Only the page that began it completes it.
    let (mut other, _) = Window::opened(&connected, "u1", request()).await;
    let foreign = other.post("/complete", &[("result", message["result"].as_str())]).await;
    assert_eq!((foreign.status, foreign.reason().as_str()), (403, "STATE_FOREIGN"), "{}", foreign.body);
    let page = frame.post("/add/simulator", &[&FORM[..], &[("way", "window")]].concat()).await;
    let done = decided(&mut Window::new(&connected), &onward(&page), "allow").await;
    let list = frame.post("/complete", &[("result", done.data("result").as_str())]).await;
    assert!(list.body.contains("The account is connected."), "{}", list.body);
    let used = frame.post("/complete", &[("result", done.data("result").as_str())]).await;
    assert_eq!(used.reason(), "STATE_REPLAYED", "{}", used.body);
    assert_eq!(frame.post("/complete", &[]).await.status, 400);
    // A consent in the place of a page comes back to the browser that has the page only.
    let page = frame.post("/add/simulator", &[("mode", "oauth2_code"), ("account_name", "third")]).await;
    let lured = decided(&mut Window::new(&connected), &onward(&page), "allow").await;
    assert_eq!((lured.status, lured.title().as_str()), (403, "This page was opened in another browser"));
    assert!(!lured.body.contains("data-result"), "{}", lured.body);
}

async fn a_consent_that_connects_nothing_tells_the_page_that_waits(builder: VaultBuilder) {
    let connected = connected(builder).await;
    let (mut window, _) = Window::opened(&connected, "u1", request()).await;
    let page = window.post("/add/simulator", &FORM).await;
    let denied = decided(&mut window, &onward(&page), "deny").await;
    assert!(denied.onward().0.ends_with("&at=simulator"), "{:?}", denied.onward());
    assert!(window.look("").await.body.contains("Nothing is connected yet."), "no row is left of it");
    let page = window.post("/add/simulator", &FORM).await;
    let id = about(&decided(&mut window, &onward(&page), "allow").await.body);
    let path = format!("/c/{id}/reconnect");
    let in_window = [("by", "consent"), ("way", "window")];
    // In a window of this browser, the person allows what is another account's.
    let again = window.post(&path, &in_window).await;
    let subject = format!("data-connection=\"{id}\" data-provider=\"simulator\"");
    assert!(again.body.contains(&subject) && again.body.contains("id=\"closed\""), "{}", again.body);
    let other = decided_for(&mut window, &onward(&again), "shop-2", "allow").await;
    assert_eq!((other.title().as_str(), other.data("origin").as_str()), ("This is another account", OWN));
    assert_eq!(other.data("outcome"), "other_account");
    assert_eq!(other.onward().0, format!("{OWN}{}?of={id}&at=simulator", window.list));
    // In the place of the page.
    let again = window.post(&path, &in_window[..1]).await;
    let other = decided_for(&mut window, &onward(&again), "shop-2", "allow").await;
    assert_eq!((other.data("event"), other.data("connection")), ("failed".into(), id.clone()));
    assert_eq!(other.data("provider"), "simulator");
    assert!(other.body.contains(&format!("href=\"{}?lang=de\"", window.list)), "{}", other.body);
    // In a window that hands its result to the frame.
    let again = window.post(&path, &in_window).await;
    let done = decided_for(&mut Window::new(&connected), &onward(&again), "shop-2", "allow").await;
    let (page, message) = done.onward();
    let fields = [("result", message["result"].as_str()), ("page", page.as_str())];
    let other = window.post("/complete", &fields).await;
    assert_eq!((other.data("event"), other.data("connection")), ("failed".into(), id));
    assert!(window.look("").await.body.contains("main · shop-1"));
}
