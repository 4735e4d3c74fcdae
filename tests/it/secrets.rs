//! Secrets in external stores, through the public API, with each kind of store: put, served, moved while they are served,
//! adopted, refreshed, erased; and what is served while a store is away, or takes a secret and its answer is lost.

mod adopted;
mod answers_lost;
mod away;
mod killed;
mod life;
mod lost;
mod refreshed;

use std::time::Duration;

use credvault_domain::Clock as _;
use credvault_proto::v1;
use credvault_testkit::LeafSpec;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::Status;

use crate::harness::stores::Peer;
use crate::harness::{Client, DOMAIN, TestVault, by_id, eventually, generic, refusal};

/// Connections of the tenant with the secret of each.
async fn filled(app: &Client, count: usize) -> Vec<(String, String)> {
    let mut kept = Vec::new();
    for number in 0..count {
        let secret = format!("CANARY {number}");
        kept.push((app.create(generic(&format!("a{number}"), &secret)).await.unwrap().id, secret));
    }
    kept
}

async fn all_served(app: &Client, kept: &[(String, String)]) {
    for (id, secret) in kept {
        assert_eq!(&app.token(by_id(id)).await.unwrap(), secret);
    }
}

/// A caller that fetches without a pause, and gets each secret each time.
struct Reading {
    stop: oneshot::Sender<()>,
    task: JoinHandle<usize>,
}

impl Reading {
    fn start(app: &Client, kept: &[(String, String)]) -> Self {
        let (stop, mut stopped) = oneshot::channel::<()>();
        let (app, kept) = (app.clone(), kept.to_vec());
        let task = tokio::spawn(async move {
            let mut reads = 0;
            while stopped.try_recv().is_err() {
                all_served(&app, &kept).await;
                reads += kept.len();
            }
            reads
        });
        Self { stop, task }
    }

    async fn end(self) {
        // If it has failed, there is no receiver any more; the task says why.
        let _ = self.stop.send(());
        assert!(self.task.await.unwrap() > 0);
    }
}

/// Moves all secrets of a tenant, and waits for the end.
async fn move_to(operator: &Client, tenant: &str, store: &str) -> Result<v1::RotationProgress, Status> {
    let request =
        v1::MoveSecretsRequest { tenant_id: tenant.into(), store: store.into(), ..Default::default() };
    let mut stream = operator.admin().move_secrets(request).await?.into_inner();
    let mut last = v1::RotationProgress::default();
    while let Some(response) = stream.message().await? {
        last = response.progress.unwrap();
    }
    Ok(last)
}

async fn places(operator: &Client) -> v1::GetSecretPlacesResponse {
    let request = v1::GetSecretPlacesRequest { tenant_id: "acme".into() };
    operator.admin().get_secret_places(request).await.unwrap().into_inner()
}

/// How many versions the tenant `acme` has in a place.
async fn versions_in(operator: &Client, name: &str) -> i64 {
    let places = places(operator).await.places;
    places.iter().find(|place| place.name == name).unwrap().versions
}

/// Nothing in the store is unknown to the vault, and nothing is missing there.
async fn assert_in_step(operator: &Client) {
    let mut request = v1::CheckSecretStoreRequest { store: "eu".into(), ..Default::default() };
    loop {
        let page = operator.admin().check_secret_store(request.clone()).await.unwrap().into_inner();
        assert_eq!((page.orphans, page.missing), (Vec::new(), Vec::new()));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return;
        }
    }
}

async fn erase(operator: &Client) {
    let erase = v1::EraseTenantRequest { tenant_id: "acme".into(), ..Default::default() };
    let asked = operator.admin().erase_tenant(erase.clone()).await.unwrap().into_inner();
    let confirm = v1::EraseTenantRequest { confirmation_token: asked.confirmation_token, ..erase };
    operator.admin().erase_tenant(confirm).await.unwrap();
}

/// A client with a certificate that outlives what the clock does here.
async fn lasting(vault: &TestVault, service: &str) -> Client {
    let spec = LeafSpec::service(&format!("spiffe://{DOMAIN}/{service}"));
    let spec = LeafSpec { ends: time::Duration::days(300), ..spec };
    vault.client_with(&vault.authority.issue(&spec)).await.unwrap()
}

/// The app of the tenant `acme`, which exists from now on, and the operator; their certificates are lasting.
async fn clients(vault: &TestVault) -> (Client, Client) {
    vault.tenant("acme").await;
    (lasting(vault, "app").await.acting_for("acme", None), lasting(vault, "operator").await)
}

/// Lets the hours pass in which what no record refers to is kept, and more. So many payloads are left then.
async fn assert_left_after_hours(vault: &TestVault, peer: &Peer, left: usize) {
    // What was put in vain counts as on its way for one of them.
    for _ in 0..4 {
        vault.clock.advance(Duration::from_secs(3700));
        let due = format!("payload_work WHERE due_time <= {}", vault.clock.now().micros());
        eventually("the queue is empty", || async { vault.count(&due).await == 0 }).await;
    }
    assert_eq!(peer.kept(), left);
}

/// Waits for what the vault tries again after a rest, whose time passes.
async fn at_length<F: Future<Output = bool>>(vault: &TestVault, what: &str, mut holds: impl FnMut() -> F) {
    eventually(what, || {
        vault.clock.advance(Duration::from_secs(1));
        holds()
    })
    .await;
}

/// A refusal because the store is away; it names the store and no secret.
fn assert_names_the_store(refused: &Status) {
    assert_eq!(refusal(refused), "Unavailable STORE_UNAVAILABLE");
    let message = refused.message();
    assert!(message.contains("secret store eu") && !message.contains("CANARY"), "{message}");
}
