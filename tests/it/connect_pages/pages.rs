//! The flows of the page with keys that a person fills in: add, test, name, choose, replace, disconnect, remove, leave.

use std::time::Duration;

use credvault_proto::v1;

use super::window::{APP, Window};
use super::{acting, request};
use crate::harness::provider::{STRICT, connection_request};
use crate::harness::{VaultBuilder, by_id};
use crate::on_both;

on_both![
    a_customer_finds_a_provider_and_its_form,
    a_customer_adds_an_account_that_the_provider_accepts,
    a_customer_tests_names_and_chooses_connections,
    a_customer_replaces_a_key_and_ends_a_connection,
];

/// The id of the connection that a page is about.
pub fn about(body: &str) -> String {
    let (_, rest) = body.split_once("data-connection=\"").unwrap_or_else(|| panic!("no event in {body}"));
    rest.split_once('"').unwrap().0.to_owned()
}

/// What a field's error says.
pub fn error<'a>(body: &'a str, field: &str) -> &'a str {
    let place = format!("id=\"f-{field}-error\"");
    let (_, rest) = body.split_once(&place).unwrap_or_else(|| panic!("{place} in {body}"));
    rest.split_once('>').unwrap().1.split_once('<').unwrap().0
}

async fn a_customer_finds_a_provider_and_its_form(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let (mut window, list) = Window::opened(&connected, "u1", request()).await;
    assert_eq!(list.title(), "Your connections");
    assert!(list.body.contains("Nothing is connected yet."), "{}", list.body);
    // Search works without scripts.
    let all = window.look("/add").await;
    assert!(all.body.contains("/add/simulator\"") && all.body.contains("/add/shopify\""), "{}", all.body);
    let found = window.look("/add?q=SIMUL").await;
    assert!(found.body.contains("/add/simulator\"") && !found.body.contains("/add/shopify\""));
    let none = window.look("/add?q=%3Cscript%3E").await;
    assert!(none.body.contains("No provider has this name.") && none.body.contains("&lt;script&gt;"));
    let modes = window.look("/add/simulator").await;
    assert_eq!(modes.title(), "How do you want to connect Simulator?");
    assert!(modes.body.contains("?mode=api_key\"") && modes.body.contains("?mode=oauth2_code\""));
    // The form is that of the provider's file.
    let form = window.look("/add/simulator?mode=api_key").await;
    assert_eq!(form.title(), "Connect Simulator");
    for part in [
        "<input type=\"password\" id=\"f-key\" name=\"f-key\" required",
        "data-pattern=\"^[a-z0-9-]{1,20}$\" data-rule=\"This must be a name.\"",
        "<summary>More that you can enter</summary>",
    ] {
        assert!(form.body.contains(part), "{part}: {}", form.body);
    }
    // What the form does not have, and a provider that there is none of.
    let other = window.post("/add/simulator", &[("mode", "api_key"), ("f-CANARY", "CANARY")]).await;
    assert_eq!(other.status, 400);
    assert_eq!(window.look("/add/canary").await.status, 400);
}

