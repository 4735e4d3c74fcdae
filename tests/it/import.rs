//! `credvault import`: what the five systems stored moves in, through the program and the public API.

mod database;
mod quotas;
mod refusals;
mod repeated;
mod settings;
mod warnings;

use std::path::Path;

use credvault_proto::v1;
use serde_json::json;

use crate::harness::{
    Client, Imported, Process, TestVault, VaultBuilder, by_provider, eventually, generic, owned_by,
};
use crate::on_both;

on_both![
    every_system_moves_in,
    a_batch_has_an_outcome_for_each_item,
    a_killed_import_continues,
    shared_credentials_of_the_environment_become_the_platforms
];

const KEY: &str = "0123456789abcdef0123456789abcdef";
const SECRET: &str = "salt-of-the-platform";

macro_rules! rows {
    ($name:literal) => {
        include_str!(concat!("../../crates/credvault-import/tests/vectors/", $name))
    };
}

/// Runs `credvault import` with the keys of all systems.
async fn import(vault: &TestVault, service: &str, arguments: &[&str]) -> Imported {
    vault.import(service, &[("ENCRYPTION_KEY", KEY), ("ENCRYPTION_KEY_SALT", SECRET)], arguments).await
}

async fn started(builder: VaultBuilder) -> TestVault {
    let vault = builder.start().await;
    vault.write_profile("app");
    for (name, text) in [
        ("pixelpim.jsonl", rows!("pixelpim.jsonl")),
        ("fluxori.jsonl", rows!("fluxori.jsonl")),
        ("kpi-etl.jsonl", rows!("kpi-etl.jsonl")),
        ("kustomer.jsonl", rows!("kustomer.jsonl")),
        ("integrations.jsonl", rows!("integrations.jsonl")),
    ] {
        vault.write(name, text);
    }
    vault
}

async fn every_system_moves_in(builder: VaultBuilder) {
    let vault = started(builder).await;
    let acme = vault.app("acme").await;
    let cases: [(&[&str], [u64; 3]); 5] = [
        (&["pixelpim", "--from", "pixelpim.jsonl", "--tenant", "acme"], [2, 0, 0]),
        (&["fluxori", "--from", "fluxori.jsonl"], [2, 0, 1]),
        (&["kpi-etl", "--from", "kpi-etl.jsonl", "--tenant", "acme"], [2, 1, 0]),
        (&["kustomer", "--from", "kustomer.jsonl", "--tenant", "acme", "--plain"], [2, 0, 0]),
        // There is no tenant beta yet.
        (&["integrations", "--from", "integrations.jsonl"], [2, 0, 1]),
    ];
    for (arguments, [created, left_out, refused]) in cases {
        let before = vault.count("connections").await;
        for (mode, expected) in [("--dry-run", "created"), ("--update", "created"), ("--update", "unchanged")]
        {
            let run = import(&vault, "app", &[arguments, &[mode]].concat()).await;
            let of = |name| run.counted(name);
            assert_eq!(
                [of(expected), of("left_out"), of("refused")],
                [created, left_out, refused],
                "{}",
                run.shown
            );
            assert_eq!(run.code, if refused > 0 { 7 } else { 0 });
            let stored = if mode == "--dry-run" { 0 } else { created };
            assert_eq!(vault.count("connections").await - before, i64::try_from(stored).unwrap());
        }
    }
    let report = std::fs::read_to_string(vault.folder.path().join("report.jsonl")).unwrap();
    assert!(report.contains("\"TENANT_NOT_FOUND\"") && report.contains("integrations/i3"), "{report}");
    vault.tenant("beta").await;
    let run = import(&vault, "app", &["integrations", "--from", "integrations.jsonl"]).await;
    assert_eq!((run.code, run.counted("created"), run.counted("unchanged")), (0, 1, 2));
    they_work_as_before(&vault, &acme).await;
}

