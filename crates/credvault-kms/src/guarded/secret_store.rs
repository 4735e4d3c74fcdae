//! A store of secrets behind the guard: which of its calls may be repeated, and what its errors mean to the guard.

use std::sync::Arc;

use credvault_crypto::{AdoptedSecret, SecretStore, SecretStoreError, StoreList, StoreReply};

use super::{Guard, GuardSettings, Operation, Peer, PeerError};

/// A store may not recognise the repetition, and keep the payload twice.
const PUT: Operation = Operation { name: "put", may_repeat: false };
const GET: Operation = Operation { name: "get", may_repeat: true };
const FIND: Operation = Operation { name: "find", may_repeat: true };
const REMOVE: Operation = Operation { name: "remove", may_repeat: true };
const FORGET: Operation = Operation { name: "forget", may_repeat: true };
const LIST: Operation = Operation { name: "list", may_repeat: true };
const ADOPTED: Operation = Operation { name: "adopted", may_repeat: true };

/// A store of secrets behind a guard. All calls but [`SecretStore::put`] are repeated once if the store is unavailable and
/// time is left. After five calls in a row without an answer, callers are refused at once for a second, and then one tries.
#[derive(Debug)]
pub struct GuardedStore {
    inner: Arc<dyn SecretStore>,
    guard: Guard,
}

impl GuardedStore {
    /// Puts a guard around a store.
    pub fn new(inner: Arc<dyn SecretStore>, settings: GuardSettings) -> Self {
        let peer = Peer::SecretStore { kind: inner.kind(), place: inner.place().to_owned() };
        Self { inner, guard: Guard::new(peer, settings) }
    }
}

impl PeerError for SecretStoreError {
    fn unavailable(why: &str) -> Self {
        Self::Unavailable(why.to_owned())
    }

    fn outcome(&self) -> &'static str {
        match self {
            Self::Settings(_) => "settings",
            Self::Unavailable(_) => "unavailable",
            Self::Denied(_) => "denied",
            Self::NotFound => "not_found",
            Self::Full(_) => "full",
            Self::Unusable(_) => "unusable",
            _ => "other",
        }
    }
}

impl SecretStore for GuardedStore {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn place(&self) -> &str {
        self.inner.place()
    }

    fn most_payloads(&self) -> Option<usize> {
        self.inner.most_payloads()
    }

    fn is_asked(&self) -> bool {
        self.guard.lets_through()
    }

    fn put<'a>(&'a self, connection: &'a str, payload: &'a str, sealed: &'a [u8]) -> StoreReply<'a, String> {
        Box::pin(self.guard.call(PUT, move || self.inner.put(connection, payload, sealed)))
    }

    fn get<'a>(&'a self, reference: &'a str) -> StoreReply<'a, Vec<u8>> {
        Box::pin(self.guard.call(GET, move || self.inner.get(reference)))
    }

