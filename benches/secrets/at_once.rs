//! Many fetches at once of one connection whose secret the process has not read.

use std::time::Duration;

use futures::future::join_all;

use super::{Bench, Serving, alone, quantile, timed};

/// How many fetches there are at once.
const SIZES: [usize; 3] = [2, 8, 64];
/// How many connections are fetched so in a round, for each of these.
const EACH: usize = 8;
/// How many connections that takes, which are fetched in no other way.
pub(crate) const CONNECTIONS: usize = SIZES.len() * EACH;

/// What was measured of fetches at once, for each number of them.
#[derive(Default)]
pub(crate) struct AtOnce([Measured; SIZES.len()]);

/// Until the last of them has its secret, and the calls to the store that they took together.
#[derive(Default)]
struct Measured {
    calls: Vec<u64>,
    cold: Vec<Duration>,
    entries: Vec<Duration>,
    database: Vec<Duration>,
}

impl AtOnce {
    pub(crate) async fn round(&mut self, bench: &Bench, serving: &Serving) {
        for (index, (size, measured)) in SIZES.into_iter().zip(&mut self.0).enumerate() {
            for number in 0..EACH {
                let at = alone::FETCHES + index * EACH + number;
                let (kept, plain) = (&bench.kept[at], &bench.plain[at]);
                let read = async { drop(join_all((0..size).map(|_| bench.read(&kept.url))).await) };
                measured.entries.push(timed(read).await);
                let before = bench.calls.count();
                let fetch = (0..size).map(|_| bench.fetch(&serving.in_store, &kept.id));
                measured.cold.push(timed(async { drop(join_all(fetch).await) }).await);
                measured.calls.push(bench.calls.count() - before);
                let fetch = (0..size).map(|_| bench.fetch(&serving.in_database, plain));
                measured.database.push(timed(async { drop(join_all(fetch).await) }).await);
            }
        }
    }

    pub(crate) fn report(&self) -> String {
        let row = |(size, measured): (&usize, &Measured)| {
            let Measured { calls, cold, entries, database } = measured;
            let mut calls = calls.clone();
            calls.sort_unstable();
            let (middle, most) = (calls[calls.len() / 2], calls[calls.len() - 1]);
            let times = [cold, entries, database].map(|times| quantile(times, 0.5)).join(" | ");
            format!("| {size} | {middle}, {most} | {times} |\n")
        };
        let rows: String = SIZES.iter().zip(&self.0).map(row).collect();
        format!(
            "## At once\n\nFetches at once of one connection that the process has not fetched before, {EACH} connections in each \
             round; and as many plain reads of one entry, and fetches of one connection whose secret is in the database. Times \
             until the last has its answer, medians.\n\n\
             | at once | calls to the store, median and most | fetches | plain reads | fetches from the database |\n\
             |---|---|---|---|---|\n{rows}"
        )
    }
}
