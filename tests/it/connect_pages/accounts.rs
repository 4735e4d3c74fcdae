//! Ways to connect an account: those that can work are offered, and the page says what the provider's test of a credential came to.

use credvault_proto::v1;

use super::pages::{about, error};
use super::request;
use super::window::Window;
use crate::harness::VaultBuilder;
use crate::harness::provider::STRICT;
use crate::on_both;

on_both![
    only_ways_that_can_work_are_offered,
    a_setting_is_spelled_as_people_do_and_a_key_without_rights_is_said_to_be_one,
    all_that_is_wrong_with_a_new_key_is_marked_at_once,
];

/// A provider whose customers write their shop in several ways, and that forbids its test to the account `narrow`.
const SPELLED: &str = r#"
id = "spelled"
display_name = "Spelled"
[config.shop]
title = "Shop"
required = true
pattern = '^[a-z0-9-]{1,20}\.acme\.example$'
pattern_description = "the host of a shop"
spelling = { host = "acme.example" }
[modes.key]
display_name = "Key"
kind = "static"
[modes.key.secret.key]
title = "Key"
required = true
[modes.key.request]
base_url = "PROVIDER_URL"
headers = { X-API-Key = "{secret.key}", X-Shop = "{config.shop}" }
[modes.key.test]
account_id = "id"
forbidden = [{ path = "id", one_of = ["narrow"] }]
call = { url = "PROVIDER_URL/me" }
"#;

async fn only_ways_that_can_work_are_offered(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let (mut window, _) = Window::opened(&connected, "u1", request()).await;
    let modes = window.look("/add/simulator").await;
    assert!(modes.body.contains("?mode=oauth2_code\""), "{}", modes.body);
    let begun = window.look("/add/simulator?mode=oauth2_code").await;
    let remove = v1::DeleteOAuthAppRequest { provider: "simulator".into(), ..Default::default() };
    connected.vault.client("operator").await.admin().delete_o_auth_app(remove).await.unwrap();
    // Without an app there is one way left, and its form is at hand.
    let form = window.look("/add/simulator").await;
    assert_eq!(form.title(), "Connect Simulator");
    assert!(form.body.contains("id=\"f-key\"") && form.body.contains("data-waiting=\"Testing…\""));
    // A page that was open meanwhile says that nothing was connected.
    assert!(begun.body.contains("Continue to Simulator"), "{}", begun.body);
    let late = window.post("/add/simulator", &[("mode", "oauth2_code"), ("by", "consent")]).await;
    assert!(late.status == 400 && late.body.contains("Nothing was connected."), "{}", late.body);
    // A form cannot ask for secrets that have no names.
    let modes = window.look("/add/generic").await;
    assert!(modes.body.contains("?mode=bearer\"") && !modes.body.contains("?mode=fields\""));
    assert_eq!(window.look("/add/generic?mode=fields").await.status, 400);
    // What the vault cannot ask about, it does not say that it asks about.
    let form = window.look("/add/generic?mode=bearer").await;
    assert!(form.body.contains("stored without a test") && !form.body.contains("data-waiting"));
    let stored = window.post("/add/generic", &[("mode", "bearer"), ("f-token", "CANARY")]).await;
    assert!(stored.body.contains("It was not tested"), "{}", stored.body);
    assert!(!stored.body.contains("Tested just now"), "{}", stored.body);
}

async fn a_setting_is_spelled_as_people_do_and_a_key_without_rights_is_said_to_be_one(builder: VaultBuilder) {
    let connected = builder.provider_file("spelled", SPELLED).start_with_provider(STRICT).await;
    let (mut window, _) = Window::opened(&connected, "u1", request()).await;
    let form = window.look("/add/spelled").await;
    assert!(form.body.contains("id=\"f-shop\"") && !form.body.contains("data-pattern"), "{}", form.body);
    let fields = |key| [("f-shop", "https://My-Shop.acme.example/admin"), ("f-key", key)];
    let list = window.post("/add/spelled", &fields("sim_key_narrow")).await;
    assert!(list.body.contains("it lacks the rights for the test"), "{}", list.body);
    assert_eq!(list.data("event"), "connected");
    let again = window.look(&format!("/c/{}/reconnect", about(&list.body))).await;
    assert!(again.body.contains("value=\"my-shop.acme.example\""), "{}", again.body);
    // What is no shop in any spelling is the vault's to refuse.
    let wrong = window.post("/add/spelled", &[("f-shop", "https://example.net"), ("f-key", "x")]).await;
    assert!(wrong.status == 400 && wrong.body.contains("This must be the host of a shop."), "{}", wrong.body);
}

async fn all_that_is_wrong_with_a_new_key_is_marked_at_once(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let (mut window, _) = Window::opened(&connected, "u1", request()).await;
    let fields = [("mode", "api_key"), ("f-key", "sim_key_shop-1"), ("f-shop", "my-shop")];
    let path = format!("/c/{}/reconnect", about(&window.post("/add/simulator", &fields).await.body));
    let wrong = window.post(&path, &[("f-key", "CANARY\u{7}"), ("f-shop", "NO GOOD")]).await;
    let said = (error(&wrong.body, "key"), error(&wrong.body, "shop"));
    assert!(!said.0.is_empty() && said.1 == "This must be a name.", "{said:?}");
}
