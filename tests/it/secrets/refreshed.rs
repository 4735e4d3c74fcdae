//! Tokens that a provider issues while their connection's secrets are in a store: durable first, then in the store, from
//! which a vault that starts anew refreshes them.

use credvault_proto::v1;

use crate::harness::provider::STRICT;
use crate::harness::stores::Peer;
use crate::harness::{TestVault, VaultBuilder, by_id, eventually};
use crate::on_each_store;

use super::at_length;

on_each_store![a_newer_token_lands_in_the_store_and_is_not_lost_while_that_is_away];

/// Whether the only connection's tokens of this generation are in the store.
async fn in_store(vault: &TestVault, generation: u32) -> bool {
    vault.count(&format!("tokens WHERE generation = {generation} AND payload IS NOT NULL")).await == 1
}

async fn a_newer_token_lands_in_the_store_and_is_not_lost_while_that_is_away(peer: Peer) {
    let builder = VaultBuilder::sqlite().secret_store(&peer, &peer.address(), "store = 'eu'");
    let mut connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let id = connected.granted(&app, "shop-1", -60).await;
    assert_eq!(peer.kept(), 1);
    let fetched = app.fetch(by_id(&id)).await.unwrap();
    assert!(connected.accepts(&fetched).await);
    eventually("it is in the store", || async { in_store(&connected.vault, 2).await }).await;
    assert!(peer.kept() > 1);
    assert_eq!(connected.vault.found_in(&fetched.fields["access_token"]).await, None);

    // Everything that a vault needs, it reads in the store.
    connected.vault.stop().await;
    connected.vault.start().await;
    let app = connected.vault.client("app").await.acting_for("acme", None);
    connected.chain_lives(&app, &id).await;
    eventually("the next is in the store", || async { in_store(&connected.vault, 3).await }).await;

    peer.pause();
    let refresh = v1::RefreshConnectionRequest { connection_id: id.clone() };
    app.connections().refresh_connection(refresh).await.unwrap();
    assert!(connected.accepts(&app.fetch(by_id(&id)).await.unwrap()).await);
    peer.resume();
    at_length(&connected.vault, "it is in the store", || async { in_store(&connected.vault, 4).await }).await;
    connected.chain_lives(&app, &id).await;
}