async fn a_customer_adds_an_account_that_the_provider_accepts(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let (mut window, _) = Window::opened(&connected, "u1", request()).await;
    let key = |key, shop, name| {
        [("mode", "api_key"), ("by", "values"), ("f-key", key), ("f-shop", shop), ("account_name", name)]
    };
    let wrong = window.post("/add/simulator", &key("", "NO GOOD", "main")).await;
    assert_eq!(wrong.status, 400);
    assert_eq!(
        (error(&wrong.body, "key"), error(&wrong.body, "shop")),
        ("This is needed.", "This must be a name.")
    );
    assert!(
        wrong.body.contains("value=\"NO GOOD\"") && wrong.body.contains("value=\"main\""),
        "{}",
        wrong.body
    );
    assert!(wrong.body.contains("<details open>"), "the field stands there: {}", wrong.body);
    let refused = window.post("/add/simulator", &key("CANARY wrong", "", "main")).await;
    assert!(refused.status == 400 && refused.body.contains("Simulator does not accept these values"));
    assert_eq!(connected.vault.count("connections").await, 0);
    // With blanks, as they come along when people copy.
    let list = window.post("/add/simulator", &key(" sim_key_shop-1 ", "", "main")).await;
    assert_eq!((list.status, window.path.as_str()), (200, window.list.as_str()));
    assert!(
        list.body.contains("The account is connected.") && list.body.contains("data-event=\"connected\"")
    );
    assert!(
        list.body.contains("data-provider=\"simulator\"")
            && list.body.contains(&format!("data-host=\"{APP}\""))
    );
    let app = acting(&connected.vault, "u1").await;
    assert_eq!(app.fetch(by_id(&about(&list.body))).await.unwrap().fields["key"], "sim_key_shop-1");
    assert!(
        list.body.contains("main · shop-1") && list.body.contains("Tested just now, and accepted"),
        "the test before it was stored is one: {}",
        list.body
    );
    // The name is found before the provider is asked.
    let tests = connected.provider.counts().tests;
    let taken = window.post("/add/simulator", &key("sim_key_shop-2", "", "main")).await;
    assert!(
        taken.status == 400
            && taken.body.contains("There is a connection of this name at Simulator already.")
    );
    assert_eq!(connected.provider.counts().tests, tests);
    // The form is to be had in another language, and stays the same.
    let german = "/add/simulator?mode=api_key&amp;by=values&amp;lang=de\"";
    assert!(taken.body.contains(german), "{}", taken.body);
    // While the provider does not answer, nothing is stored.
    connected.provider.stop().await;
    let later = window.post("/add/simulator", &key("sim_key_shop-3", "", "third")).await;
    assert!(later.status == 400 && later.body.contains("does not answer at the moment"), "{}", later.body);
    assert_eq!(connected.vault.count("connections").await, 1);
}

async fn a_customer_tests_names_and_chooses_connections(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let (mut window, _) = Window::opened(&connected, "u1", request()).await;
    let mut ids = Vec::new();
    for name in ["one", "two"] {
        let key = format!("sim_key_shop-{name}");
        let fields = [("mode", "api_key"), ("f-key", key.as_str()), ("account_name", name)];
        ids.push(about(&window.post("/add/simulator", &fields).await.body));
    }
    let list = window.post(&format!("/c/{}/test", ids[1]), &[]).await;
    assert!(
        list.body.contains("The connection works") && list.body.contains("data-event=\"tested\""),
        "{}",
        list.body
    );
    assert!(list.body.contains("two · shop-two"), "{}", list.body);
    // The other one was tested when it was added.
    assert_eq!(list.body.matches("Tested just now, and accepted").count(), 2, "{}", list.body);
    connected.vault.clock.advance(Duration::from_secs(200));
    let later = window.look("").await;
    assert!(later.body.contains("Tested 3 minutes ago, and accepted"), "{}", later.body);
    // A test without a form of the page is none.
    assert_eq!(window.look(&format!("/c/{}/test", ids[1])).await.status, 405);
    let asked = window.look(&format!("/c/{}/name", ids[1])).await;
    assert!(asked.title().contains("Simulator") && asked.body.contains("value=\"two\""), "{}", asked.body);
    let path = format!("/c/{}/name", ids[1]);
    for (name, text) in
        [("", "A name has"), ("a\u{7}b", "A name has"), ("one", "There is a connection of this name")]
    {
        let wrong = window.post(&path, &[("account_name", name)]).await;
        assert!(wrong.status == 400 && wrong.body.contains(text), "{}", wrong.body);
    }
    let list = window.post(&path, &[("account_name", "Shop <b>2</b>")]).await;
    assert!(
        list.body.contains("Shop &lt;b&gt;2&lt;/b&gt; · shop-two")
            && list.body.contains("data-event=\"changed\"")
    );
    let list = window.post(&format!("/c/{}/default", ids[1]), &[]).await;
    assert!(list.body.contains("is now used where none is named"), "{}", list.body);
    // The notice is of the last thing only, and no other site can have the page say one.
    let forged = format!("?did=removed&of={}&mark=", ids[0]);
    let list = window.look(&forged).await;
    assert!(!list.body.contains("data-event") && !list.body.contains("is removed"), "{}", list.body);
}

