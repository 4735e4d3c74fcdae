//! A guard around any key manager and any store of secrets: time-outs, a limit on calls at once, one repetition, a breaker,
//! metrics. It knows nothing of any particular one.

mod breaker;

mod key_manager;
mod secret_store;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use self::breaker::{Breaker, Change};
pub use self::key_manager::Guarded;
pub use self::secret_store::GuardedStore;

/// The pause before a call is repeated.
const REPETITION_PAUSE: Duration = Duration::from_millis(25);

/// The bounds on calls to a key manager or a store of secrets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GuardSettings {
    /// How long a caller waits at most, with everything: for its turn, for the answer, for a repetition. A call of many steps,
    /// such as one that lists, waits so long for each of them.
    pub timeout: Duration,
    /// How many calls are made at once at most.
    pub calls_at_once: NonZeroUsize,
}

impl Default for GuardSettings {
    /// Two seconds, and 32 calls at once.
    fn default() -> Self {
        Self { timeout: Duration::from_secs(2), calls_at_once: const { NonZeroUsize::new(32).unwrap() } }
    }
}

/// The guard of one key manager or store. Calls that may be repeated are repeated once if it is unavailable and time is
/// left. After five calls in a row without an answer, callers are refused at once for a second, and then one tries.
#[derive(Debug)]
struct Guard {
    peer: Peer,
    settings: GuardSettings,
    turns: Semaphore,
    breaker: Mutex<Breaker>,
}

/// What the guard stands before, for logs and metrics.
#[derive(Debug)]
enum Peer {
    KeyManager { kind: &'static str, key: String },
    SecretStore { kind: &'static str, place: String },
}

/// What a call asks for.
#[derive(Clone, Copy)]
struct Operation {
    /// The operation, as metrics name it.
    name: &'static str,
    /// Whether doing it twice is as good as doing it once.
    may_repeat: bool,
}

/// An error of what the guard stands before.
trait PeerError: Sized {
    /// The error for a call that was not made, or not answered in time.
    fn unavailable(why: &str) -> Self;

    /// The outcome, as metrics name it: `unavailable` if there was no answer, or one that says that the call cannot be served
    /// now.
    fn outcome(&self) -> &'static str;
}

tokio::task_local! {
    /// The steps of the call that the task is at.
    static STEPS: Arc<Steps>;
}

/// Until when a call waits for its next step.
#[derive(Debug)]
struct Steps {
    each: Duration,
    deadline: Mutex<Instant>,
}

impl Steps {
    fn deadline(&self) -> Instant {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer of a call; `None` if a step of it takes too long.
    async fn of<T>(each: Duration, deadline: Instant, call: impl Future<Output = T>) -> Option<T> {
        let steps = Arc::new(Self { each, deadline: Mutex::new(deadline) });
        let mut call = pin!(STEPS.scope(Arc::clone(&steps), call));
        loop {
            let until = steps.deadline();
            if let Ok(done) = timeout_at(until, &mut call).await {
                return Some(done);
            }
            if steps.deadline() <= until {
                return None;
            }
        }
    }
}

/// Says that a step of a call is done, which has more of them: the guard waits for the next one as long as for a whole call.
#[cfg_attr(
    not(any(test, feature = "google", feature = "transit")),
    allow(dead_code, reason = "other stores have no call of many steps")
)]
pub(crate) fn step_is_done() {
    // Without a guard, nothing waits.
    let _ = STEPS.try_with(|steps| {
        *steps.deadline.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + steps.each;
    });
}

/// Why a call was not made, or what came of it.
enum Failure<E> {
    /// What the guard stands before counts as unreachable.
    NotTried,
    /// There was no turn in time.
    Crowded,
    /// The call was made.
    Answer(E),
}

impl<E: PeerError> Failure<E> {
    /// The outcome, as metrics name it.
    fn name(&self) -> &'static str {
        match self {
            Self::NotTried => "not_tried",
            Self::Crowded => "crowded",
            Self::Answer(error) => error.outcome(),
        }
    }

    fn is_unavailable(&self) -> bool {
        self.name() == "unavailable"
    }

    fn into_error(self) -> E {
        match self {
            Self::NotTried => E::unavailable("it has not answered the last calls"),
            Self::Crowded => E::unavailable("there are too many calls at once"),
            Self::Answer(error) => error,
        }
    }
}

