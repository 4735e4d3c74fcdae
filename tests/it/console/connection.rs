//! The page of one connection: its records without those of looking at it, and the way back from a deletion.

use credvault_proto::v1;

use super::pages::filled;
use super::{Console, overseen};
use crate::harness::VaultBuilder;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_at_a_connection_does_not_bury_its_records() {
    let vault = overseen(VaultBuilder::sqlite()).await;
    let id = filled(&vault).await;
    let console = Console::open(&vault, "operator").await;
    let path = format!("/connection?tenant=acme&id={id}");
    console.page(&path).await;
    let page = console.page(&path).await;
    assert!(page.contains("FetchCredential") && page.contains("PutCredential"), "{page}");
    assert!(!page.contains("GetConnection") && !page.contains("ListCredentialVersions"), "{page}");
    assert!(!page.contains(&format!("id={id}\">generic")), "a link to the same page: {page}");
    let all = console.page(&format!("{path}&records=all")).await;
    assert!(all.contains("GetConnection") && all.contains("ListCredentialVersions"), "{all}");
    // What the operator changes is shown.
    let tested =
        [("tenant", "acme"), ("id", id.as_str()), ("kind", "disable"), ("scope", "chosen"), ("step", "run")];
    assert_eq!(console.post("/connections/change", &tested).await.status, 200);
    assert!(console.page(&path).await.contains("UpdateConnection"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_connection_is_restored_on_its_page() {
    let vault = overseen(VaultBuilder::sqlite()).await;
    let id = filled(&vault).await;
    let app = vault.app("acme").await;
    let delete = v1::DeleteConnectionRequest { connection_id: id.clone(), ..Default::default() };
    app.connections().delete_connection(delete).await.unwrap();
    let console = Console::open(&vault, "operator").await;
    let path = format!("/connection?tenant=acme&id={id}");
    let seen = console.get(&path).await;
    for text in ["It is deleted", "version 2 of its credential", "Undelete this connection"] {
        assert!(seen.body.contains(text), "{text}: {}", seen.body);
    }
    let (etag, request_id) = (seen.hidden("etag"), seen.hidden("request_id"));
    let of =
        |etag| [("tenant", "acme"), ("id", id.as_str()), ("request_id", request_id.as_str()), ("etag", etag)];
    let stale = console.post("/connection/undelete", &of("\"0\"")).await;
    assert!(stale.status == 409 || stale.status == 400, "{}", stale.body);
    let restored = console.post("/connection/undelete", &of(&etag)).await;
    assert_eq!(restored.status, 303, "{}", restored.body);
    let page = console.page(restored.headers["location"].to_str().unwrap()).await;
    assert!(page.contains("The connection is restored") && page.contains("badge good\">connected"), "{page}");
    assert!(!page.contains("It is deleted"), "{page}");
}