/// What moved in is fetched, with the owner, the state and the default that it had.
async fn they_work_as_before(vault: &TestVault, acme: &Client) {
    let of = |provider: &str, user: &str, name: &str| v1::FetchCredentialRequest {
        user_id: user.to_owned(),
        account_name: name.to_owned(),
        ..by_provider(provider)
    };
    let shop = acme.fetch(of("shopify", "u1", "")).await.unwrap();
    assert_eq!(shop.fields["access_token"], "shpat_CANARY");
    assert_eq!(shop.request_auth.unwrap().base_url, "https://acme.myshopify.com/admin/api/2026-10");
    assert!(
        acme.fetch(of("shopify", "user_1", "Main")).await.unwrap().fields["access_token"]
            .starts_with("shpat")
    );
    assert_eq!(acme.fetch(of("kustomer", "u1", "")).await.unwrap().account_name, "Beta", "the current one");
    let listed = acme.connections().list_connections(v1::ListConnectionsRequest::default()).await.unwrap();
    let listed = listed.into_inner().connections;
    let find = |provider: &str, name: &str| {
        listed.iter().find(|one| one.provider == provider && one.account_name == name).unwrap()
    };
    assert!(!find("amazon_sp_seller", "default").enabled);
    assert_eq!(find("amazon_sp_seller", "default").labels["imported_from"], "pixelpim/2");
    assert_eq!(find("amazon_sp_vendor", "Vendor").state(), v1::ConnectionState::Disconnected);
    assert_eq!(find("amazon_ads", "Main").state(), v1::ConnectionState::Connected);
    assert_eq!(find("kustomer", "Acme").state(), v1::ConnectionState::Connected);
    let slack = vault.client("app").await.acting_for("beta", None).fetch(by_provider("slack")).await.unwrap();
    assert_eq!(slack.fields["access_token"], "xoxb-1-CANARY");
    // Tokens that can be renewed are, from now on, the vault's to renew.
    assert!(vault.count("refreshes").await >= 3);
    let events = acme.events().await;
    let imported = events.iter().filter(|event| event.action == "ImportConnections");
    assert!(imported.filter(|event| !event.connection_id.is_empty()).count() >= 9, "a record of each");
}

/// An item of the user `u1`.
fn item(source: &str, name: &str, secret: &str) -> v1::ImportItem {
    let request = owned_by("u1", generic(name, secret));
    v1::ImportItem {
        source: source.to_owned(),
        owner: request.owner,
        provider: request.provider,
        account_name: request.account_name,
        auth_mode: request.auth_mode,
        credential: request.credential,
        ..Default::default()
    }
}

async fn send(
    client: &Client,
    items: Vec<v1::ImportItem>,
    mode: v1::ImportMode,
) -> Result<Vec<v1::ImportResult>, tonic::Status> {
    let request = v1::ImportConnectionsRequest { items, mode: mode.into(), validate_only: false };
    Ok(client.connections().import_connections(request).await?.into_inner().results)
}

/// The outcomes, or the reasons of those that were refused.
fn outcomes(results: &[v1::ImportResult]) -> Vec<&str> {
    results.iter().map(outcome).collect()
}

fn outcome(result: &v1::ImportResult) -> &str {
    match &result.error {
        Some(error) => &error.reason,
        None => result.outcome().as_str_name().trim_start_matches("IMPORT_OUTCOME_"),
    }
}

