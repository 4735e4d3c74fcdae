//! Work that runs once in this process for all who want it. A caller that stops waiting does not stop it.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::{BoxFuture, FutureExt as _, Shared};
use tokio::task::JoinHandle;

/// The outcome of work, for all who wait for it.
pub type SharedOutcome<O> = Shared<BoxFuture<'static, O>>;

/// The work in flight, by what it is about. Cheap to clone.
pub struct InFlight<K, O>(Arc<Mutex<HashMap<K, SharedOutcome<O>>>>);

impl<K, O> Clone for InFlight<K, O> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, O> Default for InFlight<K, O> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K, O> fmt::Debug for InFlight<K, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight").finish_non_exhaustive()
    }
}

impl<K, O> InFlight<K, O>
where
    K: Clone + Eq + Hash + Send + 'static,
    O: Clone + Send + Sync + 'static,
{
    /// Joins the work about `key` that is in flight.
    pub fn join(&self, key: &K) -> Option<SharedOutcome<O>> {
        self.lock().get(key).cloned()
    }

    /// Joins the work about `key` that is in flight, or starts `work` as the task that `spawn` makes of it. `lost` is the
    /// outcome of work that panics.
    pub fn join_or_start<F>(
        &self,
        key: K,
        spawn: impl FnOnce(BoxFuture<'static, O>) -> JoinHandle<O>,
        work: F,
        lost: O,
    ) -> SharedOutcome<O>
    where
        F: Future<Output = O> + Send + 'static,
    {
        let mut all = self.lock();
        if let Some(outcome) = all.get(&key) {
            return outcome.clone();
        }
        let (in_flight, removed) = (self.clone(), key.clone());
        let task = spawn(
            async move {
                // Removed even if the work panics, or no other could start.
                let _removal = RemoveOnDrop { in_flight, key: removed };
                work.await
            }
            .boxed(),
        );
        let outcome = async move { task.await.unwrap_or(lost) }.boxed().shared();
        all.insert(key, outcome.clone());
        outcome
    }

    /// Whether work about `key` is in flight.
    pub fn contains(&self, key: &K) -> bool {
        self.lock().contains_key(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }
}

impl<K, O> InFlight<K, O> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, SharedOutcome<O>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes work from what is in flight.
struct RemoveOnDrop<K: Eq + Hash, O> {
    in_flight: InFlight<K, O>,
    key: K,
}

impl<K: Eq + Hash, O> Drop for RemoveOnDrop<K, O> {
    fn drop(&mut self) {
        self.in_flight.lock().remove(&self.key);
    }
}
