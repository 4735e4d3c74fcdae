//! Callers who give up, after any time: what they began ends well without them.

use std::time::Duration;

use credvault_proto::v1;
use tonic::Status;

use crate::harness::provider::{Connected, STRICT, begin, complete, connection_request, decide, state};
use crate::harness::{Client, VaultBuilder, by_id, eventually, refusal};
use crate::on_both;

/// Makes calls, each with a little more patience than the one before, until one has its answer. Each begins and ends
/// as `attempt` says, which tells whether it has been answered.
async fn with_growing_patience(mut attempt: impl AsyncFnMut(usize, Duration) -> bool) {
    let mut patience = Duration::ZERO;
    for i in 0.. {
        if attempt(i, patience).await {
            return;
        }
        patience = (patience * 3 / 2).max(patience + Duration::from_millis(1));
    }
}

/// Waits for a call for so long, and then hangs up. Whether it was answered, and well.
async fn waits<T>(patience: Duration, call: impl Future<Output = Result<T, Status>>) -> bool {
    tokio::time::timeout(patience, call).await.is_ok_and(|answer| answer.map(drop).map_err(drop) == Ok(()))
}

async fn connected(builder: VaultBuilder) -> (Connected, Client) {
    let connected = builder.start_with_provider(STRICT).await;
    connected.provider.behave(|behaviour| {
        behaviour.delay_before_effect = Duration::from_millis(10);
        behaviour.delay = Duration::from_millis(10);
    });
    let app = connected.vault.app("acme").await;
    (connected, app)
}

/// A call about a connection whose token has ended is given up; the chain lives nevertheless.
async fn gives_up(builder: VaultBuilder, call: impl AsyncFn(&Client, String) -> Result<(), Status>) {
    let (connected, app) = connected(builder).await;
    with_growing_patience(async |i, patience| {
        let id = connected.granted(&app, &format!("shop-{i}"), -60).await;
        let answered = waits(patience, call(&app, id.clone())).await;
        connected.chain_lives(&app, &id).await;
        answered
    })
    .await;
    assert!(connected.provider.families().iter().all(|family| !family.revoked));
}

on_both![a_fetch_that_needs_a_refresh, a_refresh, a_test, a_consent, a_farewell];

async fn a_fetch_that_needs_a_refresh(builder: VaultBuilder) {
    gives_up(builder, async |app, id| app.fetch(by_id(&id)).await.map(drop)).await;
}

async fn a_refresh(builder: VaultBuilder) {
    gives_up(builder, async |app, connection_id| {
        let request = v1::RefreshConnectionRequest { connection_id };
        app.connections().refresh_connection(request).await.map(drop)
    })
    .await;
}

async fn a_test(builder: VaultBuilder) {
    gives_up(builder, async |app, connection_id| {
        let request = v1::TestConnectionRequest { connection_id };
        app.connections().test_connection(request).await.map(drop)
    })
    .await;
}

async fn a_consent(builder: VaultBuilder) {
    let (connected, app) = connected(builder).await;
    with_growing_patience(async |i, patience| {
        let account = format!("shop-{i}");
        let id = app.create(connection_request(&account)).await.unwrap().id;
        let parameters = decide(&begin(&app, &id, "").await.authorization_url, &account, "allow").await;
        let answered = waits(patience, complete(&app, &parameters, "")).await;
        // The second call completes it, unless the first one does.
        if let Err(used) = complete(&app, &parameters, "").await {
            assert_eq!(refusal(&used), "FailedPrecondition STATE_INVALID");
        }
        let done = async || state(&app, &id).await.0 == v1::ConnectionState::Connected;
        eventually("the consent is completed", done).await;
        connected.chain_lives(&app, &id).await;
        assert_eq!(connected.provider.counts().exchanges, i as u64 + 1);
        answered
    })
    .await;
}

/// The code is spent at the provider, its caller has gone, and then the vault stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_that_stops_ends_what_its_callers_began() {
    let mut connected = VaultBuilder::sqlite().start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let id = app.create(connection_request("shop")).await.unwrap().id;
    let parameters = decide(&begin(&app, &id, "").await.authorization_url, "shop", "allow").await;
    connected.provider.behave(|behaviour| behaviour.delay = Duration::from_secs(2));
    {
        let completing = std::pin::pin!(complete(&app, &parameters, ""));
        let exchanged = std::pin::pin!(eventually("the code is spent", || async {
            connected.provider.counts().exchanges == 1
        }));
        assert!(matches!(
            futures::future::select(completing, exchanged).await,
            futures::future::Either::Right(_)
        ));
    }
    connected.vault.instance.take().unwrap().stop().await;
    connected.provider.behave(|behaviour| behaviour.delay = Duration::ZERO);
    connected.vault.start().await;
    let app = connected.vault.app("acme").await;
    assert_eq!(state(&app, &id).await.0, v1::ConnectionState::Connected);
    connected.chain_lives(&app, &id).await;
}

async fn a_farewell(builder: VaultBuilder) {
    let (connected, app) = connected(builder).await;
    with_growing_patience(async |i, patience| {
        let id = connected.granted(&app, &format!("shop-{i}"), 3600).await;
        let disconnect = async || {
            let request = v1::DisconnectConnectionRequest { connection_id: id.clone(), ..Default::default() };
            app.connections().disconnect_connection(request).await
        };
        let answered = waits(patience, disconnect()).await;
        disconnect().await.unwrap();
        let told = async || {
            let request = v1::GetConnectionRequest { connection_id: id.clone() };
            let connection =
                app.connections().get_connection(request).await.unwrap().into_inner().connection.unwrap();
            connection.state() == v1::ConnectionState::Disconnected
                && connection.revocation() == v1::Revocation::Done
        };
        eventually("the provider is told", told).await;
        assert!(connected.provider.families().iter().all(|family| family.revoked));
        assert_eq!(refusal(&app.fetch(by_id(&id)).await.unwrap_err()), "NotFound CREDENTIAL_NOT_CONFIGURED");
        answered
    })
    .await;
}