async fn a_batch_has_an_outcome_for_each_item(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    app.create(generic("taken", "CANARY of an app")).await.unwrap();
    let owned = |mut item: v1::ImportItem, kind: v1::OwnerKind| {
        item.owner = Some(v1::Owner { kind: kind.into(), user_id: String::new() });
        item
    };
    let unknown = v1::ImportItem { provider: "nothing".to_owned(), ..item("s/4", "x", "CANARY") };
    let items = vec![
        item("s/1", "one", "CANARY 1"),
        v1::ImportItem { default: true, ..item("s/2", "two", "CANARY 2") },
        owned(item("s/3", "taken", "CANARY"), v1::OwnerKind::Tenant),
        unknown,
        owned(item("s/5", "x", "CANARY"), v1::OwnerKind::Platform),
        item("s/6", "one", "CANARY again"),
        item("", "seven", "CANARY"),
    ];
    let first = send(&app, items, v1::ImportMode::Keep).await.unwrap();
    let (taken, wrong) = ("CONNECTION_EXISTS", "FIELDS_INVALID");
    let expected = ["CREATED", "CREATED", taken, "PROVIDER_UNKNOWN", wrong, taken, wrong];
    assert_eq!(outcomes(&first), expected);
    assert!(!format!("{first:?}").contains("CANARY"));
    let of_user = v1::FetchCredentialRequest { user_id: "u1".to_owned(), ..by_provider("generic") };
    assert_eq!(app.token(of_user).await.unwrap(), "CANARY 2", "the marked one is the default");

    // A key that ends is warned of, however it came.
    let mut ends = item("s/9", "ends", "CANARY 9");
    let day = prost_types::Duration { seconds: 24 * 3600, nanos: 0 };
    ends.credential.as_mut().unwrap().expiry = Some(v1::credential_input::Expiry::Ttl(day));
    assert_eq!(outcomes(&send(&app, vec![ends], v1::ImportMode::Keep).await.unwrap()), ["CREATED"]);
    let ending = v1::ListConnectionsRequest { health: v1::HealthState::Ending.into(), ..Default::default() };
    let ending = app.connections().list_connections(ending).await.unwrap().into_inner().connections;
    assert_eq!(ending.iter().map(|one| one.account_name.as_str()).collect::<Vec<_>>(), ["ends"]);

    let of_another_user = vault.client("portal").await.acting_for("acme", Some("u2"));
    let refused = send(&of_another_user, vec![item("s/8", "x", "CANARY")], v1::ImportMode::Keep).await;
    assert_eq!(outcomes(&refused.unwrap()), ["POLICY_DENIED"]);
    for count in [0, 201] {
        let items = vec![item("s/1", "one", "CANARY"); count];
        let refused = send(&app, items, v1::ImportMode::Keep).await.unwrap_err();
        assert!(refused.message().contains("items"), "{refused:?}");
    }
}

/// A CSV file of PixelPim with this many shops.
fn shops(folder: &Path, count: usize) {
    let mut text = String::from("id,userId,integrationType,isActive,credentials\n");
    for row in 0..count {
        let credentials = json!({
            "apiUrl": format!("https://shop-{row}.example.com"),
            "consumerKey": format!("ck_{row:040x}"),
            "consumerSecret": format!("cs_{row:040x}"),
            "webhookSecret": "CANARY",
        });
        let quoted = credentials.to_string().replace('"', "\"\"");
        text.push_str(&format!("{row},{row},woocommerce,t,\"{quoted}\"\n"));
    }
    std::fs::write(folder.join("shops.csv"), text).unwrap();
}

async fn a_killed_import_continues(builder: VaultBuilder) {
    const SHOPS: usize = 1000;
    let vault = started(builder).await;
    vault.tenant("acme").await;
    shops(vault.folder.path(), SHOPS);
    let arguments = [
        "pixelpim",
        "--from",
        "shops.csv",
        "--tenant",
        "acme",
        "--journal",
        "journal",
        "--batch",
        "20",
        "--concurrency",
        "1",
    ];
    let mut first = Process::command();
    first.current_dir(vault.folder.path()).arg("import").args(arguments).args(["--profile", "app.toml"]);
    let mut first = first.spawn().unwrap();
    let journal = vault.folder.path().join("journal");
    let lines = || std::fs::read_to_string(&journal).unwrap_or_default().lines().count();
    eventually("the first hundred rows", || async { lines() > 100 }).await;
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(lines() < SHOPS, "it was killed before its end");
    let run = import(&vault, "app", &arguments).await;
    assert_eq!(run.code, 0);
    assert!(run.counted("done_before") >= 100, "{}", run.shown);
    assert_eq!(vault.count("connections").await, i64::try_from(SHOPS).unwrap());
    let run = import(&vault, "app", &arguments).await;
    assert_eq!(run.counted("done_before"), SHOPS as u64);
}

