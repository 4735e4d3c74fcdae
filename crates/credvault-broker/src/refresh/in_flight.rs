//! The refreshes that run in this process. Callers that want the same tokens share one of them, and a caller that stops
//! waiting does not stop it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use credvault_store::ConnectionKey;
use futures::future::{BoxFuture, FutureExt as _, Shared};
use tokio_util::task::TaskTracker;

use super::error::RefreshError;

/// The outcome of a refresh, for all who wait for it.
pub(super) type SharedOutcome = Shared<BoxFuture<'static, Result<(), RefreshError>>>;

/// The refreshes in flight, by connection. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct InFlight(Arc<Mutex<HashMap<ConnectionKey, SharedOutcome>>>);

impl InFlight {
    /// Joins the refresh of a connection that is in flight, or starts one as a task among `tasks`.
    pub(super) fn join_or_start<F>(
        &self,
        tasks: &TaskTracker,
        key: ConnectionKey,
        start: impl FnOnce() -> F,
    ) -> SharedOutcome
    where
        F: Future<Output = Result<(), RefreshError>> + Send + 'static,
    {
        let mut all = self.lock();
        if let Some(outcome) = all.get(&key) {
            return outcome.clone();
        }
        let (refresh, in_flight, removed) = (start(), self.clone(), key.clone());
        let task = tasks.spawn(async move {
            // Removed even if the refresh panics, or no other could start.
            let _removal = RemoveOnDrop { in_flight, key: removed };
            refresh.await
        });
        let outcome: SharedOutcome =
            async move { task.await.unwrap_or(Err(RefreshError::Store)) }.boxed().shared();
        all.insert(key, outcome.clone());
        outcome
    }

    pub(super) fn contains(&self, key: &ConnectionKey) -> bool {
        self.lock().contains_key(key)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConnectionKey, SharedOutcome>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a refresh from those in flight.
struct RemoveOnDrop {
    in_flight: InFlight,
    key: ConnectionKey,
}

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        self.in_flight.lock().remove(&self.key);
    }
}