impl Peer {
    /// Counts a call that has ended, and how long it took.
    fn count(&self, operation: &'static str, outcome: &'static str, took: Duration) {
        let (Self::KeyManager { kind, .. } | Self::SecretStore { kind, .. }) = *self;
        let labels = [("kind", kind), ("operation", operation), ("outcome", outcome)];
        let seconds = took.as_secs_f64();
        match self {
            Self::KeyManager { .. } => {
                metrics::counter!("credvault_key_manager_calls_total", &labels).increment(1);
                metrics::histogram!("credvault_key_manager_seconds", "kind" => kind, "operation" => operation)
                    .record(seconds);
            }
            Self::SecretStore { .. } => {
                metrics::counter!("credvault_secret_store_calls_total", &labels).increment(1);
                metrics::histogram!("credvault_secret_store_seconds", "kind" => kind, "operation" => operation)
                    .record(seconds);
            }
        }
    }

    /// Logs that it has stopped to answer, or answers again.
    fn log(&self, change: Change) {
        match (self, change) {
            (_, Change::Same) => {}
            (Self::KeyManager { kind, key }, Change::Lost) => {
                tracing::warn!(kind, key, "the key manager does not answer");
            }
            (Self::KeyManager { kind, key }, Change::Back) => {
                tracing::info!(kind, key, "the key manager answers again");
            }
            (Self::SecretStore { kind, place }, Change::Lost) => {
                tracing::warn!(kind, place, "the secret store does not answer");
            }
            (Self::SecretStore { kind, place }, Change::Back) => {
                tracing::info!(kind, place, "the secret store answers again");
            }
        }
    }
}

impl Guard {
    fn new(peer: Peer, settings: GuardSettings) -> Self {
        let turns = Semaphore::new(settings.calls_at_once.get().min(Semaphore::MAX_PERMITS));
        Self { peer, settings, turns, breaker: Mutex::default() }
    }

    async fn call<T, E, F>(&self, operation: Operation, call: impl Fn() -> F) -> Result<T, E>
    where
        E: PeerError,
        F: Future<Output = Result<T, E>>,
    {
        let begun = Instant::now();
        let result = self.attempts(operation, begun + self.settings.timeout, call).await;
        let outcome = result.as_ref().err().map_or("ok", Failure::name);
        self.peer.count(operation.name, outcome, begun.elapsed());
        result.map_err(Failure::into_error)
    }

    async fn attempts<T, E, F>(
        &self,
        operation: Operation,
        deadline: Instant,
        call: impl Fn() -> F,
    ) -> Result<T, Failure<E>>
    where
        E: PeerError,
        F: Future<Output = Result<T, E>>,
    {
        let first = self.attempt(deadline, &call).await;
        let unavailable = first.as_ref().is_err_and(Failure::is_unavailable);
        let again = Instant::now() + REPETITION_PAUSE;
        if !unavailable || !operation.may_repeat || again >= deadline {
            return first;
        }
        tokio::time::sleep_until(again).await;
        match self.attempt(deadline, &call).await {
            // The first answer says more.
            Err(Failure::NotTried | Failure::Crowded) => first,
            second => second,
        }
    }

    async fn attempt<T, E, F>(&self, deadline: Instant, call: &impl Fn() -> F) -> Result<T, Failure<E>>
    where
        E: PeerError,
        F: Future<Output = Result<T, E>>,
    {
        // Before its turn, too: while there are no answers, callers do not queue.
        if !self.lets_through() {
            return Err(Failure::NotTried);
        }
        let turn = timeout_at(deadline, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(Failure::Crowded) };
        if !self.breaker(|breaker| breaker.admits(Instant::now(), self.settings.timeout)) {
            return Err(Failure::NotTried);
        }
        let late = || E::unavailable("it has not answered in time");
        let result = Steps::of(self.settings.timeout, deadline, call()).await;
        let result = result.unwrap_or_else(|| Err(late()));
        let result = result.map_err(Failure::Answer);
        let answered = !result.as_ref().is_err_and(Failure::is_unavailable);
        let change = self.breaker(|breaker| breaker.record(answered, Instant::now()));
        self.peer.log(change);
        result
    }

    /// Whether a call would be made now, or at least get into the queue for one.
    fn lets_through(&self) -> bool {
        self.breaker(|breaker| breaker.lets_through(Instant::now()))
    }

    fn breaker<T>(&self, act: impl FnOnce(&mut Breaker) -> T) -> T {
        act(&mut self.breaker.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
