//! What a fetch costs beside a bare call: a tonic echo over mTLS with the same answer, and `FetchCredential` on SQLite and
//! PostgreSQL, with 1, 8 and 64 calls in flight, in one run on loopback. Client and server share the machine, so only the
//! ratios mean something. Writes `docs/benchmarks.md`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot be set up has failed")]

#[path = "../tests/it"]
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports, reason = "shared with the tests")]
mod it {
    pub mod harness;
}

use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use credvault::proto::v1;
use credvault_testkit::{LeafSpec, Postgres};
use prost::Message as _;
use tonic::body::Body;
use tonic::server::{Grpc, UnaryService};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use it::harness::client::RawCodec;
use it::harness::provider::{Connected, STRICT};
use it::harness::{Client, Process, TestVault, by_id, generic, get, input};

const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: usize = 5;
const IN_FLIGHT: [usize; 3] = [1, 8, 64];
const FETCH: &str = "/credvault.v1.VaultService/FetchCredential";

/// Answers every call with the same bytes.
#[derive(Clone)]
struct Echo(Vec<u8>);

impl tonic::server::NamedService for Echo {
    const NAME: &'static str = "credvault.v1.VaultService";
}

impl tower::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let echo = self.clone();
        Box::pin(async move { Ok(Grpc::new(RawCodec).unary(echo, request).await) })
    }
}

impl UnaryService<Vec<u8>> for Echo {
    type Response = Vec<u8>;
    type Future = std::future::Ready<Result<Response<Vec<u8>>, Status>>;

    fn call(&mut self, _: Request<Vec<u8>>) -> Self::Future {
        std::future::ready(Ok(Response::new(self.0.clone())))
    }
}

/// Something to call, and what to send.
struct Target {
    name: &'static str,
    client: Client,
    message: Vec<u8>,
}

/// What a round measured.
#[derive(Clone, Copy)]
struct Measured {
    per_second: f64,
    median: Duration,
    p99: Duration,
}

impl Target {
    async fn round(&self, in_flight: usize, length: Duration) -> Measured {
        let begun = Instant::now();
        let workers = (0..in_flight).map(|_| {
            let (client, message) = (self.client.clone(), self.message.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while begun.elapsed() < length {
                    let call = Instant::now();
                    client.raw(FETCH, message.clone()).await.unwrap();
                    times.push(call.elapsed());
                }
                times
            })
        });
        let mut times: Vec<Duration> = Vec::new();
        for worker in workers.collect::<Vec<_>>() {
            times.extend(worker.await.unwrap());
        }
        let per_second = times.len() as f64 / begun.elapsed().as_secs_f64();
        times.sort_unstable();
        Measured { per_second, median: times[times.len() / 2], p99: times[times.len() * 99 / 100] }
    }
}

/// A credential of the size that most have: a few fields, some 600 bytes.
fn connection() -> v1::CreateConnectionRequest {
    v1::CreateConnectionRequest {
        auth_mode: "bearer".into(),
        credential: Some(input(&[("token", &"t".repeat(200)), ("account", &"a".repeat(100))])),
        ..generic("main", "")
    }
}

async fn vault_target(name: &'static str, vault: &TestVault) -> (Target, usize) {
    let client = vault.app("bench").await;
    let id = client.create(connection()).await.unwrap().id;
    let message = by_id(&id).encode_to_vec();
    let size = client.raw(FETCH, message.clone()).await.unwrap().len();
    (Target { name, client, message }, size)
}

/// The same on PostgreSQL, of a connection with a valid OAuth token.
async fn token_target(connected: &Connected) -> Target {
    let client = connected.vault.app("bench").await;
    let id = connected.granted(&client, "main", 3600).await;
    Target { name: "the same, an OAuth token", client, message: by_id(&id).encode_to_vec() }
}

async fn echo_target(vault: &TestVault, like: &Target) -> Target {
    let answer = like.client.raw(FETCH, like.message.clone()).await.unwrap();
    let server =
        LeafSpec { names: vec!["localhost".into()], ..LeafSpec::service("spiffe://test.local/echo") };
    let leaf = vault.authority.issue(&server);
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(&leaf.certificate, &leaf.key))
        .client_ca_root(Certificate::from_pem(vault.authority.pem()));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let server = Server::builder().tcp_nodelay(true).tls_config(tls).unwrap().add_service(Echo(answer));
    tokio::spawn(server.serve(address));
    let client_leaf = vault.authority.service("spiffe://test.local/app");
    let mut client = Client::connect(address, vault.authority.pem(), Some(&client_leaf)).await;
    while client.is_err() {
        tokio::task::yield_now().await;
        client = Client::connect(address, vault.authority.pem(), Some(&client_leaf)).await;
    }
    let client = client.unwrap().acting_for("bench", None);
    Target { name: "bare tonic echo", client, message: like.message.clone() }
}

