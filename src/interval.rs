//! The one loop for what runs at an interval.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Runs `work` every `interval`, at once for the first time, until `end`, which drops work in progress.
pub(crate) async fn every(interval: Duration, end: &CancellationToken, mut work: impl AsyncFnMut()) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while end.run_until_cancelled(ticks.tick()).await.is_some() {
        end.run_until_cancelled(work()).await;
    }
}
