//! What usage costs: fetches beside a load of reports, a popular credential beside many, and questions about a large tenant.
//! The vault is a process of its own on PostgreSQL. Writes `docs/benchmarks-usage.md`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot be set up has failed")]

#[path = "../tests/it"]
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports, reason = "shared with the tests")]
mod it {
    pub mod harness;
}

#[path = "usage/beside.rs"]
mod beside;
#[path = "usage/popular.rs"]
mod popular;
#[path = "usage/questions.rs"]
mod questions;

use std::time::Duration;

use credvault_testkit::Postgres;

use it::harness::{Client, Process, TestVault, VaultBuilder, by_id, generic};

/// How many credentials fetches are spread over.
const CREDENTIALS: usize = 1000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = runtime.block_on(measure());
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks-usage.md"), &report).unwrap();
}

/// A vault in a process of its own, with credentials to fetch.
struct Bench {
    vault: TestVault,
    process: Process,
    ids: Vec<String>,
    _server: Postgres,
}

impl Bench {
    async fn start() -> Self {
        // A server of its own with its defaults: every commit reaches the disk.
        let server = Postgres::start(&[]);
        let mut vault = VaultBuilder::on(server.database()).start().await;
        let app = vault.app("bench").await;
        let mut ids = Vec::new();
        for number in 0..CREDENTIALS {
            ids.push(app.create(generic(&format!("a{number}"), "CANARY")).await.unwrap().id);
        }
        vault.stop().await;
        let process = Process::serve(vault.folder.path(), &[]).unwrap();
        Self { vault, process, ids, _server: server }
    }

    /// A client on a connection of its own.
    async fn client(&self) -> Client {
        let leaf = self.vault.authority.service("spiffe://test.local/app");
        let client = Client::connect(self.process.address, self.vault.authority.pem(), Some(&leaf)).await;
        client.unwrap().acting_for("bench", None)
    }

    async fn clients(&self, count: usize) -> Vec<Client> {
        let mut clients = Vec::new();
        for _ in 0..count {
            clients.push(self.client().await);
        }
        clients
    }
}

/// The time that this share of all stayed below.
fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * share) as usize]
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// A part of the report, printed at once: the whole takes minutes.
fn shown(part: String) -> String {
    println!("{part}");
    part
}

async fn measure() -> String {
    let bench = Bench::start().await;
    let date = time::OffsetDateTime::now_utc().date();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut report = format!(
        "# Benchmark of usage\n\nFor the engineer who asks what reports and counts of usage cost. Measured by `cargo bench \
         --bench usage` on {date}, {cores} cores, Linux: the load generator, one vault process and PostgreSQL with its \
         defaults (every commit reaches the disk) share the machine, which is noisy: compare rows of one run.\n"
    );
    report += &shown(popular::measure(&bench).await);
    report += &shown(beside::measure(&bench).await);
    report += &shown(questions::measure(&bench).await);
    report
}