fn median(mut rounds: Vec<Measured>) -> Measured {
    rounds.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    rounds[rounds.len() / 2]
}

fn micros(duration: Duration) -> String {
    format!("{} µs", duration.as_micros())
}

/// How soon the program is ready on an existing database, and what it holds while idle, in MiB.
async fn idle(vault: &TestVault) -> (Duration, f64) {
    let begun = Instant::now();
    let process = Process::serve(vault.folder.path(), &[]).unwrap();
    while get(process.admin_address, "/readyz").await.0 != 200 {
        tokio::task::yield_now().await;
    }
    let ready = begun.elapsed();
    (ready, resident_mib(process.pid()))
}

fn resident_mib(pid: rustix::process::Pid) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores of {}", model.trim_start_matches([' ', '\t', ':']))
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = runtime.block_on(measure());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks.md");
    std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).unwrap();
    std::fs::write(path, &report).unwrap();
    println!("{report}");
}

async fn measure() -> String {
    let sqlite = TestVault::sqlite().await;
    let (on_sqlite, size) = vault_target("FetchCredential, SQLite", &sqlite).await;
    let echo = echo_target(&sqlite, &on_sqlite).await;
    // A server of its own with its defaults: every commit reaches the disk.
    let server = Postgres::start(&[]);
    let mut connected = Connected::start(TestVault::prepared(Some(server.database())).await, STRICT).await;
    let (on_postgres, _) = vault_target("FetchCredential, PostgreSQL", &connected.vault).await;
    let with_token = token_target(&connected).await;
    let targets = [echo, on_sqlite, on_postgres, with_token];

    let mut report = format!(
        "# Benchmarks\n\nMeasured by `cargo bench --bench fetch` on {date} on {machine}, Linux, client and server in one \
         process on loopback. Answers of {size} bytes; policy check, decryption and a durable audit record (every commit \
         reaches the disk) are in each fetch. Medians of {ROUNDS} interleaved rounds of {} s. The machine is shared and \
         noisy: compare rows of one run, not of two.\n",
        ROUND.as_secs(),
        date = time::OffsetDateTime::now_utc().date(),
        machine = machine(),
    );
    for target in &targets {
        target.round(8, Duration::from_millis(500)).await;
    }
    for in_flight in IN_FLIGHT {
        let mut rounds = vec![Vec::new(); targets.len()];
        for _ in 0..ROUNDS {
            for (target, rounds) in targets.iter().zip(&mut rounds) {
                rounds.push(target.round(in_flight, ROUND).await);
            }
        }
        let medians: Vec<Measured> = rounds.into_iter().map(median).collect();
        let _ = write!(
            report,
            "\n## {in_flight} in flight\n\n| | calls/s | share of the echo | median | 99th percentile |\n|---|---|---|---|---|\n"
        );
        for (target, measured) in targets.iter().zip(&medians) {
            let share = measured.per_second / medians[0].per_second;
            let (p50, p99) = (micros(measured.median), micros(measured.p99));
            let _ = writeln!(
                report,
                "| {} | {:.0} | {share:.2} | {p50} | {p99} |",
                target.name, measured.per_second
            );
        }
    }
    let mut idle_vault = sqlite;
    idle_vault.stop().await;
    let (ready, resident) = idle(&idle_vault).await;
    let (ready_postgres, resident_postgres) = {
        connected.vault.stop().await;
        idle(&connected.vault).await
    };
    let _ = write!(
        report,
        "\n## At rest\n\n| | ready on an existing database | resident memory, idle |\n|---|---|---|\n\
         | SQLite | {} ms | {resident:.1} MiB |\n| PostgreSQL | {} ms | {resident_postgres:.1} MiB |\n\n\
         A fetch on PostgreSQL is one round trip to read and its share of one to record; \
         `crates/credvault-store/tests/it/postgres.rs` counts them.\n",
        ready.as_millis(),
        ready_postgres.as_millis(),
    );
    report
}
