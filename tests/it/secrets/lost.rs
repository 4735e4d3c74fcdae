//! A payload that its store has lost: fetches say so, and it counts like any stored value that does not open.

use crate::harness::stores::Peer;
use crate::harness::{VaultBuilder, by_id, eventually, generic, refusal};

use super::{clients, lasting, versions_in};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_payload_counts_as_an_integrity_failure() {
    let Some(peer) = Peer::openbao().await else { return };
    let mut vault =
        VaultBuilder::postgres().secret_store(&peer, &peer.address(), "store = 'eu'").start().await;
    let (app, operator) = clients(&vault).await;
    let id = app.create(generic("a", "CANARY lost")).await.unwrap().id;
    eventually("it is moved", || async { versions_in(&operator, "eu").await == 1 }).await;
    peer.lose();
    // A vault that starts anew remembers nothing.
    vault.stop().await;
    vault.start().await;
    let app = lasting(&vault, "app").await.acting_for("acme", None);
    assert_eq!(refusal(&app.token(by_id(&id)).await.unwrap_err()), "DataLoss INTEGRITY_FAILURE");
    let metrics = vault.metrics().await;
    assert!(metrics.contains("credvault_integrity_failures_total{what=\"payload\"}"), "{metrics}");
}
