//! A guard around any key manager: time-outs, a limit on calls at once, one repetition, a breaker, metrics. It knows
//! nothing of any particular key manager.

mod breaker;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use credvault_crypto::{KeyManager, KeyManagerError, Opened, Reply, Versioning, WrapPlace};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use self::breaker::{Breaker, Change};

/// The pause before a call is repeated.
const REPETITION_PAUSE: Duration = Duration::from_millis(25);

/// The bounds on calls to a key manager.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GuardSettings {
    /// How long a caller waits at most, with everything: for its turn, for the answer, for a repetition.
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

/// A key manager behind a guard. Calls that wrap or unwrap are repeated once if the key manager is unavailable and time is
/// left; calls that change versions never are. After five calls in a row without an answer, callers are refused at once for
/// a second, and then one tries.
#[derive(Debug)]
pub struct Guarded {
    inner: Arc<dyn KeyManager>,
    settings: GuardSettings,
    turns: Semaphore,
    breaker: Mutex<Breaker>,
}

/// What a call asks the key manager for, as metrics name it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Wrap,
    Unwrap,
    AddVersion,
    DestroyOlderVersions,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Wrap => "wrap",
            Self::Unwrap => "unwrap",
            Self::AddVersion => "add_version",
            Self::DestroyOlderVersions => "destroy_older_versions",
        }
    }

    /// Whether doing it twice is as good as doing it once.
    fn may_repeat(self) -> bool {
        matches!(self, Self::Wrap | Self::Unwrap)
    }
}

/// Why a call was not made, or what came of it.
enum Failure {
    /// The key manager counts as unreachable.
    NotTried,
    /// There was no turn in time.
    Crowded,
    /// The call was made.
    Answer(KeyManagerError),
}

impl Failure {
    /// The outcome, as metrics name it.
    fn name(&self) -> &'static str {
        match self {
            Self::NotTried => "not_tried",
            Self::Crowded => "crowded",
            Self::Answer(KeyManagerError::Settings(_)) => "settings",
            Self::Answer(KeyManagerError::Unavailable(_)) => "unavailable",
            Self::Answer(KeyManagerError::Denied(_)) => "denied",
            Self::Answer(KeyManagerError::Key(_)) => "key",
            Self::Answer(KeyManagerError::Foreign) => "foreign",
            Self::Answer(_) => "other",
        }
    }

    fn is_unavailable(&self) -> bool {
        matches!(self, Self::Answer(KeyManagerError::Unavailable(_)))
    }
}

impl From<Failure> for KeyManagerError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotTried => Self::Unavailable("it has not answered the last calls".to_owned()),
            Failure::Crowded => Self::Unavailable("there are too many calls at once".to_owned()),
            Failure::Answer(error) => error,
        }
    }
}

impl Guarded {
    /// Puts a guard around a key manager.
    pub fn new(inner: Arc<dyn KeyManager>, settings: GuardSettings) -> Self {
        let turns = Semaphore::new(settings.calls_at_once.get().min(Semaphore::MAX_PERMITS));
        Self { inner, settings, turns, breaker: Mutex::default() }
    }

    async fn guard<T, F>(&self, operation: Operation, call: impl Fn() -> F) -> Result<T, KeyManagerError>
    where
        F: Future<Output = Result<T, KeyManagerError>>,
    {
        let begun = Instant::now();
        let result = self.attempts(operation, begun + self.settings.timeout, call).await;
        let (kind, operation) = (self.inner.kind(), operation.name());
        let outcome = result.as_ref().err().map_or("ok", Failure::name);
        let labels = [("kind", kind), ("operation", operation), ("outcome", outcome)];
        metrics::counter!("credvault_key_manager_calls_total", &labels).increment(1);
        metrics::histogram!("credvault_key_manager_seconds", "kind" => kind, "operation" => operation)
            .record(begun.elapsed().as_secs_f64());
        result.map_err(KeyManagerError::from)
    }

    async fn attempts<T, F>(
        &self,
        operation: Operation,
        deadline: Instant,
        call: impl Fn() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, KeyManagerError>>,
    {
        let first = self.attempt(deadline, &call).await;
        let unavailable = first.as_ref().is_err_and(Failure::is_unavailable);
        let again = Instant::now() + REPETITION_PAUSE;
        if !unavailable || !operation.may_repeat() || again >= deadline {
            return first;
        }
        tokio::time::sleep_until(again).await;
        match self.attempt(deadline, &call).await {
            // The first answer says more.
            Err(Failure::NotTried | Failure::Crowded) => first,
            second => second,
        }
    }

    async fn attempt<T, F>(&self, deadline: Instant, call: &impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, KeyManagerError>>,
    {
        // Before its turn, too: while the key manager is silent, callers do not queue.
        if !self.breaker(|breaker| breaker.lets_through(Instant::now())) {
            return Err(Failure::NotTried);
        }
        let turn = timeout_at(deadline, self.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(Failure::Crowded) };
        if !self.breaker(|breaker| breaker.admits(Instant::now(), self.settings.timeout)) {
            return Err(Failure::NotTried);
        }
        let late = || KeyManagerError::Unavailable("it has not answered in time".to_owned());
        let result = timeout_at(deadline, call()).await.unwrap_or_else(|_| Err(late()));
        let result = result.map_err(Failure::Answer);
        self.record(!result.as_ref().is_err_and(Failure::is_unavailable));
        result
    }

    fn record(&self, answered: bool) {
        let change = self.breaker(|breaker| breaker.record(answered, Instant::now()));
        let (kind, key) = (self.inner.kind(), self.inner.key_name());
        match change {
            Change::Same => {}
            Change::Lost => tracing::warn!(kind, key, "the key manager does not answer"),
            Change::Back => tracing::info!(kind, key, "the key manager answers again"),
        }
    }

    fn breaker<T>(&self, act: impl FnOnce(&mut Breaker) -> T) -> T {
        act(&mut self.breaker.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl KeyManager for Guarded {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn key_name(&self) -> &str {
        self.inner.key_name()
    }

    fn wrap<'a>(&'a self, place: &'a WrapPlace<'a>, plain: &'a [u8]) -> Reply<'a, Vec<u8>> {
        Box::pin(self.guard(Operation::Wrap, move || self.inner.wrap(place, plain)))
    }

    fn unwrap<'a>(&'a self, place: &'a WrapPlace<'a>, wrapped: &'a [u8]) -> Reply<'a, Opened> {
        Box::pin(self.guard(Operation::Unwrap, move || self.inner.unwrap(place, wrapped)))
    }

    fn add_version(&self) -> Reply<'_, Versioning> {
        Box::pin(self.guard(Operation::AddVersion, || self.inner.add_version()))
    }

    fn destroy_older_versions(&self) -> Reply<'_, Versioning> {
        Box::pin(self.guard(Operation::DestroyOlderVersions, || self.inner.destroy_older_versions()))
    }
}
