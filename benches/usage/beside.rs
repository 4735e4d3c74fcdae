//! Fetches beside a load of reports, at a fixed rate and as fast as they go.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use credvault_proto::v1;
use prost::Message as _;

use super::{Bench, by_id, median, quantile};
use crate::it::harness::Client;

const PAIRS: usize = 6;
const ROUND: Duration = Duration::from_secs(5);
const ITEMS: usize = 2500;
const ITEMS_PER_SECOND: usize = 100_000;
const IN_FLIGHT: usize = 8;
const REPORT: &str = "/credvault.v1.ConnectionService/ReportUsage";
const ENDPOINTS: [&str; 5] = ["orders", "products", "GET /v3/customers/{id}", "inventory", "returns"];

/// The items of a report over this many connections, encoded. A report is these bytes and an id.
fn items(bench: &Bench, connections: usize) -> Vec<u8> {
    let item = |number: usize| v1::UsageItem {
        connection_id: bench.ids[number % connections].clone(),
        endpoint: ENDPOINTS[number / connections % ENDPOINTS.len()].to_owned(),
        calls: 3,
        errors: number.is_multiple_of(50).into(),
        ..Default::default()
    };
    v1::ReportUsageRequest { items: (0..ITEMS).map(item).collect(), ..Default::default() }.encode_to_vec()
}

/// Sends reports at the rate until `stop` is set, and counts the items.
async fn report(clients: Vec<Client>, items: Arc<Vec<u8>>, stop: Arc<AtomicBool>, sent: Arc<AtomicU64>) {
    static ID: AtomicU64 = AtomicU64::new(1);
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(ITEMS as f64 / ITEMS_PER_SECOND as f64));
    let mut reports = tokio::task::JoinSet::new();
    for number in 0.. {
        ticks.tick().await;
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (client, items, sent) =
            (clients[number % clients.len()].clone(), Arc::clone(&items), Arc::clone(&sent));
        reports.spawn(async move {
            // Process and number: a second run on the same database has other ids.
            let id = u128::from(std::process::id()) << 64 | u128::from(ID.fetch_add(1, Ordering::Relaxed));
            let request_id = uuid::Uuid::from_u128(id).to_string();
            let id = v1::ReportUsageRequest { request_id, items: Vec::new() }.encode_to_vec();
            client.raw(REPORT, [items.as_slice(), &id].concat()).await.unwrap();
            sent.fetch_add(ITEMS as u64, Ordering::Relaxed);
        });
    }
    while let Some(done) = reports.join_next().await {
        done.unwrap();
    }
}

/// What a round of fetches measured.
struct Round {
    per_second: f64,
    median: Duration,
    p99: Duration,
}

/// Fetches for a round: as fast as they go, or so many a second.
async fn fetch(clients: &[Client], ids: &[String], rate: Option<f64>) -> Round {
    let begun = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let workers = (0..if rate.is_some() { 64 } else { IN_FLIGHT }).map(|worker| {
        let (client, ids, next) = (clients[worker % clients.len()].clone(), ids.to_vec(), Arc::clone(&next));
        tokio::spawn(async move {
            let mut times = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let planned =
                    rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(number as f64 / rate));
                if planned.max(begun.elapsed()) >= ROUND {
                    return times;
                }
                tokio::time::sleep_until((begun + planned).into()).await;
                // From the moment at which it should begin: waiting for a worker counts.
                let due = if rate.is_some() { begun + planned } else { Instant::now() };
                client.fetch(by_id(&ids[number as usize % ids.len()])).await.unwrap();
                times.push(due.elapsed());
            }
        })
    });
    let mut times = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        times.extend(worker.await.unwrap());
    }
    let per_second = times.len() as f64 / begun.elapsed().as_secs_f64();
    Round { per_second, median: quantile(&mut times, 0.5), p99: quantile(&mut times, 0.99) }
}

/// Rounds without and with reports, in turns.
struct Compared {
    without: Vec<Round>,
    with: Vec<Round>,
    items_per_second: f64,
}

async fn compare(bench: &Bench, items: Vec<u8>, rate: Option<f64>) -> Compared {
    let (fetching, reporting) = (bench.clients(4).await, bench.clients(2).await);
    let (items, mut reported) = (Arc::new(items), Vec::new());
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        without.push(fetch(&fetching, &bench.ids, rate).await);
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let begun = Instant::now();
        let load =
            tokio::spawn(report(reporting.clone(), Arc::clone(&items), Arc::clone(&stop), Arc::clone(&sent)));
        with.push(fetch(&fetching, &bench.ids, rate).await);
        stop.store(true, Ordering::Relaxed);
        load.await.unwrap();
        reported.push(sent.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64());
    }
    Compared { without, with, items_per_second: median(reported) }
}

pub(super) async fn measure(bench: &Bench) -> String {
    let warm = fetch(&bench.clients(4).await, &bench.ids, None).await;
    let half = warm.per_second / 2.0;
    let mut text = format!(
        "\n## Fetches beside reports\n\n{ITEMS_PER_SECOND} items a second, in durable reports of {ITEMS} items over 5 endpoints; \
         fetches of {} credentials at {half:.0} a second, half of what this machine does, and as fast as {IN_FLIGHT} in \
         flight go. {PAIRS} pairs of rounds of {} s in turns, without and with reports; medians. At a fixed rate, a time \
         counts from when the fetch was due.\n\n\
         | reports over | fetches | items a second | fetches a second without, with | share | median without, with | 99th percentile without, with |\n|---|---|---|---|---|---|---|\n",
        bench.ids.len(),
        ROUND.as_secs(),
    );
    for connections in [100, 1000] {
        for (name, rate) in [("fixed rate", Some(half)), ("as fast as they go", None)] {
            let Compared { without, with, items_per_second } =
                compare(bench, items(bench, connections), rate).await;
            let shares =
                without.iter().zip(&with).map(|(without, with)| with.per_second / without.per_second);
            let share = median(shares.collect());
            let of = |rounds: &[Round], of: fn(&Round) -> f64| median(rounds.iter().map(of).collect());
            let pair = |number: fn(&Round) -> f64| (of(&without, number), of(&with, number));
            let (rate, middle, p99) = (
                pair(|round| round.per_second),
                pair(|round| round.median.as_secs_f64() * 1e3),
                pair(|round| round.p99.as_secs_f64() * 1e3),
            );
            let _ = writeln!(
                text,
                "| {connections} connections | {name} | {items_per_second:.0} | {:.0}, {:.0} | {share:.2} | {:.1} ms, {:.1} ms | {:.1} ms, {:.1} ms |",
                rate.0, rate.1, middle.0, middle.1, p99.0, p99.1,
            );
        }
    }
    text
}