    fn find<'a>(&'a self, connection: &'a str, payload: &'a str) -> StoreReply<'a, Option<String>> {
        Box::pin(self.guard.call(FIND, move || self.inner.find(connection, payload)))
    }

    fn remove<'a>(&'a self, reference: &'a str) -> StoreReply<'a, ()> {
        Box::pin(self.guard.call(REMOVE, move || self.inner.remove(reference)))
    }

    fn forget<'a>(&'a self, connection: &'a str) -> StoreReply<'a, ()> {
        Box::pin(self.guard.call(FORGET, move || self.inner.forget(connection)))
    }

    fn list<'a>(&'a self, page: Option<&'a str>) -> StoreReply<'a, StoreList> {
        Box::pin(self.guard.call(LIST, move || self.inner.list(page)))
    }

    fn adopted<'a>(&'a self, name: &'a str, version: Option<&'a str>) -> StoreReply<'a, AdoptedSecret> {
        Box::pin(self.guard.call(ADOPTED, move || self.inner.adopted(name, version)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    /// A store that refuses every call in one way, and counts them.
    #[derive(Debug)]
    struct Refusing {
        with: SecretStoreError,
        calls: AtomicUsize,
    }

    impl Refusing {
        fn refuse<'a, T: Send + 'a>(&'a self) -> StoreReply<'a, T> {
            self.calls.fetch_add(1, Ordering::SeqCst);
            Box::pin(async { Err(self.with.clone()) })
        }
    }

    impl SecretStore for Refusing {
        fn kind(&self) -> &'static str {
            "refusing"
        }

        fn place(&self) -> &str {
            "a place"
        }

        fn most_payloads(&self) -> Option<usize> {
            Some(7)
        }

        fn put<'a>(&'a self, _: &'a str, _: &'a str, _: &'a [u8]) -> StoreReply<'a, String> {
            self.refuse()
        }

        fn get<'a>(&'a self, _: &'a str) -> StoreReply<'a, Vec<u8>> {
            self.refuse()
        }

        fn find<'a>(&'a self, _: &'a str, _: &'a str) -> StoreReply<'a, Option<String>> {
            self.refuse()
        }

        fn remove<'a>(&'a self, _: &'a str) -> StoreReply<'a, ()> {
            self.refuse()
        }

        fn forget<'a>(&'a self, _: &'a str) -> StoreReply<'a, ()> {
            self.refuse()
        }

        fn list<'a>(&'a self, _: Option<&'a str>) -> StoreReply<'a, StoreList> {
            self.refuse()
        }

        fn adopted<'a>(&'a self, _: &'a str, _: Option<&'a str>) -> StoreReply<'a, AdoptedSecret> {
            self.refuse()
        }
    }

    fn refusing(with: SecretStoreError) -> (Arc<Refusing>, GuardedStore) {
        let inner = Arc::new(Refusing { with, calls: AtomicUsize::new(0) });
        (inner.clone(), GuardedStore::new(inner, GuardSettings::default()))
    }

    #[tokio::test(start_paused = true)]
    async fn everything_but_putting_is_repeated_once_while_the_store_is_unavailable() {
        let unavailable = SecretStoreError::Unavailable("scripted".to_owned());
        let (inner, store) = refusing(unavailable.clone());
        assert_eq!((store.kind(), store.place(), store.most_payloads()), ("refusing", "a place", Some(7)));
        assert_eq!(store.put("a", "b", b"c").await, Err(unavailable.clone()));
        assert!(inner.calls.load(Ordering::SeqCst) == 1 && store.is_asked());
        assert_eq!(store.get("a").await, Err(unavailable.clone()));
        assert_eq!(inner.calls.load(Ordering::SeqCst), 3);
        let (inner, store) = refusing(unavailable);
        store.remove("a").await.unwrap_err();
        store.forget("a").await.unwrap_err();
        assert_eq!(inner.calls.load(Ordering::SeqCst), 4);
        let error = store.list(None).await.unwrap_err();
        assert_eq!(inner.calls.load(Ordering::SeqCst), 5, "five in a row are enough: {error}");
        assert!(!store.is_asked());
        let error = store.adopted("a", None).await.unwrap_err().to_string();
        assert!(error.contains("has not answered the last calls"), "{error}");
        assert_eq!(inner.calls.load(Ordering::SeqCst), 5);
    }

    /// A store that lists in many steps, each of which takes a while.
    #[derive(Debug)]
    struct Slow {
        steps: Vec<Duration>,
    }

    impl Slow {
        async fn list(&self) -> Result<StoreList, SecretStoreError> {
            for step in &self.steps {
                tokio::time::sleep(*step).await;
                crate::guarded::step_is_done();
            }
            Ok(StoreList::default())
        }
    }

    fn unasked<'a, T: Send + 'a>() -> StoreReply<'a, T> {
        Box::pin(async { Err(SecretStoreError::NotFound) })
    }

    impl SecretStore for Slow {
        fn kind(&self) -> &'static str {
            "slow"
        }

        fn place(&self) -> &str {
            "a place"
        }

        fn put<'a>(&'a self, _: &'a str, _: &'a str, _: &'a [u8]) -> StoreReply<'a, String> {
            unasked()
        }

        fn get<'a>(&'a self, _: &'a str) -> StoreReply<'a, Vec<u8>> {
            unasked()
        }

        fn find<'a>(&'a self, _: &'a str, _: &'a str) -> StoreReply<'a, Option<String>> {
            unasked()
        }

        fn remove<'a>(&'a self, _: &'a str) -> StoreReply<'a, ()> {
            unasked()
        }

        fn forget<'a>(&'a self, _: &'a str) -> StoreReply<'a, ()> {
            unasked()
        }

        fn list<'a>(&'a self, _: Option<&'a str>) -> StoreReply<'a, StoreList> {
            Box::pin(self.list())
        }

        fn adopted<'a>(&'a self, _: &'a str, _: Option<&'a str>) -> StoreReply<'a, AdoptedSecret> {
            unasked()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_step_of_a_call_has_the_time_of_a_call() {
        let slow = |steps: &[u64]| {
            let steps = steps.iter().copied().map(Duration::from_millis).collect();
            GuardedStore::new(Arc::new(Slow { steps }), GuardSettings::default())
        };
        let (begun, many) = (Instant::now(), slow(&[1900; 20]));
        assert_eq!(many.list(None).await, Ok(StoreList::default()));
        assert_eq!(begun.elapsed(), Duration::from_secs(38));
        let (begun, one) = (Instant::now(), slow(&[1900, 1900, 2100, 100]));
        let error = one.list(None).await.unwrap_err().to_string();
        assert!(error.contains("has not answered in time"), "{error}");
        assert_eq!(begun.elapsed(), Duration::from_millis(5800), "the third step took too long");
    }
}
