//! What the console changes: many connections and one, keys, events, apps. Each takes effect once, and as the vault permits.

use credvault_proto::v1;

use super::{Console, overseen};
use crate::harness::provider::{STRICT, app_request};
use crate::harness::receiver::Receiver;
use crate::harness::{Client, TestVault, VaultBuilder, eventually, generic};

/// How many connections of the tenant are disabled.
async fn disabled(operator: &Client) -> i64 {
    let selection = v1::ConnectionSelection { enabled: Some(false), ..Default::default() };
    let request = v1::ListTenantConnectionsRequest {
        tenant_id: "acme".into(),
        selection: Some(selection),
        ..Default::default()
    };
    operator.admin().list_tenant_connections(request).await.unwrap().into_inner().total.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_are_tried_first_and_then_changed_step_by_step() {
    let vault = overseen(VaultBuilder::sqlite()).await;
    let (app, operator) = (vault.app("acme").await, vault.client("operator").await);
    for number in 0..101 {
        app.create(generic(&format!("account-{number}"), "CANARY")).await.unwrap();
    }
    let console = Console::open(&vault, "operator").await;
    let wanted = [("tenant", "acme"), ("provider", "generic"), ("kind", "disable"), ("scope", "matching")];
    let tried = console.post("/connections/change", &wanted).await;
    assert!(tried.body.contains("Disable: a trial") && tried.body.contains("100 of 101"), "{}", tried.body);
    assert!(
        tried.body.contains("Disable all 101") && tried.body.contains("Try the next 100"),
        "{}",
        tried.body
    );
    assert!(!tried.body.contains("data-auto"), "a trial does not go on by itself");
    assert_eq!(disabled(&operator).await, 0);

    let begun = console.post("/connections/change", &[&wanted[..], &[("step", "run")]].concat()).await;
    assert!(begun.body.contains("data-auto=\"500\"") && begun.body.contains("100 changed"), "{}", begun.body);
    assert_eq!(disabled(&operator).await, 100);
    let carried = ["page", "total", "changed"].map(|name| (name, begun.hidden(name)));
    let carried: Vec<(&str, &str)> = carried.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let next = [&wanted[..], &[("step", "run")], &carried[..]].concat();
    let ended = console.post("/connections/change", &next).await;
    assert!(ended.body.contains("101 of 101") && ended.body.contains("101 changed"), "{}", ended.body);
    assert!(ended.body.contains("was looked at") && !ended.body.contains("data-auto"), "{}", ended.body);
    assert_eq!(disabled(&operator).await, 101);
    // The same step once more is harmless.
    let again = console.post("/connections/change", &next).await;
    assert!(again.body.contains("1 unchanged"), "{}", again.body);
    for (name, value) in [("scope", "chosen"), ("kind", "CANARY")] {
        let refused = console.post("/connections/change", &[&[(name, value)][..], &wanted].concat()).await;
        assert!(refused.status == 400 && !refused.body.contains("CANARY"), "{}", refused.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_is_disabled_after_a_trial_that_says_what_breaks() {
    let vault = overseen(VaultBuilder::sqlite()).await;
    let (app, operator) = (vault.app("acme").await, vault.client("operator").await);
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    let set = v1::SetServiceConfigRequest {
        service: "kpi-report".into(),
        mappings: vec![v1::ServiceMapping {
            mapping: "default".into(),
            connection_id: id.clone(),
            ..Default::default()
        }],
        ..Default::default()
    };
    app.connections().set_service_config(set).await.unwrap();
    let console = Console::open(&vault, "operator").await;
    let wanted = [("tenant", "acme"), ("id", id.as_str()), ("kind", "disable"), ("scope", "chosen")];
    let tried = console.post("/connections/change", &[&wanted[..], &[("step", "try")]].concat()).await;
    assert!(tried.body.contains("kpi-report/default of tenant"), "{}", tried.body);
    assert_eq!(disabled(&operator).await, 0);
    let done = console.post("/connections/change", &[&wanted[..], &[("step", "run")]].concat()).await;
    assert!(done.body.contains("1 changed"), "{}", done.body);
    assert_eq!(disabled(&operator).await, 1);
    assert!(
        console.page(&format!("/connection?tenant=acme&id={id}")).await.contains("badge warn\">disabled")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_is_begun_and_followed_to_its_end() {
    let vault = overseen(VaultBuilder::sqlite()).await;
    let app = vault.app("acme").await;
    app.create(generic("main", "CANARY")).await.unwrap();
    let console = Console::open(&vault, "operator").await;
    let request_id = console.get("/keys?tenant=acme").await.hidden("request_id");
    let rotate = [("tenant", "acme"), ("request_id", request_id.as_str())];
    for _ in 0..2 {
        let begun = console.post("/keys/rotate", &rotate).await;
        assert_eq!(begun.headers["location"], "/keys?tenant=acme&done=rotation", "{}", begun.body);
    }
    eventually("the end of the rotation", || async {
        let part = console.page("/keys/progress?tenant=acme").await;
        assert!(part.starts_with("<div id=\"present\"") && !part.contains("<html"), "{part}");
        // While it runs, the part says where to ask again.
        assert_eq!(part.contains("data-live"), part.contains("in progress"), "{part}");
        part.contains("badge good\">ended")
    })
    .await;
    let status = v1::GetKeyStatusRequest { tenant_id: "acme".into() };
    let status = vault.client("operator").await.admin().get_key_status(status).await.unwrap().into_inner();
    assert_eq!(status.rotation.unwrap().target, 2, "a form that is sent twice begins one rotation");
}

/// Registers an endpoint of the tenant.
async fn register(vault: &TestVault, url: &str) -> String {
    let request =
        v1::PutEventEndpointRequest { tenant_id: "acme".into(), url: url.into(), ..Default::default() };
    let operator = vault.client("operator").await;
    let put = operator.admin().put_event_endpoint(request).await.unwrap().into_inner();
    put.endpoint.unwrap().id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_tested_and_an_event_sent_again() {
    let vault = overseen(VaultBuilder::sqlite()).await;
    let app = vault.app("acme").await;
    let receiver = Receiver::start().await;
    let endpoint = register(&vault, &receiver.url).await;
    let console = Console::open(&vault, "operator").await;
    let of_endpoint = [("tenant", "acme"), ("endpoint", endpoint.as_str())];
    let tested = console.post("/events/test", &of_endpoint).await;
    assert!(tested.status == 200 && tested.body.contains("has accepted the test event"), "{}", tested.body);
    receiver.answer(&[500]);
    let failed = console.post("/events/test", &of_endpoint).await;
    assert!(failed.status == 200 && failed.body.contains("has not accepted"), "{}", failed.body);

    app.create(generic("main", "CANARY")).await.unwrap();
    eventually("a delivery", || async { receiver.count() > 2 }).await;
    eventually("the delivery's end", || async {
        console.page("/events?tenant=acme&state=delivered").await.contains("Send again")
    })
    .await;
    let page = console.get("/events?tenant=acme&state=delivered").await;
    let place = receiver.url.split("/events").next().unwrap();
    assert!(
        page.body.contains(place) && !page.body.contains("to=us"),
        "the path of an endpoint may be secret: {}",
        page.body
    );
    // Twice with the endpoint, and with each delivery to it.
    assert!(page.body.matches(place).count() > 2, "{}", page.body);
    let event = page.hidden("event");
    let before = receiver.received().iter().filter(|received| received.id() == event).count();
    let retry = [&of_endpoint[..], &[("event", event.as_str())]].concat();
    let retried = console.post("/events/retry", &retry).await;
    assert_eq!(retried.status, 303, "{}", retried.body);
    eventually("the event, again", || async {
        receiver.received().iter().filter(|received| received.id() == event).count() > before
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_is_stored_and_its_secret_replaced_and_never_shown() {
    let connected =
        VaultBuilder::sqlite().policies(super::LOOKS_INTO_TENANTS).start_with_provider(STRICT).await;
    connected.vault.tenant("acme").await;
    let console = Console::open(&connected.vault, "operator").await;
    let app = app_request();
    let put = [
        ("tenant", "acme"),
        ("provider", "simulator"),
        ("client_id", app.client_id.as_str()),
        ("client_secret", "CANARY-secret-of-acme"),
        ("redirect_uri", app.redirect_uri.as_str()),
        ("scopes", "read  write"),
        ("settings", "application_id = x1"),
    ];
    let stored = console.post("/apps", &put).await;
    assert_eq!(stored.headers["location"], "/apps?tenant=acme&done=app", "{}", stored.body);
    let page = console.page("/apps?tenant=acme&done=app").await;
    assert!(
        page.contains(&app.client_id) && page.contains("The app is stored") && page.contains("read write"),
        "{page}"
    );

    let meant = [("tenant", "acme"), ("provider", "simulator"), ("client_id", app.client_id.as_str())];
    let ask = page.split('"').find(|part| part.starts_with("/apps/rotate?")).unwrap().replace("&amp;", "&");
    let asked = console.page(&ask).await;
    assert!(asked.contains("action=\"/apps/rotate\"") && asked.contains(&app.client_id), "{asked}");
    assert_eq!(console.get("/apps/rotate?tenant=acme&provider=none").await.status, 404);
    let secret = [("client_secret", "CANARY-next-secret"), ("keep", "yes")];
    assert_eq!(console.post("/apps/rotate", &[&meant[..], &secret].concat()).await.status, 303);
    let list = v1::ListOAuthAppsRequest { tenant_id: "acme".into(), ..Default::default() };
    let operator = connected.vault.client("operator").await;
    let apps = operator.admin().list_o_auth_apps(list).await.unwrap().into_inner().apps;
    assert!(apps[0].hints.contains_key("previous_client_secret"), "{apps:?}");
    assert_eq!(
        (apps[0].settings["application_id"].as_str(), apps[0].default_scopes.len()),
        ("x1", 2),
        "the rest stays"
    );
    console.page("/apps?tenant=acme").await;
    // Neither a refusal nor a form without a secret shows one, or changes anything.
    let wrong = console
        .post("/apps", &[("tenant", "acme"), ("provider", "simulator"), ("client_secret", "CANARY-secret")])
        .await;
    assert!(wrong.status == 400 && !wrong.body.contains("CANARY"), "{}", wrong.body);
    assert_eq!(console.post("/apps/rotate", &meant).await.status, 400);
}
