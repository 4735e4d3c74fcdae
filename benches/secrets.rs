//! What a fetch costs whose secret is in an external store, the engine `kv` of an OpenBao: where the vault's process has not
//! read it before, beside plain reads of the same entries, with a proxy that counts the calls to the store; where it
//! remembers it, beside fetches from the database; and many at once of one that it has not read. The vault is a process of
//! its own on PostgreSQL. Writes `docs/benchmarks-secrets.md`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot be set up has failed")]

#[path = "../tests/it"]
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports, reason = "shared with the tests")]
mod it {
    pub mod harness;
}

#[path = "secrets/alone.rs"]
mod alone;
#[path = "secrets/at_once.rs"]
mod at_once;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use credvault_proto::v1;
use credvault_testkit::{HttpCalls, Postgres};

use alone::Alone;
use at_once::AtOnce;
use it::harness::stores::Peer;
use it::harness::{Client, Process, TestVault, VaultBuilder, by_id, eventually, generic};

/// How often all is measured, each time by a new process of the vault, which remembers nothing.
const ROUNDS: usize = 5;
/// How many connections each of the two tenants has; the last one is for warming up.
const CONNECTIONS: usize = alone::FETCHES + at_once::CONNECTIONS + 1;
/// The tenant whose secrets are in the store, and the one whose secrets are in the database.
const TENANTS: [&str; 2] = ["store", "database"];

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    // Without an OpenBao there is nothing to measure, which its start has said.
    let Some(report) = runtime.block_on(measure()) else { return };
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks-secrets.md"), &report).unwrap();
    println!("{report}");
}

/// The secret of each connection, some 600 bytes with what is around it.
fn secret() -> String {
    format!("CANARY {}", "s".repeat(580))
}

/// A connection whose secret is in the store.
struct Kept {
    id: String,
    /// Where its entry in the store is.
    url: String,
}

/// A vault that does not serve yet, its store, and what there is to fetch.
struct Bench {
    vault: TestVault,
    calls: HttpCalls,
    reader: reqwest::Client,
    token: String,
    kept: Vec<Kept>,
    plain: Vec<String>,
    secret: String,
    _peer: Peer,
    _server: Postgres,
}

/// A new process of the vault, and a client for each of the two tenants.
struct Serving {
    in_store: Client,
    in_database: Client,
    _process: Process,
}

impl Bench {
    async fn start() -> Option<Self> {
        let peer = Peer::openbao().await?;
        let Peer::OpenBao(bao) = &peer else { return None };
        // One with the vault's own policy: the root token would be let through faster.
        let token = bao.token(&["credvault"], "1h");
        let calls = HttpCalls::start(peer.port());
        // A server of its own with its defaults: every commit reaches the disk.
        let server = Postgres::start(&[]);
        let builder = VaultBuilder::on(server.database()).secret_store(&peer, &calls.address(), "");
        let mut vault = builder.start().await;
        let secret = secret();
        let [kept, plain] = filled(&vault, &secret).await;
        vault.stop().await;
        let kept = entries(&vault, kept, &calls.address());
        let reader = reqwest::Client::new();
        Some(Self { vault, calls, reader, token, kept, plain, secret, _peer: peer, _server: server })
    }

    /// Starts a process, in which nothing but its login at the store and the keys of the tenants is known.
    async fn serve(&self) -> Serving {
        let process = Process::serve(self.vault.folder.path(), &[]).unwrap();
        let leaf = self.vault.authority.service("spiffe://test.local/app");
        let client = Client::connect(process.address, self.vault.authority.pem(), Some(&leaf)).await.unwrap();
        let [in_store, in_database] = TENANTS.map(|tenant| client.acting_for(tenant, None));
        let serving = Serving { in_store, in_database, _process: process };
        for _ in 0..10 {
            self.fetch(&serving.in_store, &self.kept[CONNECTIONS - 1].id).await;
            self.fetch(&serving.in_database, &self.plain[CONNECTIONS - 1]).await;
            self.read(&self.kept[CONNECTIONS - 1].url).await;
        }
        serving
    }

