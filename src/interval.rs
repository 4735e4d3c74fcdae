//! The one loop for what runs at an interval: `while ticks.next().await { … }`.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Ticks at an interval until an end.
pub(crate) struct Ticks {
    interval: Interval,
    end: CancellationToken,
}

impl Ticks {
    /// The first tick is due at once, each further one a `period` after the tick before.
    pub(crate) fn every(period: Duration, end: CancellationToken) -> Self {
        let mut interval = interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { interval, end }
    }

    /// Waits for the next tick. Returns `false` at the end.
    pub(crate) async fn next(&mut self) -> bool {
        self.end.run_until_cancelled(self.interval.tick()).await.is_some()
    }

    /// Does work that the end may drop half-way. Returns `None` if it did.
    pub(crate) async fn unless_ended<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.end.run_until_cancelled(work).await
    }
}