async fn shared_credentials_of_the_environment_become_the_platforms(builder: VaultBuilder) {
    let mut vault = started(builder).await;
    let acme = vault.app("acme").await;
    let key = "0".repeat(40);
    let variables = |client: &str| {
        format!(
            "WC_API_URL=https://example.com\nWC_CONSUMER_KEY=ck_{key}\nWC_CONSUMER_SECRET=cs_{key}\nWC_WEBHOOK_SECRET=CANARY\n\
         VITE_KUSTOMER_CLIENT_ID={client}\nKUSTOMER_CLIENT_SECRET=CANARY\nENCRYPTION_KEY=CANARY\n"
        )
    };
    // An app that the vault refuses keeps no connection back.
    let too_long = "x".repeat(600);
    for (client, expected) in
        [(too_long.as_str(), (7, [1, 0, 1])), ("client", (0, [1, 1, 0])), ("client", (0, [0, 2, 0]))]
    {
        vault.write(".env", &variables(client));
        let run = import(&vault, "operator", &["env", "--from", ".env"]).await;
        assert_eq!(run.outcome(), expected, "{}", run.shown);
        let refused = run.shown.contains("env/kustomer/app") && run.shown.contains("FIELDS_INVALID");
        assert_eq!(refused, run.code == 7, "{}", run.shown);
    }
    let shared = acme.fetch(by_provider("woocommerce")).await.unwrap();
    assert_eq!(shared.owner.unwrap().kind(), v1::OwnerKind::Platform);
    assert_eq!(shared.fields["consumer_key"], format!("ck_{key}"));

    // Who depends on them is counted, and written by the end at the latest.
    let of_user = v1::FetchCredentialRequest { user_id: "u9".to_owned(), ..by_provider("woocommerce") };
    for _ in 0..3 {
        acme.fetch(of_user.clone()).await.unwrap();
    }
    for expected in [["acme//1", "acme/u9/3"], ["acme//1", "acme/u9/3"]] {
        vault.stop().await;
        vault.start().await;
        assert_eq!(dependants(&vault).await, expected);
    }
    vault.app("acme").await.fetch(of_user).await.unwrap();
    vault.stop().await;
    vault.start().await;
    assert_eq!(dependants(&vault).await, ["acme//1", "acme/u9/4"]);
    let delete = v1::DeleteUserRequest {
        tenant_id: "acme".to_owned(),
        user_id: "u9".to_owned(),
        ..Default::default()
    };
    vault.client("operator").await.admin().delete_user(delete).await.unwrap();
    assert_eq!(dependants(&vault).await, ["acme//1"]);
}

/// Tenant, user and count of each that depends on a shared credential, one on a page.
async fn dependants(vault: &TestVault) -> Vec<String> {
    let operator = vault.client("operator").await;
    let mut request = v1::ListPlatformDependantsRequest { page_size: 1, ..Default::default() };
    let mut all = Vec::new();
    loop {
        let page = operator.admin().list_platform_dependants(request.clone()).await.unwrap().into_inner();
        all.extend(page.dependants.iter().map(|one| {
            assert_eq!(
                (one.provider.as_str(), one.service.as_str()),
                ("woocommerce", "spiffe://test.local/app")
            );
            format!("{}/{}/{}", one.tenant_id, one.user_id, one.fetch_count)
        }));
        if page.next_page_token.is_empty() {
            return all;
        }
        request.page_token = page.next_page_token;
    }
}
