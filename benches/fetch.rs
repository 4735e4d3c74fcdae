//! What a fetch costs beside a bare call: a tonic echo over mTLS with the same answer, and `FetchCredential` on SQLite and
//! PostgreSQL, with 1, 8 and 64 calls in flight, in one run on loopback. Client and server share the machine, so only the
//! ratios mean something. Writes `docs/benchmarks.md`.
//!
//! With `--against EARLIER`, the path of this benchmark as another commit built it, the two are measured in turns, each in a
//! process of its own, and `docs/benchmarks-change.md` tells what became slower.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot be set up has failed")]

#[path = "../tests/it"]
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports, reason = "shared with the tests")]
mod it {
    pub mod harness;
}

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::pin::Pin;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use credvault_proto::v1;
use credvault_testkit::{LeafSpec, Postgres};
use prost::Message as _;
use tonic::body::Body;
use tonic::server::{Grpc, UnaryService};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use it::harness::client::RawCodec;
use it::harness::provider::{Connected, STRICT};
use it::harness::{Client, Process, TestVault, VaultBuilder, by_id, generic, get, input};

const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: usize = 5;
const IN_FLIGHT: [usize; 3] = [1, 8, 64];
/// Of rounds, where two builds are compared.
const PAIRS: usize = 12;
/// The calls that are measured.
const NAMES: [&str; 4] =
    ["bare tonic echo", "FetchCredential, SQLite", "FetchCredential, PostgreSQL", "the same, an OAuth token"];
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

async fn vault_target(vault: &TestVault) -> (Target, usize) {
    let client = vault.app("bench").await;
    let id = client.create(connection()).await.unwrap().id;
    let message = by_id(&id).encode_to_vec();
    let size = client.raw(FETCH, message.clone()).await.unwrap().len();
    (Target { client, message }, size)
}

/// The same on PostgreSQL, of a connection with a valid OAuth token.
async fn token_target(connected: &Connected) -> Target {
    let client = connected.vault.app("bench").await;
    let id = connected.granted(&client, "main", 3600).await;
    Target { client, message: by_id(&id).encode_to_vec() }
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
    Target { client, message: like.message.clone() }
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
    let arguments: Vec<String> = std::env::args().collect();
    let file = match arguments.iter().position(|argument| argument == "--against") {
        Some(at) => ("benchmarks-change.md", compare(&arguments[at + 1])),
        None => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            if arguments.iter().any(|argument| argument == "--on-request") {
                return runtime.block_on(on_request());
            }
            ("benchmarks.md", runtime.block_on(measure()))
        }
    };
    let (name, report) = file;
    std::fs::write(format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR")), &report).unwrap();
    println!("{report}");
}

/// What is measured, and what it stands on.
struct Bench {
    targets: [Target; 4],
    /// Of an answer, in bytes.
    size: usize,
    sqlite: TestVault,
    connected: Connected,
    _server: Postgres,
}

impl Bench {
    async fn start() -> Self {
        let sqlite = VaultBuilder::sqlite().start().await;
        let (on_sqlite, size) = vault_target(&sqlite).await;
        let echo = echo_target(&sqlite, &on_sqlite).await;
        // A server of its own with its defaults: every commit reaches the disk.
        let server = Postgres::start(&[]);
        let connected = VaultBuilder::on(server.database()).start_with_provider(STRICT).await;
        let (on_postgres, _) = vault_target(&connected.vault).await;
        let with_token = token_target(&connected).await;
        let targets = [echo, on_sqlite, on_postgres, with_token];
        for target in &targets {
            target.round(8, Duration::from_millis(500)).await;
        }
        Self { targets, size, sqlite, connected, _server: server }
    }
}