    async fn fetch(&self, client: &Client, id: &str) {
        assert_eq!(client.token(by_id(id)).await.unwrap(), self.secret);
    }

    /// Reads an entry of the store, on a connection that is kept, as the vault keeps its own.
    async fn read(&self, url: &str) {
        let answer = self.reader.get(url).header("X-Vault-Token", &self.token).send().await.unwrap();
        let entry = answer.error_for_status().unwrap().bytes().await.unwrap();
        assert!(entry.len() > self.secret.len());
    }
}

/// Makes the connections of both tenants, and waits until the secrets are where they belong. Gives the ids.
async fn filled(vault: &TestVault, secret: &str) -> [Vec<String>; 2] {
    let apps = [vault.app(TENANTS[0]).await, vault.app(TENANTS[1]).await];
    let request =
        v1::MoveSecretsRequest { tenant_id: TENANTS[0].into(), store: "eu".into(), ..Default::default() };
    let operator = vault.client("operator").await;
    let mut moving = operator.admin().move_secrets(request).await.unwrap().into_inner();
    while moving.message().await.unwrap().is_some() {}
    let mut ids = [Vec::new(), Vec::new()];
    for number in 0..CONNECTIONS {
        for (app, ids) in apps.iter().zip(&mut ids) {
            ids.push(app.create(generic(&format!("a{number}"), secret)).await.unwrap().id);
        }
    }
    let all = i64::try_from(CONNECTIONS).unwrap();
    eventually("all secrets are in the store", || async {
        vault.count("credential_versions WHERE payload IS NOT NULL").await == all
    })
    .await;
    ids
}

/// The connections with their entries in the store.
fn entries(vault: &TestVault, ids: Vec<String>, address: &str) -> Vec<Kept> {
    let database = vault.database.as_ref().unwrap();
    let sql = "SELECT connection_id, reference FROM credvault.external_payloads WHERE reference IS NOT NULL";
    let references = database.psql(sql);
    let references: BTreeMap<_, _> = references.lines().map(|line| line.split_once('|').unwrap()).collect();
    let kept = |id: String| {
        let url = format!("{address}/v1/secret/data/{}", references[id.as_str()]);
        Kept { id, url }
    };
    ids.into_iter().map(kept).collect()
}

/// How long some work takes.
async fn timed(work: impl Future<Output = ()>) -> Duration {
    let begun = Instant::now();
    work.await;
    begun.elapsed()
}

/// The time that this share of all stayed below, in milliseconds.
fn quantile(times: &[Duration], share: f64) -> String {
    let mut times = times.to_vec();
    times.sort_unstable();
    let time = times[((times.len() - 1) as f64 * share) as usize];
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

async fn measure() -> Option<String> {
    let bench = Bench::start().await?;
    let (mut alone, mut at_once) = (Alone::default(), AtOnce::default());
    for _ in 0..ROUNDS {
        let serving = bench.serve().await;
        alone.round(&bench, &serving).await;
        at_once.round(&bench, &serving).await;
    }
    Some(format!(
        "# Benchmark of secret stores\n\nFor the engineer who asks what it costs to keep secrets in an external store. Measured by \
         `cargo bench --bench secrets` on {date}, {cores} cores, Linux: the load generator, one vault process, PostgreSQL with its \
         defaults (every commit reaches the disk) and an OpenBao share the machine, which is noisy: compare rows of one run. The \
         store is as near as it can be; a real one adds its distance to each call. Secrets of 587 bytes. Both the vault and the \
         plain reads reach the store through a proxy that counts requests. {ROUNDS} rounds, each with a new process of the vault, \
         which remembers nothing.\n\n{}\n{}",
        alone.report(),
        at_once.report(),
        date = time::OffsetDateTime::now_utc().date(),
        cores = std::thread::available_parallelism().map_or(0, usize::from),
    ))
}
