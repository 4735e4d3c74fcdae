//! What the pages show: what the vault has, no secret, and every refusal with its reason and its way out.

use serde_json::Value;

use super::{Console, overseen};
use crate::harness::{Process, TestVault, VaultBuilder, by_id, generic, owned_by};
use crate::on_both;

on_both![every_page_shows_what_the_vault_has_and_no_secret, an_export_has_every_record_of_the_search];

/// A tenant with a connection that is used and one of a user, and the id of the first.
pub(super) async fn filled(vault: &TestVault) -> String {
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY one")).await.unwrap().id;
    app.create(owned_by("u1", generic("mine", "CANARY two"))).await.unwrap();
    app.token(by_id(&id)).await.unwrap();
    app.put(&id, "CANARY three").await.unwrap();
    id
}

async fn every_page_shows_what_the_vault_has_and_no_secret(builder: VaultBuilder) {
    let vault = overseen(builder).await;
    let id = filled(&vault).await;
    let console = Console::open(&vault, "operator").await;
    let connection = format!("/connection?tenant=acme&id={id}");
    let asked = format!("/policy?tenant=acme&service=spiffe%3A%2F%2Ftest.local%2Fapp&connection={id}");
    let pages: [(&str, &[&str]); 21] = [
        ("/", &["Providers in trouble", "No provider fails", "Nothing happened in these 30 days"]),
        ("/", &["All connections", "connected: <strong>2", "No connection of a tenant has ended"]),
        ("/", &["connections?state=connected"]),
        ("/?tenant=acme", &["of this tenant", "connected: <strong>2"]),
        ("/tenants", &["/tenant?tenant=acme", "badge good\">active"]),
        ("/tenant?tenant=acme", &["connected: <strong>2", ">u1</a>", "refreshes per minute"]),
        ("/connections?tenant=acme", &["<strong>2</strong> match", "generic / main", "user u1"]),
        ("/connections?tenant=acme&user=u1", &["<strong>1</strong> match", "generic / mine"]),
        ("/connections?tenant=acme&state=error", &["No connection matches"]),
        ("/connections", &["No connection matches"]),
        (&connection, &["PutCredential", "FetchCredential", "Fetches and refreshes", "live", "current"]),
        (
            &connection,
            &[
                "Who may, and who did",
                "spiffe://test.local/gateway",
                "the tenant by token or assertion",
                "Who did in the",
            ],
        ),
        ("/audit?tenant=acme", &["CreateConnection", "spiffe://test.local/app", "1–"]),
        ("/audit?tenant=acme&action=FetchCredential&outcome=denied", &["There is no such record"]),
        ("/audit?tenant=acme&view=sums", &["PutCredential", "Count"]),
        ("/keys?tenant=acme", &["badge good\">active", "There was none"]),
        ("/keys", &["The platform", "Rotate the root key"]),
        ("/events", &["There is none", "There is no such delivery"]),
        ("/apps", &["There is no app"]),
        ("/policy", &["Service (SPIFFE ID)", "<optgroup label=\"VaultService\">"]),
        (
            &asked,
            &["badge good\">permitted", "<strong>app</strong> permits it", "policies.cedar", "the purpose"],
        ),
    ];
    for (path, shown) in pages {
        let body = console.page(path).await;
        for text in shown {
            assert!(body.contains(text), "{path} lacks {text}: {body}");
        }
        assert!(!body.contains("class=\"refusal\""), "{path}: {body}");
        // No page is taken for one of another vault, or of another operator.
        let address = format!("https://localhost:{}", vault.address().port());
        for text in
            ["<strong>staging</strong>", &address, "spiffe://test.local/operator", "· staging · credvault"]
        {
            assert!(body.contains(text), "{path} lacks {text}: {body}");
        }
    }
}