/// Runs a round for each line on standard input, which has a target's index and the calls in flight, and answers with its
/// calls a second.
async fn on_request() {
    let bench = Bench::start().await;
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let (target, in_flight) = line.split_once(' ').unwrap();
        let target = &bench.targets[target.parse::<usize>().unwrap()];
        println!("{}", target.round(in_flight.parse().unwrap(), ROUND).await.per_second);
    }
}

/// A build of this benchmark that runs rounds on request.
struct Build {
    process: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Build {
    fn start(program: &std::path::Path) -> Self {
        let mut command = Command::new(program);
        let mut process =
            command.arg("--on-request").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let ask = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        let mut build = Self { process, ask, answers };
        assert_eq!(build.answer(), "ready");
        build
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn round(&mut self, target: usize, in_flight: usize) -> f64 {
        writeln!(self.ask, "{target} {in_flight}").unwrap();
        self.answer().parse().unwrap()
    }

    fn end(self) {
        let Self { mut process, ask, .. } = self;
        drop(ask);
        assert!(process.wait().unwrap().success());
    }
}

/// Calls a second of this build as a share of those of an earlier one: the median of pairs of rounds that follow each other,
/// the earlier build first in every other pair, and the quarters around it.
fn compare(earlier: &str) -> String {
    let mut builds = [Build::start(earlier.as_ref()), Build::start(&std::env::current_exe().unwrap())];
    let mut report = format!(
        "# Fetches before and after a change\n\nFor the engineer who asks whether a change made fetches slower. Measured by \
         `cargo bench --bench fetch -- --against EARLIER` on {date} on {machine}: two builds in turns, {PAIRS} pairs of \
         rounds of {} s for each line. The share is the median over the pairs of this build's calls per second divided by \
         the earlier build's; half of the pairs lie between the quartiles. The echo contains nothing of the vault, so its \
         line shows the noise.\n\n\
         | | in flight | share | quartiles |\n|---|---|---|---|\n",
        ROUND.as_secs(),
        date = time::OffsetDateTime::now_utc().date(),
        machine = machine(),
    );
    for (target, name) in NAMES.iter().enumerate() {
        for in_flight in IN_FLIGHT {
            let mut shares: Vec<f64> = (0..PAIRS)
                .map(|pair| {
                    let mut measured = [0.0; 2];
                    for turn in [pair % 2, 1 - pair % 2] {
                        measured[turn] = builds[turn].round(target, in_flight);
                    }
                    measured[1] / measured[0]
                })
                .collect();
            shares.sort_by(f64::total_cmp);
            let [low, middle, high] = [PAIRS / 4, PAIRS / 2, PAIRS * 3 / 4].map(|at| shares[at]);
            let _ = writeln!(report, "| {name} | {in_flight} | {middle:.2} | {low:.2} to {high:.2} |");
        }
    }
    for build in builds {
        build.end();
    }
    report
}

async fn measure() -> String {
    let Bench { targets, size, sqlite, mut connected, _server } = Bench::start().await;
    let mut report = format!(
        "# Benchmarks\n\nFor the engineer who asks how fast a fetch is. Measured by `cargo bench --bench fetch` on {date} on \
         {machine}, Linux, client and server in one process on loopback. A response has {size} bytes; each fetch includes \
         the policy check, decryption and a durable audit record (every commit reaches the disk). Medians of {ROUNDS} \
         interleaved rounds of {} s. The machine is shared and noisy: compare rows of one run, not of two.\n",
        ROUND.as_secs(),
        date = time::OffsetDateTime::now_utc().date(),
        machine = machine(),
    );
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
        for (name, measured) in NAMES.iter().zip(&medians) {
            let share = measured.per_second / medians[0].per_second;
            let (p50, p99) = (micros(measured.median), micros(measured.p99));
            let _ = writeln!(report, "| {name} | {:.0} | {share:.2} | {p50} | {p99} |", measured.per_second);
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
         `crates/credvault-store/tests/it/postgres/commits.rs` counts them.\n",
        ready.as_millis(),
        ready_postgres.as_millis(),
    );
    report
}
