//! Many fetches at once: all of one credential, or each of another.

use std::time::{Duration, Instant};

use super::{Bench, CREDENTIALS, by_id, quantile};

const ROUNDS: usize = 20;
const CLIENTS: usize = 10;

pub(super) async fn measure(bench: &Bench) -> String {
    let clients = bench.clients(CLIENTS).await;
    let (mut spread, mut one) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        for (popular, times) in [(false, &mut spread), (true, &mut one)] {
            let fetches = (0..CREDENTIALS).map(|number| {
                let client = clients[number % CLIENTS].clone();
                let id = bench.ids[if popular { 0 } else { number }].clone();
                tokio::spawn(async move {
                    let begun = Instant::now();
                    client.fetch(by_id(&id)).await.unwrap();
                    begun.elapsed()
                })
            });
            let fetches: Vec<_> = fetches.collect();
            let mut of_round: Vec<Duration> = Vec::new();
            for fetch in fetches {
                of_round.push(fetch.await.unwrap());
            }
            // The first round warms up.
            if round > 0 {
                times.append(&mut of_round);
            }
        }
    }
    let row = |name: &str, times: &mut Vec<Duration>| {
        let (middle, p99) = (quantile(times, 0.5), quantile(times, 0.99));
        let text = format!("| {name} | {} ms | {} ms |\n", middle.as_millis(), p99.as_millis());
        (text, p99.as_secs_f64())
    };
    let (spread, spread_p99) = row("each of another credential", &mut spread);
    let (one, one_p99) = row("all of one credential", &mut one);
    format!(
        "\n## A popular credential\n\n{CREDENTIALS} fetches at once on {CLIENTS} connections, {ROUNDS} rounds in turns. Each \
         fetch counts in memory, so a popular credential has no row that its fetches wait for.\n\n\
         | fetches | median | 99th percentile |\n|---|---|---|\n{spread}{one}\n\
         The 99th percentile of one credential is {:.2} times that of many.\n",
        one_p99 / spread_p99,
    )
}
