//! No transaction is open while a provider is waited for: PostgreSQL itself is asked.

use credvault_proto::v1;
use credvault_simulator::Counts;

use crate::credential_rotation::{first_key, minter, rotate};
use crate::harness::provider::{Connected, begin, complete, connection_request, decide};
use crate::harness::{VaultBuilder, by_id, eventually};

/// Sessions of others in this database with a transaction that is open, whether at work or idle.
const OPEN: &str = "pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
    AND pid <> pg_backend_pid() AND xact_start IS NOT NULL";

/// Calls, and has the provider hold its answer back until no transaction was open. What the vault does beside that
/// opens some for a moment; one that stayed open for the provider would be there all the time.
async fn without_a_transaction(
    connected: &Connected,
    asked: fn(Counts) -> u64,
    call: impl Future<Output: Send> + Send + 'static,
) {
    let provider = &connected.provider;
    let before = asked(provider.counts());
    provider.behave(|behaviour| behaviour.hold = true);
    let call = tokio::spawn(async move { drop(call.await) });
    eventually("the provider is asked", || async { asked(provider.counts()) > before }).await;
    eventually("no transaction is open", || async { connected.vault.count(OPEN).await == 0 }).await;
    assert!(!call.is_finished(), "the provider has not answered yet");
    provider.behave(|behaviour| behaviour.hold = false);
    call.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_is_open_while_a_provider_is_waited_for() {
    let connected = minter(VaultBuilder::postgres()).await;
    let app = connected.vault.app("acme").await;
    // It would be seen.
    let open = connected.vault.blocking("SELECT 1").await;
    assert!(connected.vault.count(OPEN).await > 0);
    drop(open);

    let id = app.create(connection_request("shop-1")).await.unwrap().id;
    let parameters = decide(&begin(&app, &id, "").await.authorization_url, "shop-1", "allow").await;
    let client = app.clone();
    let consent = async move { complete(&client, &parameters, "").await.unwrap() };
    without_a_transaction(&connected, |counts| counts.exchanges, consent).await;

    let expired = connected.granted(&app, "shop-2", -60).await;
    let client = app.clone();
    let fetch = async move { client.fetch(by_id(&expired)).await.unwrap() };
    without_a_transaction(&connected, |counts| counts.refreshes, fetch).await;

    let client = app.clone();
    let request = v1::TestConnectionRequest { connection_id: id.clone() };
    let test = async move { client.connections().test_connection(request).await.unwrap() };
    without_a_transaction(&connected, |counts| counts.tests, test).await;

    let key = app.create(first_key("api_key")).await.unwrap().id;
    let client = app.clone();
    let rotation = async move { rotate(&client, &key).await.unwrap() };
    without_a_transaction(&connected, |counts| counts.mints, rotation).await;

    let request = v1::DisconnectConnectionRequest { connection_id: id, ..Default::default() };
    let revocation = async move { app.connections().disconnect_connection(request).await.unwrap() };
    without_a_transaction(&connected, |counts| counts.revocations, revocation).await;
}
