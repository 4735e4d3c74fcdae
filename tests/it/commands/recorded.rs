//! The commands for the audit log: a page, sums, and everything as JSON lines or CSV.

use std::collections::BTreeSet;

use credvault_proto::v1;
use serde_json::Value;

use super::Shell;
use crate::harness::{VaultBuilder, by_id, generic};

/// More records than one page of an export has.
const LISTINGS: usize = 510;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_listed_counted_and_exported() {
    let vault = VaultBuilder::sqlite().start().await;
    let shell = Shell::of(&vault).await;
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    let purpose = v1::FetchCredentialRequest { purpose: "=1+1, \"x\"".to_owned(), ..by_id(&id) };
    app.fetch(purpose).await.unwrap();
    for _ in 0..LISTINGS {
        app.connections().list_connections(v1::ListConnectionsRequest::default()).await.unwrap();
    }

    let table = shell.app(0, &["audit", "list", "--action", "CreateConnection", "--connection", &id]);
    assert!(table.contains("spiffe://test.local/app") && table.contains("ok"), "{table}");
    let page = shell.app(0, &["audit", "list", "--page-size", "2"]);
    let token = page.split("--page-token ").nth(1).unwrap().trim().trim_end_matches(')').to_owned();
    let next = shell.app(0, &["audit", "list", "--page-size", "2", "--page-token", &token]);
    assert!(next.contains("ListConnections"), "{next}");
    let none = shell.app(0, &["audit", "list", "--outcome", "denied", "--until", "2020-01-01"]);
    assert!(!none.contains("spiffe://"), "{none}");
    let sums = shell.app(0, &["audit", "summary", "--by", "action,outcome", "--provider", "generic"]);
    assert!(sums.contains("CreateConnection") && sums.contains("COUNT"), "{sums}");
    shell.app(2, &["audit", "summary"]);

    let listings = ["audit", "export", "--action", "ListConnections"];
    let lines = shell.app(0, &listings);
    let ids: BTreeSet<String> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((lines.lines().count(), ids.len()), (LISTINGS, LISTINGS));
    let table = shell.app(0, &[&listings[..], &["--format", "csv"]].concat());
    assert_eq!(table.lines().count(), LISTINGS + 1);
    assert!(table.starts_with("id,time,service,"), "{}", &table[..80]);
    // What a caller chose is no formula, and no cell of its own.
    let fetches = ["audit", "export", "--action", "FetchCredential"];
    let csv = shell.app(0, &[&fetches[..], &["--output", "csv"]].concat());
    assert!(csv.contains(r#","'=1+1, ""x""","#), "{csv}");
    assert!(shell.app(0, &fetches).contains(r#""purpose":"=1+1, \"x\"""#));

    // A name is looked up by a listing, which has its own record.
    let recent = ["audit", "list", "--since", "1h", "--connection", "generic/main"];
    let named = shell.app(0, &[&recent[..], &["--action", "FetchCredential"]].concat());
    assert!(named.contains("of the tenant acme:") && named.contains(&id), "{named}");
    let before = shell.app(0, &["audit", "list", "--until", "2d"]);
    assert!(before.contains("none of the tenant acme"), "{before}");
    assert!(shell.app(2, &["audit", "list", "--since", "soon"]).contains("90m, 1h or 2d"));
    shell.app(4, &["audit", "list", "--connection", "generic/other"]);
}