async fn a_customer_replaces_a_key_and_ends_a_connection(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = acting(&connected.vault, "u1").await;
    let (mut window, _) = Window::opened(&connected, "u1", request()).await;
    let fields = [("mode", "api_key"), ("f-key", "sim_key_shop-1"), ("f-shop", "my-shop")];
    let id = about(&window.post("/add/simulator", &fields).await.body);
    // The name that an account has without one is not worth showing.
    assert!(!window.look("").await.body.contains("default ·"));
    let form = window.look(&format!("/c/{id}/reconnect")).await;
    assert!(form.body.contains("value=\"my-shop\"") && !form.body.contains("account_name"), "{}", form.body);
    let path = format!("/c/{id}/reconnect");
    let refused = window.post(&path, &[("f-key", "CANARY wrong"), ("f-shop", "my-shop")]).await;
    assert!(
        refused.status == 400 && refused.body.contains("does not accept these values"),
        "{}",
        refused.body
    );
    let other = window.post(&path, &[("f-key", "sim_key_shop-2"), ("f-shop", "my-shop")]).await;
    assert!(other.status == 400 && other.body.contains("add it as another connection"), "{}", other.body);
    let list = window.post(&path, &[("f-key", "sim_key_shop-1"), ("f-shop", "other-shop")]).await;
    assert!(list.body.contains("The account is connected."), "{}", list.body);
    assert_eq!(connected.vault.count("credential_versions").await, 2);
    // The person reads what will happen first, and nothing happens by reading.
    let asked = window.look(&format!("/c/{id}/disconnect")).await;
    assert_eq!(asked.title(), "Disconnect Simulator?");
    assert!(asked.body.contains("cannot be asked to end the access") && asked.body.contains("Keep it"));
    assert!(app.fetch(by_id(&id)).await.is_ok());
    let list = window.post(&format!("/c/{id}/disconnect"), &[]).await;
    assert!(
        list.body.contains("Its access remains at the provider")
            && list.body.contains("data-event=\"disconnected\"")
    );
    assert!(list.body.contains(">Not connected</span>") && app.fetch(by_id(&id)).await.is_err());
    let asked = window.look(&format!("/c/{id}/remove")).await;
    assert!(asked.title() == "Remove Simulator?" && asked.body.contains("leaves the list"), "{}", asked.body);
    let list = window.post(&format!("/c/{id}/remove"), &[]).await;
    assert!(
        list.body.contains("The connection is removed.") && list.body.contains("Nothing is connected yet.")
    );
    assert!(list.body.contains("data-provider=\"simulator\""), "{}", list.body);
    assert_eq!(window.look(&format!("/c/{id}/remove")).await.status, 404);
    // A shared connection is shown and tested, and not changed.
    let shared = app.create(connection_request("ours")).await.unwrap().id;
    let list = window.look("").await;
    assert!(list.body.contains("Shared connections") && list.body.contains("ours"), "{}", list.body);
    let limited = window.post(&format!("/c/{shared}/remove"), &[]).await;
    assert_eq!((limited.status, limited.reason().as_str()), (403, "SESSION_LIMITED"));
    let left = window.post("/leave", &[]).await;
    assert!(left.body.contains(&format!("href=\"{APP}/\"")) && left.body.contains("data-event=\"closed\""));
    assert_eq!((window.look("").await.status, window.post("/leave", &[]).await.status), (404, 404));
    let records = app.events().await;
    let removed = records.iter().find(|event| event.action == "DeleteConnection").unwrap();
    assert!(removed.user_id == "u1" && removed.tenant_source == "session", "{removed:?}");
    let to_page = v1::CreateConnectSessionRequest { return_url: format!("{APP}/accounts"), ..request() };
    let (mut window, _) = Window::opened(&connected, "u1", to_page).await;
    assert!(window.post("/leave", &[]).await.body.contains(&format!("href=\"{APP}/accounts\"")));
}