async fn an_export_has_every_record_of_the_search(builder: VaultBuilder) {
    let vault = overseen(builder).await;
    let id = filled(&vault).await;
    let app = vault.app("acme").await;
    // More than one page of the API has.
    for _ in 0..520 {
        app.token(by_id(&id)).await.unwrap();
    }
    let console = Console::open(&vault, "operator").await;
    let search = "tenant=acme&action=FetchCredential";
    let exported = console.get(&format!("/audit/export?{search}&format=jsonl")).await;
    assert_eq!(exported.headers["content-disposition"], "attachment; filename=audit.jsonl");
    let records: Vec<Value> = exported.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 521);
    assert!(
        records
            .iter()
            .all(|record| record["connectionId"] == id.as_str() && record["outcome"] == "AUDIT_OUTCOME_OK")
    );
    let exported = console.get(&format!("/audit/export?{search}&format=csv")).await;
    assert_eq!(exported.body.lines().count(), 522, "with the heading");
    assert!(
        exported.body.starts_with("id,time,service,user_id,"),
        "{}",
        exported.body.lines().next().unwrap()
    );
    assert!(!exported.body.contains("CANARY"));
    // The command line writes the same, to the last byte.
    for format in ["csv", "jsonl"] {
        let export = [
            "audit",
            "export",
            "--profile",
            "console.toml",
            "--tenant",
            "acme",
            "--action",
            "FetchCredential",
        ];
        let output = Process::run(vault.folder.path(), &[&export[..], &["--format", format]].concat());
        let exported = console.get(&format!("/audit/export?{search}&format={format}")).await.body;
        assert!(output.stdout == exported.as_bytes(), "{format}: {}", exported.lines().next().unwrap());
    }
    assert_eq!(console.get("/audit/export?tenant=acme&format=xml").await.status, 400);
    assert_eq!(console.get("/audit/export?tenant=nowhere&format=csv").await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_list_is_shown_a_page_at_a_time() {
    let vault = overseen(VaultBuilder::sqlite()).await;
    let app = vault.app("acme").await;
    for number in 0..51 {
        app.create(generic(&format!("account-{number:02}"), "CANARY")).await.unwrap();
    }
    let console = Console::open(&vault, "operator").await;
    let first = console.page("/connections?tenant=acme&provider=generic").await;
    assert!(
        first.contains("<strong>51</strong> match")
            && first.contains("1–50")
            && !first.contains("account-50"),
        "{first}"
    );
    let next = first.split('"').find(|part| part.contains("seen=50")).unwrap().replace("&amp;", "&");
    assert!(next.contains("provider=generic") && next.contains("tenant=acme"), "{next}");
    let second = console.page(&next).await;
    assert!(
        second.contains("account-50") && second.contains("51–51") && second.contains("First page"),
        "{second}"
    );
    assert!(!second.contains("Next page"), "{second}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_policy_denies_is_said_and_the_rest_is_shown() {
    let vault = VaultBuilder::sqlite().start().await;
    let id = filled(&vault).await;
    vault.tenant("other").await;
    // It administers one tenant and may do nothing else.
    let console = Console::open(&vault, "acme-admin").await;
    let overview = console.page("/?tenant=acme").await;
    assert!(
        overview.contains("class=\"refusal\"") && overview.contains("connected: <strong>2"),
        "{overview}"
    );
    let connection = console.page(&format!("/connection?tenant=acme&id={id}")).await;
    assert!(connection.contains("POLICY_DENIED") && connection.contains("generic / main"), "{connection}");
    assert!(connection.contains("docs/console.md") && connection.contains("Trace id"), "{connection}");
    for (path, status) in [
        ("/tenants", 403),
        ("/tenant?tenant=other", 403),
        ("/connections?tenant=other", 403),
        ("/keys", 403),
        ("/audit?tenant=acme", 403),
        ("/connections?tenant=acme&state=CANARY", 400),
        ("/connections?tenant=acme&ends_before=CANARY", 400),
        ("/connection?tenant=acme&id=0198c0de-0000-7000-8000-000000000000", 404),
    ] {
        let refused = console.get(path).await;
        assert_eq!(refused.status, status, "{path}: {}", refused.body);
        assert!(refused.body.contains("class=\"refusal\"") && !refused.body.contains("CANARY"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_that_is_away_is_a_page_with_a_way_out() {
    let mut vault = overseen(VaultBuilder::sqlite()).await;
    vault.tenant("acme").await;
    let console = Console::open(&vault, "operator").await;
    assert!(console.page("/tenants").await.contains("tenant=acme"));
    vault.stop().await;
    let away = console.get("/tenants").await;
    assert!(away.status == 503 || away.status == 502, "{}", away.body);
    assert!(
        away.body.contains("class=\"refusal\"") && away.body.contains("oad the page again"),
        "{}",
        away.body
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_tester_says_in_one_sentence_which_policy_decides() {
    let vault = overseen(VaultBuilder::sqlite()).await;
    let id = filled(&vault).await;
    vault.tenant("frozen").await;
    let console = Console::open(&vault, "operator").await;
    // A connection's page leads here with its fields filled in.
    let connection = console.page(&format!("/connection?tenant=acme&id={id}")).await;
    let link = connection
        .split('"')
        .find(|part| part.starts_with("/policy?") && part.contains("connection="))
        .unwrap();
    let form = console.page(&link.replace("&amp;", "&")).await;
    assert!(form.contains(&format!("name=\"connection\" value=\"{id}\"")), "{form}");
    assert!(!form.contains("id=\"answer\""), "{form}");
    let ask = async |service: &str, more: &str| {
        let path =
            format!("/policy?service=spiffe%3A%2F%2Ftest.local%2F{service}&action=FetchCredential{more}");
        console.page(&path).await
    };
    let denied = ask("sync", &format!("&tenant=acme&connection={id}")).await;
    assert!(denied.contains("badge bad\">denied") && denied.contains("at <code>generic</code>"), "{denied}");
    assert!(denied.contains("no policy permits spiffe://test.local/sync FetchCredential here"), "{denied}");
    let frozen = ask("app", "&tenant=frozen&provider=shopify&owner=tenant").await;
    assert!(frozen.contains("never-for-frozen") && frozen.contains("ask the security team"), "{frozen}");
    for (more, reason) in [
        ("&tenant=acme", "FIELDS_INVALID"),
        ("&tenant=frozen&connection=none", "FIELDS_INVALID"),
        ("&tenant=acme&provider=shopify&owner=tenant&from=10.0.0.300", "FIELDS_INVALID"),
    ] {
        assert!(ask("app", more).await.contains(reason), "{more}");
    }
    // A connection of another tenant is none.
    let foreign = ask("app", &format!("&tenant=frozen&connection={id}")).await;
    assert!(foreign.contains("CONNECTION_NOT_FOUND") && !foreign.contains("at <code>generic"), "{foreign}");
}
