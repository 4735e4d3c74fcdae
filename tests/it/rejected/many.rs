//! A thousand callers with one dead credential, on one replica and on three, and a replica that is killed while it asks.

use std::collections::BTreeSet;
use std::time::Duration;

use credvault_proto::v1::{self, RejectionOutcome as Outcome};
use rustix::process::Signal;
use tonic::Status;

use super::{outcome, reporting, with_key};
use crate::harness::provider::{Connected, STRICT, state};
use crate::harness::{Client, Process, VaultBuilder, by_id, eventually, refusal};
use crate::on_both;

/// For small machines that have other things to do.
const PATIENCE: Duration = Duration::from_secs(60);
const CALLERS: usize = 1000;

fn patient(builder: VaultBuilder) -> VaultBuilder {
    builder.store_timeouts(PATIENCE).settings(|settings, _| {
        settings.store.lock_timeout_ms = 60_000;
        settings.limits.response_bytes = 512 * 1024 * 1024;
    })
}

/// A thousand fetches at once that report the credential of this tag, over these connections.
async fn reports(clients: &[Client], id: &str, tag: &str) -> Vec<Result<v1::Credential, Status>> {
    let fetch = async |client: &Client| {
        let mut request = tonic::Request::new(reporting(id, tag));
        request.set_timeout(PATIENCE);
        Ok(client.vault().fetch_credential(request).await?.into_inner().credential.unwrap())
    };
    futures::future::join_all((0..CALLERS).map(|i| fetch(&clients[i % clients.len()]))).await
}

/// One token that does not work and one key that does not, both reported a thousand times: one call for each.
async fn one_call_each(connected: &Connected, app: &Client, clients: &[Client]) {
    let id = connected.granted(app, "shop-1", 3600).await;
    let tag = app.fetch(by_id(&id)).await.unwrap().tag;
    connected.provider.behave(|behaviour| behaviour.delay = Duration::from_millis(300));
    let answers = reports(clients, &id, &tag).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let tokens: BTreeSet<_> = answers.iter().map(|found| found.fields["access_token"].as_str()).collect();
    assert_eq!(tokens.len(), 1, "all callers have the same new token");
    let settled = |found: &v1::Credential| matches!(outcome(found), Outcome::Renewed | Outcome::Superseded);
    assert!(answers.iter().all(settled));
    assert!(connected.accepts(&answers[0]).await);
    let counts = connected.provider.counts();
    assert_eq!((counts.refreshes, counts.reuses_detected), (1, 0));

    let id = with_key(app, "key", "CANARY withdrawn").await;
    let tag = app.fetch(by_id(&id)).await.unwrap().tag;
    let asked = connected.provider.counts().tests;
    for answer in reports(clients, &id, &tag).await {
        assert_eq!(refusal(&answer.unwrap_err()), "FailedPrecondition REAUTHORIZATION_REQUIRED");
    }
    assert_eq!(connected.provider.counts().tests, asked + 1);
    assert_eq!(state(app, &id).await, (v1::ConnectionState::Error, "REAUTHORIZATION_REQUIRED".into()));
}

on_both![a_thousand_callers_make_one_call];

async fn a_thousand_callers_make_one_call(builder: VaultBuilder) {
    let connected = patient(builder).start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let mut clients = vec![app.clone()];
    for _ in 0..7 {
        clients.push(connected.vault.client("app").await.acting_for("acme", None));
    }
    one_call_each(&connected, &app, &clients).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_of_three_replicas_make_one_call() {
    let mut connected = patient(VaultBuilder::postgres()).start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let mut replicas = vec![connected.vault.instance.take().unwrap()];
    let mut clients = vec![app.clone()];
    for _ in 0..2 {
        connected.vault.start().await;
        for _ in 0..3 {
            clients.push(connected.vault.client("app").await.acting_for("acme", None));
        }
        replicas.push(connected.vault.instance.take().unwrap());
    }
    one_call_each(&connected, &app, &clients).await;
    for replica in replicas {
        replica.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_killed_while_it_asks_is_replaced_at_once() {
    let mut connected = VaultBuilder::postgres().start_with_provider(STRICT).await;
    connected.vault.tenant("acme").await;
    connected.vault.stop().await;
    connected.configure_on_disk();
    let process = Process::serve(connected.vault.folder.path(), &[]).unwrap();
    let leaf = connected.vault.authority.service("spiffe://test.local/app");
    let doomed =
        Client::connect(process.address, connected.vault.authority.pem(), Some(&leaf)).await.unwrap();
    let doomed = doomed.acting_for("acme", None);
    let id = with_key(&doomed, "key", "sim_key_shop-1").await;
    let tag = doomed.fetch(by_id(&id)).await.unwrap().tag;
    connected.provider.behave(|behaviour| behaviour.hold = true);
    let waiting = {
        let (id, tag) = (id.clone(), tag.clone());
        tokio::spawn(async move { doomed.fetch(reporting(&id, &tag)).await })
    };
    eventually("the provider is asked", || async { connected.provider.counts().tests == 1 }).await;
    process.signal(Signal::KILL);
    waiting.await.unwrap().unwrap_err();
    drop(process);
    connected.provider.behave(|behaviour| behaviour.hold = false);
    connected.vault.start().await;
    let app = connected.vault.client("app").await.acting_for("acme", None);
    // The proof that it is gone is PostgreSQL's, so neither its lease nor a pause is waited for.
    let answer = app.fetch(reporting(&id, &tag)).await.unwrap();
    assert_eq!((outcome(&answer), connected.provider.counts().tests), (Outcome::StillAccepted, 2));
}
