//! Work that repeats at a fixed interval, for as long as the vault runs.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// The ticks of a loop that repeats its work: `while ticks.next().await.is_some() { … }`. A loop and no callback, because a
/// future that borrows from its callback is not `Send` in the compiler's eyes.
#[derive(Debug)]
pub struct Ticks {
    interval: Interval,
    end: CancellationToken,
}

/// Ticks now and then once every `interval`, until `end`. Work that takes longer than the interval delays the next tick.
pub fn every(interval: Duration, end: &CancellationToken) -> Ticks {
    let mut interval = tokio::time::interval(interval);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Ticks { interval, end: end.clone() }
}

impl Ticks {
    /// Waits for the next tick; `None` at the end.
    pub async fn next(&mut self) -> Option<()> {
        self.end.run_until_cancelled(self.interval.tick()).await.map(drop)
    }
}
