//! Reads of external stores that are under way: all calls of this process that want the same wait for one of them, and no
//! tenant takes all turns.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use credvault_crypto::SecretStoreError;
use credvault_domain::TenantId;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use moka::sync::Cache;

use crate::Turns;

/// How many reads of one store are under way at once: less than the calls that it takes by default, so that puts find room.
pub(crate) const READS: usize = 24;
/// How long a read waits for its tenant's turn.
const TURN_TIME: Duration = Duration::from_secs(5);
/// How long it counts that a store does not have a secret, or does not give it out.
const REFUSAL: Duration = Duration::from_secs(1);
/// The most refusals that are remembered.
const REFUSALS: u64 = 10_000;

/// What is read for a tenant: the store, the reference or name in it, and the version.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Wish {
    pub(crate) tenant: TenantId,
    pub(crate) store: String,
    pub(crate) name: String,
    pub(crate) version: Option<String>,
}

type Answer<T> = Result<T, SecretStoreError>;
/// An answer, and when the store was asked for it.
type Read<T> = BoxFuture<'static, Answer<(T, Instant)>>;

/// The reads of one kind.
pub(crate) struct JoinedReads<T> {
    under_way: Mutex<HashMap<Wish, WeakShared<Read<T>>>>,
    refused: Cache<Wish, SecretStoreError>,
}

impl<T: Clone + Send + Sync + 'static> JoinedReads<T> {
    pub(crate) fn new() -> Self {
        let refused = Cache::builder().max_capacity(REFUSALS).time_to_live(REFUSAL).build();
        Self { under_way: Mutex::default(), refused }
    }

    /// The answer to a read, or to the same read of another call, and when the store was asked: for another call, that may be
    /// before this one.
    ///
    /// # Errors
    /// The store does not give it, or has not given it a moment ago.
    pub(crate) async fn read(
        &self,
        wish: Wish,
        turns: Turns,
        call: impl Future<Output = Answer<T>> + Send + 'static,
    ) -> Answer<(T, Instant)> {
        if let Some(refused) = self.refused.get(&wish) {
            return Err(refused);
        }
        let tenant = wish.tenant.clone();
        let answer = self.join(&wish, in_turn(turns, tenant, call)).await;
        if let Err(problem @ (SecretStoreError::NotFound | SecretStoreError::Denied(_))) = &answer {
            self.refused.insert(wish, problem.clone());
        }
        answer
    }

    /// The read that is under way, or else this one. It ends with the last call that waits for it.
    fn join(
        &self,
        wish: &Wish,
        call: impl Future<Output = Answer<(T, Instant)>> + Send + 'static,
    ) -> Shared<Read<T>> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let found = under_way.get(wish).and_then(WeakShared::upgrade);
        if let Some(found) = found.filter(|read| read.peek().is_none()) {
            return found;
        }
        // Those that have ended, and those whose callers have gone.
        under_way.retain(|_, read| read.upgrade().is_some());
        let read = call.boxed().shared();
        under_way.extend(read.downgrade().map(|read| (wish.clone(), read)));
        read
    }
}

async fn in_turn<T>(
    turns: Turns,
    tenant: TenantId,
    call: impl Future<Output = Answer<T>>,
) -> Answer<(T, Instant)> {
    let turn = tokio::time::timeout(TURN_TIME, turns.take(&tenant)).await;
    let late = |_| SecretStoreError::Unavailable("too many reads of it wait for their turn".to_owned());
    let _turn = turn.map_err(late)?;
    let begun = Instant::now();
    Ok((call.await?, begun))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    struct Peer {
        reads: JoinedReads<usize>,
        turns: Turns,
        calls: Arc<AtomicUsize>,
        answers: Arc<Semaphore>,
    }

    impl Peer {
        fn new() -> Self {
            let (calls, answers) = (Arc::default(), Arc::new(Semaphore::new(0)));
            Self { reads: JoinedReads::new(), turns: Turns::new(4), calls, answers }
        }

        /// A read that counts itself, waits until the peer answers, and gives how many calls there were.
        async fn read(&self, tenant: &str, name: &str, refuses: bool) -> Answer<usize> {
            let (calls, answers) = (Arc::clone(&self.calls), Arc::clone(&self.answers));
            let call = async move {
                calls.fetch_add(1, Ordering::SeqCst);
                answers.acquire().await.expect("open").forget();
                if refuses { Err(SecretStoreError::NotFound) } else { Ok(calls.load(Ordering::SeqCst)) }
            };
            let tenant = TenantId::parse(tenant).expect("an id");
            let (store, name) = ("eu".to_owned(), name.to_owned());
            let wish = Wish { tenant, store, name, version: None };
            self.reads.read(wish, self.turns.clone(), call).await.map(|(calls, _)| calls)
        }

        fn calls(&self) -> usize {
            self.calls.load(Ordering::SeqCst)
        }
    }

    #[tokio::test]
    async fn calls_that_want_the_same_wait_for_one_read() {
        let peer = Peer::new();
        let all = futures::future::join_all((0..50).map(|_| peer.read("acme", "a", false)));
        let answering = async {
            tokio::task::yield_now().await;
            peer.answers.add_permits(1);
        };
        let (all, ()) = tokio::join!(all, answering);
        assert!(all.iter().all(|answer| *answer == Ok(1)), "{all:?}");
        // What has ended is read anew.
        peer.answers.add_permits(1);
        assert_eq!(peer.read("acme", "a", false).await, Ok(2));
    }

    #[tokio::test]
    async fn a_caller_that_goes_leaves_the_read_to_the_others() {
        let peer = Peer::new();
        let mut first = Box::pin(peer.read("acme", "a", false));
        let mut second = Box::pin(peer.read("acme", "a", false));
        assert!(futures::poll!(first.as_mut()).is_pending() && futures::poll!(second.as_mut()).is_pending());
        drop(first);
        peer.answers.add_permits(1);
        assert_eq!(second.await, Ok(1));
        // When all have gone, the next one begins anew, and the turn is free.
        let mut gone = Box::pin(peer.read("acme", "a", false));
        assert!(futures::poll!(gone.as_mut()).is_pending());
        drop(gone);
        assert!(peer.turns.is_idle());
        peer.answers.add_permits(1);
        assert_eq!(peer.read("acme", "a", false).await, Ok(3));
    }

    #[tokio::test]
    async fn a_refusal_counts_for_a_moment_and_for_its_tenant() {
        let peer = Peer::new();
        peer.answers.add_permits(9);
        for _ in 0..3 {
            assert_eq!(peer.read("acme", "a", true).await, Err(SecretStoreError::NotFound));
        }
        assert_eq!(peer.calls(), 1);
        assert_eq!(peer.read("beta", "a", false).await, Ok(2));
    }

    #[tokio::test]
    async fn no_tenant_takes_all_turns() {
        let peer = Peer::new();
        let names = ["a", "b", "c", "d", "e", "f"];
        let mut greedy: Vec<_> = names.iter().map(|name| Box::pin(peer.read("acme", name, false))).collect();
        for read in &mut greedy {
            assert!(futures::poll!(read.as_mut()).is_pending());
        }
        assert_eq!(peer.calls(), 3);
        let mut other = Box::pin(peer.read("beta", "a", false));
        assert!(futures::poll!(other.as_mut()).is_pending());
        assert_eq!(peer.calls(), 4);
    }
}
