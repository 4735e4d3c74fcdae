//! What an audit record costs the database: CPU of PostgreSQL's processes for each record, at many calls in flight over few and
//! many tenants, with the sequencer at work; beside it the way of earlier releases, a row for each record. The same with a
//! slow disk, how fast records come into their logs, and how many bytes they take. Writes `docs/benchmarks-audit.md`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot be set up has failed")]

#[path = "audit/rows.rs"]
mod rows;
#[path = "audit/server.rs"]
mod server;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use credvault_domain::{
    Action, AuditEvent, ConnectionId, Permit, ProviderId, Reach, ServiceId, TenantId, TenantScope,
    TenantSource, TraceId, UserId,
};
use credvault_store::{Store, Write};

use server::Server;

/// How long each load lasts.
const LOAD: Duration = Duration::from_secs(5);
const TENANTS: [usize; 3] = [1, 64, 5_000];
const IN_FLIGHT: [usize; 2] = [64, 512];
/// How much longer a commit takes with the slow disk.
const SLOW_COMMIT: Duration = Duration::from_millis(3);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = runtime.block_on(measure());
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks-audit.md"), &report).unwrap();
}

/// What a load has done.
struct Measured {
    records: u64,
    /// How many of them were in their logs when the load ended.
    sequenced: u64,
    /// The time of the load.
    took: Duration,
    /// The time until all were in their logs.
    whole: Duration,
    /// What the database's processes have used until then.
    cpu: Duration,
}

impl Measured {
    fn cpu_of_record(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.records.max(1) as f64
    }

    fn a_second(&self) -> f64 {
        self.records as f64 / self.took.as_secs_f64()
    }
}

#[expect(clippy::disallowed_methods, reason = "there is no policy and no identity here to ask")]
fn permit_and_scope(tenant: &TenantId) -> (Permit, TenantScope) {
    let permit = Permit::assume_permitted(vec!["sync-reads".to_owned()]);
    (permit, TenantScope::assume_verified(tenant.clone(), Reach::AllUsers))
}

/// The record of a fetch as services make them.
pub(crate) fn event(tenant: &TenantId, number: u64) -> AuditEvent {
    AuditEvent {
        service: Some(ServiceId::parse("spiffe://example.org/ns/prod/sa/sync").unwrap()),
        user: Some(UserId::parse(&format!("user_{}", number % 1000)).unwrap()),
        tenant_source: TenantSource::Token,
        connection: Some(ConnectionId::from_uuid(uuid::Uuid::from_u128(u128::from(number % 500)))),
        provider: Some(ProviderId::parse("shopify").unwrap()),
        version: Some(3),
        policies: vec!["sync-reads".to_owned()],
        trace: TraceId::from_bytes([9; 16]),
        source_address: Some([192, 0, 2, 7].into()),
        ..AuditEvent::of(tenant.clone(), Action::FetchCredential)
    }
}

async fn tenants(store: &Store, count: usize) -> Vec<TenantId> {
    let mut tenants = Vec::with_capacity(count);
    for number in 0..count {
        let tenant = TenantId::parse(&format!("t{number}")).unwrap();
        let (permit, scope) = permit_and_scope(&tenant);
        let write = Write::new(&permit, AuditEvent::of(tenant.clone(), Action::CreateTenant), None);
        match store.tenants().create(&scope, "", &write).await {
            Ok(_) | Err(credvault_store::Error::TenantExists(_)) => tenants.push(tenant),
            Err(error) => panic!("{error}"),
        }
    }
    tenants
}

