//! Fetches one after the other: of secrets that the process has not read, of those that it remembers, and from the database.

use std::time::Duration;

use super::{Bench, ROUNDS, Serving, quantile, timed};

/// How many connections are fetched in a round.
pub(crate) const FETCHES: usize = 200;

/// What was measured of fetches one after the other.
#[derive(Default)]
pub(crate) struct Alone {
    entries: Vec<Duration>,
    cold: Vec<Duration>,
    warm: Vec<Duration>,
    database: Vec<Duration>,
    /// Calls to the store while secrets were fetched for the first time, and again.
    calls: [u64; 2],
}

impl Alone {
    /// Measures in turns, so that what else the machine does falls on each.
    pub(crate) async fn round(&mut self, bench: &Bench, serving: &Serving) {
        let connections = || bench.kept[..FETCHES].iter().zip(&bench.plain);
        for (kept, plain) in connections() {
            self.entries.push(timed(bench.read(&kept.url)).await);
            let before = bench.calls.count();
            self.cold.push(timed(bench.fetch(&serving.in_store, &kept.id)).await);
            self.calls[0] += bench.calls.count() - before;
            // The database has read both when they are compared.
            bench.fetch(&serving.in_database, plain).await;
        }
        for (kept, plain) in connections() {
            let before = bench.calls.count();
            self.warm.push(timed(bench.fetch(&serving.in_store, &kept.id)).await);
            self.calls[1] += bench.calls.count() - before;
            self.database.push(timed(bench.fetch(&serving.in_database, plain)).await);
        }
    }

    pub(crate) fn report(&self) -> String {
        let row = |name: &str, calls: &str, times: &[Duration]| {
            format!("| {name} | {calls} | {} | {} |\n", quantile(times, 0.5), quantile(times, 0.99))
        };
        let per_fetch = |calls: u64| format!("{:.2}", calls as f64 / (FETCHES * ROUNDS) as f64);
        [
            format!(
                "## One after the other\n\n{FETCHES} connections in each round. Each fetch has its policy check and its durable \
                 audit record, which a plain read has not.\n\n\
                 | | calls to the store, each | median | 99th percentile |\n|---|---|---|---|\n"
            ),
            row("a plain read of the entry", "1", &self.entries),
            row("a fetch, the first in its process", &per_fetch(self.calls[0]), &self.cold),
            row("a fetch, remembered", &per_fetch(self.calls[1]), &self.warm),
            row("a fetch of a secret in the database", "0", &self.database),
        ]
        .concat()
    }
}
