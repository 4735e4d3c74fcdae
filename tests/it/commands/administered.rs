//! The commands of administrators: the catalog, tenants, apps, and events with their deliveries.

use credvault_proto::v1;
use serde_json::{Value, json};

use super::Shell;
use crate::harness::receiver::Receiver;
use crate::harness::{VaultBuilder, by_id, eventually, generic, refusal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_catalog_and_the_life_of_a_tenant() {
    let vault = VaultBuilder::sqlite().start().await;
    let shell = Shell::of(&vault).await;
    let providers = shell.app(0, &["providers", "list"]);
    assert!(providers.contains("shopify") && providers.contains("access_token oauth2_c"), "{providers}");
    let shopify = shell.app(0, &["providers", "get", "shopify"]);
    assert!(
        shopify.contains("access_token [webhook_secret]") && shopify.contains("shop [api_version]"),
        "{shopify}"
    );
    let shopify = shell.json("app", &["providers", "get", "shopify"]);
    assert_eq!(shopify["id"], "shopify");
    assert!(shell.app(4, &["providers", "get", "shopfy"]).contains("PROVIDER_UNKNOWN"));

    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    let created = shell.operator(0, &["tenants", "create", "globex", "--display-name", "Globex Ltd"]);
    assert!(created.contains("Globex Ltd") && created.contains("active"), "{created}");
    assert!(shell.operator(5, &["tenants", "create", "globex"]).contains("TENANT_EXISTS"));
    assert!(shell.operator(0, &["tenants", "suspend", "acme"]).contains("suspended"));
    assert_eq!(refusal(&app.fetch(by_id(&id)).await.unwrap_err()), "FailedPrecondition TENANT_SUSPENDED");
    let suspended = shell.operator(0, &["tenants", "list", "--state", "suspended"]);
    assert!(suspended.contains("acme") && !suspended.contains("globex"), "{suspended}");
    assert!(shell.operator(0, &["tenants", "resume", "acme"]).contains("active"));
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY");
    assert_eq!(shell.json("operator", &["tenants", "get", "globex"])["displayName"], "Globex Ltd");
    let unknown = shell.operator(4, &["tenants", "get", "nowhere"]);
    assert!(unknown.contains("`credvault tenants list` shows those that there are"), "{unknown}");
    // The operator's profile lies beside the app's.
    let denied = shell.app(3, &["tenants", "list"]);
    assert!(denied.contains("--profile operator.toml lies beside the profile in use"), "{denied}");
    assert!(shell.app(4, &["providers", "get", "shopfy"]).contains("shopify is like it"));
}

/// The first page of a list, and the one behind it, each with one item, whose name is in this field.
fn pages(shell: &Shell, service: &str, list: &[&str], name: &str) -> [String; 2] {
    let page = |more: &[&str]| {
        let page = shell.json(service, &[list, &["--page-size", "1"], more].concat());
        assert_eq!(page["items"].as_array().unwrap().len(), 1, "{list:?}: {page}");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&page["items"][0][name]), text(&page["nextPageToken"]))
    };
    let (first, token) = page(&[]);
    let (second, _) = page(&["--page-token", &token]);
    let table = shell.run(service, 0, &[list, &["--page-size", "1"]].concat());
    assert!(table.contains(&first) && table.contains("(more with --page-token "), "{table}");
    [first, second]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_list_has_pages() {
    let vault = VaultBuilder::sqlite().start().await;
    let shell = Shell::of(&vault).await;
    vault.tenant("globex").await;
    assert_eq!(pages(&shell, "operator", &["tenants", "list"], "id"), ["acme", "globex"]);
    let [first, second] = pages(&shell, "app", &["providers", "list"], "id");
    assert!(first < second, "{first} {second}");

    vault.write("secret.txt", "CANARY_secret_of_the_app");
    let of_tenant = ["--tenant", "acme"];
    for provider in ["slack", "xero"] {
        let put = ["apps", "put", provider, "--client-id", "4f2a", "--client-secret", "secret.txt"];
        let redirect = ["--redirect-uri", "https://app.example.com/back"];
        let more: &[&str] =
            if provider == "slack" { &["--setting-file", "signing_secret=secret.txt"] } else { &[] };
        shell.operator(0, &[&put[..], &redirect, more, &of_tenant].concat());
    }
    let apps = [&["apps", "list"], &of_tenant[..]].concat();
    assert_eq!(pages(&shell, "operator", &apps, "provider"), ["slack", "xero"]);
    let whole = shell.json("operator", &apps);
    assert_eq!((whole["items"].as_array().unwrap().len(), &whole["nextPageToken"]), (2, &json!("")));
    let deleted = shell.json("operator", &[&["apps", "delete", "xero", "--yes"], &of_tenant[..]].concat());
    assert_eq!(deleted, json!({}));

    for path in ["one", "two"] {
        let url = format!("https://events.invalid/{path}");
        shell.operator(0, &[&["events", "put-endpoint", "--url", &url], &of_tenant[..]].concat());
    }
    let [first, second] =
        pages(&shell, "operator", &[&["events", "endpoints"], &of_tenant[..]].concat(), "url");
    assert_ne!(first, second);
    let unnamed = shell.operator(2, &["tenants", "list", "--page-token", "x"]);
    assert!(unnamed.contains("--page-size"), "{unnamed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_is_stored_with_secrets_from_files() {
    let vault = VaultBuilder::sqlite().start().await;
    let shell = Shell::of(&vault).await;
    vault.write("secret.txt", "CANARY_first_secret_of_the_app\n");
    vault.write("signing.txt", "CANARY_signing_secret_of_the_app\n");
    let put = |more: &[&str]| {
        let app =
            ["apps", "put", "slack", "--client-id", "4f2a", "--redirect-uri", "https://app.example.com/back"];
        shell.operator(0, &[&app[..], more].concat())
    };
    let secrets = ["--client-secret", "secret.txt", "--setting-file", "signing_secret=signing.txt"];
    let stored = put(&secrets);
    assert!(stored.contains("client_secret=") && stored.contains("signing_secret="), "{stored}");
    vault.write("secret.txt", "CANARY_second_secret_of_the_app");
    let kept = put(&["--client-secret", "secret.txt", "--keep-previous-secret", "--scope", "chat:write"]);
    assert!(kept.contains("previous_client_secret=") && kept.contains("chat:write"), "{kept}");
    assert!(shell.operator(0, &["apps", "list"]).contains("of the platform:\nPROVIDER"));
    assert!(!shell.operator(0, &["apps", "list", "--tenant", "acme"]).contains("slack"));
    shell.operator(0, &["apps", "delete", "slack", "--yes"]);
    assert!(!shell.operator(0, &["apps", "list"]).contains("slack"));
    let missing =
        shell.operator(2, &["apps", "put", "slack", "--client-id", "4f2a", "--client-secret", "none.txt"]);
    assert!(missing.contains("none.txt cannot be read"), "{missing}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_registered_tested_and_its_events_are_sent_again() {
    let vault = VaultBuilder::sqlite().allow_loopback().start().await;
    let shell = Shell::of(&vault).await;
    let receiver = Receiver::start().await;
    let of_tenant = ["--tenant", "acme"];
    vault.write("url.txt", &format!("{}\n", receiver.url));
    let put = [&["events", "put-endpoint", "--url-file", "url.txt"], &of_tenant[..]].concat();
    let stored = shell.json("operator", &put);
    let id = stored["endpoint"]["id"].as_str().unwrap().to_owned();
    assert!(stored["secret"].as_str().unwrap().starts_with("whsec_"));
    let on_one =
        |code: i32, verb: &str| shell.operator(code, &[&["events", verb, &id], &of_tenant[..]].concat());
    assert!(on_one(0, "test-endpoint").contains("yes"));
    receiver.answer(&[500]);
    let failed = on_one(5, "test-endpoint");
    assert!(failed.contains("500") && failed.contains("did not take"), "{failed}");
    assert_eq!(receiver.count(), 2);

    vault.app("acme").await.create(generic("main", "CANARY")).await.unwrap();
    eventually("a delivery", || async { receiver.count() > 2 }).await;
    let event = receiver.received()[2].id().to_owned();
    let delivered =
        [&["events", "deliveries", "--state", "delivered", "--endpoint", &id], &of_tenant[..]].concat();
    eventually("its record", || async { shell.operator(0, &delivered).contains(&event) }).await;
    let page = shell.json("operator", &[&delivered[..], &["--page-size", "1"]].concat());
    assert_eq!(page["items"].as_array().unwrap().len(), 1, "{page}");
    let none =
        shell.operator(0, &[&["events", "retry-delivery", &id, "--all-dead"], &of_tenant[..]].concat());
    assert!(none.contains("0 of 0 events are sent again"), "{none}");
    assert!(
        !shell
            .operator(0, &[&["events", "deliveries", "--failing"], &of_tenant[..]].concat())
            .contains(&event)
    );
    let retry = [&["events", "retry-delivery", &id, &event], &of_tenant[..]].concat();
    assert!(shell.operator(0, &retry).contains(&event));
    let same = || receiver.received().iter().filter(|one| one.id() == event).count();
    eventually("the same event", || async { same() == 2 }).await;

    let rotate = ["--url-file", "url.txt", "--endpoint", &id, "--rotate-secret"];
    let rotated =
        shell.json("operator", &[&["events", "put-endpoint"], &rotate[..], &of_tenant[..]].concat());
    assert_ne!(rotated["secret"], stored["secret"]);
    assert!(shell.operator(0, &[&["events", "endpoints"], &of_tenant[..]].concat()).contains(&id));
    shell.operator(0, &[&["events", "delete-endpoint", &id, "--yes"], &of_tenant[..]].concat());
    assert!(!shell.operator(0, &[&["events", "endpoints"], &of_tenant[..]].concat()).contains(&id));
    shell.operator(2, &["events", "put-endpoint"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_are_asked_at_the_vault_and_in_files() {
    let vault = VaultBuilder::sqlite().start().await;
    let shell = Shell::of(&vault).await;
    let id = vault.app("acme").await.create(generic("main", "CANARY")).await.unwrap().id;
    let asked = |service: &'static str| ["policy", "explain", service, "FetchCredential", "--tenant", "acme"];
    let (app, sync) = (asked("spiffe://test.local/app"), asked("spiffe://test.local/sync"));
    let permitted = shell.operator(0, &[&app[..], &["--connection", &id]].concat());
    assert!(permitted.contains("permitted") && permitted.contains("--purpose"), "{permitted}");
    let answer = shell.json("operator", &[&app[..], &["--connection", &id]].concat());
    assert_eq!(answer["provider"], "generic");
    assert_eq!(answer["decisions"][1]["policies"][0]["id"], "app");
    let denied = shell.operator(3, &[&sync[..], &["--connection", &id]].concat());
    assert!(denied.contains("no policy permits spiffe://test.local/sync FetchCredential"), "{denied}");
    let unknown = shell.operator(4, &[&app[..], &["--connection", crate::isolation::UNKNOWN]].concat());
    assert!(unknown.contains("CONNECTION_NOT_FOUND"), "{unknown}");
    // The app may fetch, and may not ask; files may be asked by everyone who can read them.
    assert!(shell.app(3, &[&app[..], &["--connection", &id]].concat()).contains("POLICY_DENIED"));
    let none = r#"@id("none") permit (principal, action == Action::"AssertTenant", resource);"#;
    vault.write("other.cedar", none);
    let at = ["--provider", "generic", "--owner", "tenant", "--policies", "other.cedar"];
    let in_files = shell.app(3, &[&app[..], &at].concat());
    assert!(in_files.contains("none") && in_files.contains("denied"), "{in_files}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_counted() {
    let vault = VaultBuilder::sqlite().start().await;
    let shell = Shell::of(&vault).await;
    vault.app("acme").await.create(generic("main", "CANARY")).await.unwrap();
    vault.app("globex").await.create(generic("main", "CANARY")).await.unwrap();
    let count = |arguments: &[&str]| {
        let counted = shell.json("operator", &[&["tenants", "counts"][..], arguments].concat());
        let items = counted["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["count"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((count(&[]), count(&["acme"]), count(&["--platform"])), (vec![2], vec![1], vec![]));
    let table = shell.operator(0, &["tenants", "counts", "acme"]);
    assert!(table.contains("connected") && table.contains("ok"), "{table}");
    shell.operator(2, &["tenants", "counts", "acme", "--platform"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_says_who_may_read_it_and_who_did() {
    let vault = VaultBuilder::sqlite().start().await;
    let shell = Shell::of(&vault).await;
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    for purpose in ["books", "orders"] {
        let request = v1::FetchCredentialRequest {
            connection_id: id.clone(),
            purpose: purpose.into(),
            ..Default::default()
        };
        app.fetch(request).await.unwrap();
    }
    let named = ["connections", "access", "generic/main", "--tenant", "acme"];
    let table = shell.operator(0, &named);
    for text in
        ["Who may", "spiffe://test.local/gateway", "the tenant by token or assertion", "Who did", "books"]
    {
        assert!(table.contains(text), "{text}: {table}");
    }
    let by_id = ["connections", "access", &id, "--tenant", "acme", "--days", "2"];
    let answer = shell.json("operator", &by_id);
    assert_eq!((answer["uses"].as_array().unwrap().len(), &answer["nextPageToken"]), (2, &json!("")));
    assert_eq!(answer["uses"][1]["purpose"], "orders");
    assert_eq!(answer["may"]["services"][0]["service"], "spiffe://test.local/app");
    let page = shell.json("operator", &[&by_id[..], &["--page-size", "1"]].concat());
    let token = page["nextPageToken"].as_str().unwrap();
    let next = [&by_id[..], &["--page-size", "1", "--page-token", token]].concat();
    assert_eq!(shell.json("operator", &next)["uses"][0]["purpose"], "orders");
    let reach = shell.operator(0, &["policy", "reach", "spiffe://test.local/app", "--tenant", "acme"]);
    for text in ["What it may", "generic", "FetchCredential", "yes", "Who did", "books"] {
        assert!(reach.contains(text), "{text}: {reach}");
    }
    let missing = shell.operator(4, &["connections", "access", "generic/other", "--tenant", "acme"]);
    assert!(missing.contains("no such account"), "{missing}");
    assert!(shell.app(3, &["connections", "access", &id]).contains("POLICY_DENIED"));
    shell.operator(2, &[&named[..], &["--days", "400"]].concat());
}