/// Records with so many calls in flight, while the sequencer works, and waits until all are in their logs.
async fn load(server: &Server, store: &Store, tenants: &[TenantId], in_flight: usize) -> Measured {
    let (ends, drained) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (records, sequenced) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let sequencing = tokio::spawn(sequence(store.clone(), Arc::clone(&sequenced), Arc::clone(&drained)));
    let (cpu, begun) = (server.cpu(), Instant::now());
    let mut calls = Vec::new();
    for call in 0..in_flight {
        let (store, tenants) = (store.clone(), tenants.to_vec());
        let (ends, records) = (Arc::clone(&ends), Arc::clone(&records));
        calls.push(tokio::spawn(async move {
            let mut number = call as u64 * 7919;
            while !ends.load(Ordering::Relaxed) {
                let tenant = &tenants[number as usize % tenants.len()];
                let (permit, _) = permit_and_scope(tenant);
                store.audit().record(&permit, event(tenant, number), ()).await.unwrap().into_inner();
                records.fetch_add(1, Ordering::Relaxed);
                number += 1;
            }
        }));
    }
    tokio::time::sleep(LOAD).await;
    ends.store(true, Ordering::Relaxed);
    futures::future::join_all(calls).await;
    let (took, during) = (begun.elapsed(), sequenced.load(Ordering::Relaxed));
    drained.store(true, Ordering::Relaxed);
    sequencing.await.unwrap();
    Measured {
        records: records.load(Ordering::Relaxed),
        sequenced: during,
        took,
        whole: begun.elapsed(),
        cpu: server.cpu() - cpu,
    }
}

/// Sequences as the job of a vault does, until nothing waits after `drained`.
async fn sequence(store: Store, sequenced: Arc<AtomicU64>, drained: Arc<AtomicBool>) {
    let mut sequencer = store.sequencer();
    loop {
        let is_over = drained.load(Ordering::Relaxed);
        let done = sequencer.round().await.unwrap();
        sequenced.fetch_add(done.records, Ordering::Relaxed);
        if is_over && sequencer.holds() && done.records == 0 && !done.more {
            sequencer.stop().await;
            return;
        }
        if !done.more {
            tokio::time::sleep(Duration::from_millis(if is_over { 10 } else { 500 })).await;
        }
    }
}

async fn measure() -> String {
    let server = Server::start().await;
    let store = server.store().await;
    let date = time::OffsetDateTime::now_utc().date();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut report = format!(
        "# Benchmark of audit records\n\nFor the engineer who asks what a record costs. Measured by `cargo bench --bench audit` \
         on {date}, {cores} cores, Linux: the load and PostgreSQL with its defaults (every commit reaches the disk) share the \
         machine, which is noisy: compare rows of one run.\n\nCPU is that of all of PostgreSQL's processes, until every record is \
         in its tenant's log.\n\n| tenants | calls in flight | records a second | sequenced a second | CPU per record | a row for \
         each record, as in earlier releases |\n|---|---|---|---|---|---|\n"
    );
    for count in TENANTS {
        let tenants = tenants(&store, count).await;
        for in_flight in IN_FLIGHT {
            let measured = load(&server, &store, &tenants, in_flight).await;
            let (journal, earlier) =
                (measured.cpu_of_record(), rows::cpu_of_record(&server, &tenants, in_flight.min(256)).await);
            let row = format!(
                "| {count} | {in_flight} | {:.0} | {:.0} | {journal:.1} us | {earlier:.1} us |",
                measured.a_second(),
                measured.sequenced as f64 / measured.took.as_secs_f64()
            );
            println!("{row} all in their logs after {:.1} s", measured.whole.as_secs_f64());
            writeln!(report, "{row}").unwrap();
        }
    }
    report += &slow_disk(&server, &store).await;
    report += &server.bytes().await;
    store.close().await;
    report
}

async fn slow_disk(server: &Server, store: &Store) -> String {
    let tenants = tenants(store, 64).await;
    let usual = load(server, store, &tenants, 512).await;
    server.delay_commits(SLOW_COMMIT).await;
    let slow = load(server, store, &tenants, 512).await;
    server.delay_commits(Duration::ZERO).await;
    let part = format!(
        "\n**A slow disk.** With 512 calls in flight, {:.0} records a second; with {} ms more for each commit, {:.0}: {:.0} % of \
         it.\n",
        usual.a_second(),
        SLOW_COMMIT.as_millis(),
        slow.a_second(),
        100.0 * slow.a_second() / usual.a_second()
    );
    println!("{part}");
    part
}
