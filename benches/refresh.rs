//! How fast tokens are refreshed ahead of need: 100,000 connections that are due at once, against the simulator, with the
//! vault in a process of its own; and whether an app's budget holds meanwhile. Writes `docs/benchmarks-refresh.md`.
//! `CREDVAULT_BENCH_CONNECTIONS` asks for another number.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot be set up has failed")]

#[path = "../tests/it"]
#[allow(dead_code, missing_docs, unreachable_pub, unused_imports, reason = "shared with the tests")]
mod it {
    pub mod harness;
}

use std::time::{Duration, Instant};

use credvault_proto::v1;
use credvault_testkit::Postgres;
use futures::StreamExt as _;

use it::harness::provider::{Connected, STRICT, connection_request};
use it::harness::{Client, Process, VaultBuilder, input};

/// What the budget is while it is measured.
const BUDGET: u64 = 200;
const BUDGETED: u64 = 4000;

fn main() {
    let count = std::env::var("CREDVAULT_BENCH_CONNECTIONS").ok().and_then(|text| text.parse().ok());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = runtime.block_on(measure(count.unwrap_or(100_000)));
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks-refresh.md"), &report).unwrap();
    println!("{report}");
}

/// A connection with tokens, in one call.
async fn create(connected: &Connected, app: &Client, account: String) {
    let tokens = connected.provider.issue(&account, &["read"]);
    let fields =
        [("access_token", tokens.access_token.as_str()), ("refresh_token", tokens.refresh_token.as_str())];
    let expiry = v1::credential_input::Expiry::Ttl(prost_types::Duration { seconds: 7200, nanos: 0 });
    let credential = Some(v1::CredentialInput { expiry: Some(expiry), ..input(&fields) });
    app.create(v1::CreateConnectionRequest { credential, ..connection_request(&account) }).await.unwrap();
}

async fn measure(count: u64) -> String {
    // A server of its own with its defaults: every commit reaches the disk.
    let server = Postgres::start(&[]);
    let mut connected = VaultBuilder::on(server.database()).start_with_provider(STRICT).await;
    let app = connected.vault.app("bench").await;
    let creating = futures::stream::iter(0..count).map(|i| create(&connected, &app, format!("shop-{i}")));
    let begun = Instant::now();
    creating.buffer_unordered(64).collect::<()>().await;
    let created = count as f64 / begun.elapsed().as_secs_f64();
    connected.vault.stop().await;
    connected.configure_on_disk();

    let all = run(&connected, count, 0).await;
    let some = run(&connected, BUDGETED.min(count), BUDGET).await;
    assert!(some.busiest <= BUDGET, "{} within one second", some.busiest);
    let planned = BUDGET as f64 * 0.8;
    format!(
        "# Benchmark of background refreshes\n\nFor the engineer who asks how many tokens one process can refresh. Measured by \
         `cargo bench --bench refresh` on {date}, {cores} cores, Linux: PostgreSQL with its defaults (every commit reaches \
         the disk), one vault process, and a simulator that answers at once share the machine. Each refresh is a claim, a \
         call over HTTP, and a transaction that seals and stores the new tokens with its audit record. The machine is \
         shared and noisy.\n\n\
         | | |\n|---|---|\n\
         | connections that are due at once | {count} |\n\
         | refreshed per second, no budget | {rate:.0} |\n\
         | requests to the provider | {requests} (reuses of a token: {reuses}) |\n\
         | resident memory of the vault, idle | {idle:.0} MiB |\n\
         | at its highest while refreshing | {peak:.0} MiB |\n\
         | created per second before that, for comparison | {created:.0} |\n\
         | with a budget of {BUDGET} a second: refreshed per second | {paced:.0} of {planned:.0} planned |\n\
         | the most requests within one second | {busiest} |\n",
        date = time::OffsetDateTime::now_utc().date(),
        cores = std::thread::available_parallelism().map_or(0, usize::from),
        rate = all.per_second,
        requests = all.requests,
        reuses = all.reuses,
        idle = all.idle,
        peak = all.peak,
        paced = some.per_second,
        busiest = some.busiest,
    )
}

struct Run {
    per_second: f64,
    requests: u64,
    reuses: u64,
    busiest: u64,
    idle: f64,
    peak: f64,
}

/// Has `count` connections refreshed by a process of its own.
async fn run(connected: &Connected, count: u64, budget: u64) -> Run {
    let due = format!(
        "UPDATE refreshes SET due_time = 0 WHERE connection_id IN (SELECT connection_id FROM refreshes LIMIT {count})"
    );
    connected.vault.sql("UPDATE refreshes SET due_time = NULL").await;
    let setting = format!("broker.refreshes_per_second={budget}");
    let process = Process::serve(connected.vault.folder.path(), &[&setting]).unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (idle, before) = (resident_mib(process.pid()), connected.provider.counts());
    connected.provider.forget_busiest();
    connected.vault.sql(&due).await;
    let (begun, mut peak) = (Instant::now(), idle);
    while connected.provider.counts().refreshes_granted - before.refreshes_granted < count {
        tokio::time::sleep(Duration::from_millis(100)).await;
        peak = peak.max(resident_mib(process.pid()));
        assert!(begun.elapsed() < Duration::from_secs(1800), "{:?}", connected.provider.counts());
    }
    let counts = connected.provider.counts();
    Run {
        per_second: count as f64 / begun.elapsed().as_secs_f64(),
        requests: counts.refreshes - before.refreshes,
        reuses: counts.reuses_detected,
        busiest: counts.refreshes_in_a_second_max,
        idle,
        peak,
    }
}

fn resident_mib(pid: rustix::process::Pid) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}
