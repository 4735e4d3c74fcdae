//! Whether a key manager or a store, the peer, is worth a call now. After some calls in a row that it did not answer,
//! callers are refused at once for a while; then one of them tries.

use std::time::Duration;

use tokio::time::Instant;

/// Calls in a row without an answer after which the peer counts as unreachable.
const LIMIT: u32 = 5;
/// How long no call is made before one tries again.
const PAUSE: Duration = Duration::from_secs(1);

/// What the last calls to a peer have shown.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// Calls without an answer since the last answer.
    in_row: u32,
    /// While it is unreachable: when the next call may try.
    next_try: Option<Instant>,
}

/// What a call has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// The peer counts as before.
    Same,
    /// From now on it counts as unreachable.
    Lost,
    /// From now on it counts as reachable.
    Back,
}

impl Breaker {
    /// Whether a call could be made now. It changes nothing.
    pub(super) fn lets_through(&self, now: Instant) -> bool {
        self.next_try.is_none_or(|next| now >= next)
    }

    /// Whether a call may be made. While the peer is unreachable, the caller that gets a `true` is the one that
    /// tries; if it has shown nothing for as long as `patience`, because it was dropped, another one may.
    pub(super) fn admits(&mut self, now: Instant, patience: Duration) -> bool {
        let admits = self.lets_through(now);
        if admits && self.next_try.is_some() {
            self.next_try = Some(now + patience + PAUSE);
        }
        admits
    }

    /// Takes into account whether a call was answered, be it by a refusal.
    pub(super) fn record(&mut self, answered: bool, now: Instant) -> Change {
        if answered {
            self.in_row = 0;
            return if self.next_try.take().is_some() { Change::Back } else { Change::Same };
        }
        self.in_row = self.in_row.saturating_add(1);
        if self.in_row < LIMIT {
            return Change::Same;
        }
        let lost = self.next_try.is_none();
        self.next_try = Some(now + PAUSE);
        if lost { Change::Lost } else { Change::Same }
    }
}

#[cfg(test)]
mod tests {
    use super::{Breaker, Change, LIMIT, PAUSE};
    use std::time::Duration;
    use tokio::time::Instant;

    const PATIENCE: Duration = Duration::from_secs(2);

    #[test]
    fn after_five_failures_one_caller_tries_and_an_answer_closes_it() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for _ in 1..LIMIT {
            assert_eq!(breaker.record(false, now), Change::Same);
            assert!(breaker.admits(now, PATIENCE));
        }
        assert_eq!(breaker.record(false, now), Change::Lost);
        assert!(!breaker.admits(now + PAUSE - Duration::from_millis(1), PATIENCE));
        assert!(breaker.admits(now + PAUSE, PATIENCE), "one tries");
        assert!(!breaker.admits(now + PAUSE, PATIENCE), "and one only");
        assert_eq!(breaker.record(false, now + PAUSE), Change::Same, "it is unreachable already");
        assert!(breaker.admits(now + PAUSE * 2, PATIENCE));
        assert_eq!(breaker.record(true, now + PAUSE * 2), Change::Back);
        assert!(breaker.admits(now + PAUSE * 2, PATIENCE) && breaker.admits(now + PAUSE * 2, PATIENCE));
    }

    #[test]
    fn a_caller_that_was_dropped_while_it_tried_leaves_room_for_another() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..LIMIT {
            breaker.record(false, now);
        }
        assert!(breaker.admits(now + PAUSE, PATIENCE));
        assert!(breaker.admits(now + PAUSE + PATIENCE + PAUSE, PATIENCE));
    }
}
