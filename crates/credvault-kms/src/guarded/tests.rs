//! The guard around a key manager that answers as each test wants, in time that passes only when all wait.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use credvault_crypto::{KeyManager, KeyManagerError, Opened, Reply, Versioning, WrapPlace};
use tokio::time::Instant;

use super::{GuardSettings, Guarded};

const PLACE: WrapPlace<'_> = WrapPlace { class: "tenant_key", tenant: "acme", version: 1 };

/// What the key manager does with a call.
#[derive(Clone)]
enum Act {
    Answer,
    Refuse(KeyManagerError),
    /// Does not answer, ever.
    Hang,
    /// Answers after a second.
    Dawdle,
}

/// A key manager that follows a script, and then answers at once.
#[derive(Default)]
struct Scripted {
    acts: Mutex<VecDeque<Act>>,
    calls: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripted")
    }
}

impl Scripted {
    async fn act<T>(&self, answer: T) -> Result<T, KeyManagerError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(at_once, Ordering::SeqCst);
        let act = self.acts.lock().unwrap().pop_front().unwrap_or(Act::Answer);
        let result = match act {
            Act::Answer => Ok(answer),
            Act::Refuse(error) => Err(error),
            Act::Hang => std::future::pending().await,
            Act::Dawdle => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(answer)
            }
        };
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        result
    }
}

impl KeyManager for Scripted {
    fn kind(&self) -> &'static str {
        "scripted"
    }

    fn key_name(&self) -> &str {
        "a key"
    }

    fn wrap<'a>(&'a self, _: &'a WrapPlace<'a>, plain: &'a [u8]) -> Reply<'a, Vec<u8>> {
        Box::pin(self.act(plain.to_vec()))
    }

    fn unwrap<'a>(&'a self, _: &'a WrapPlace<'a>, wrapped: &'a [u8]) -> Reply<'a, Opened> {
        Box::pin(self.act(Opened::new(wrapped.to_vec())))
    }

    fn add_version(&self) -> Reply<'_, Versioning> {
        Box::pin(self.act(Versioning::Done))
    }

    fn destroy_older_versions(&self) -> Reply<'_, Versioning> {
        Box::pin(self.act(Versioning::Done))
    }
}

fn unavailable() -> Act {
    Act::Refuse(KeyManagerError::Unavailable("scripted".to_owned()))
}

fn guarded(acts: impl IntoIterator<Item = Act>) -> (Arc<Scripted>, Guarded) {
    let inner = Arc::new(Scripted { acts: Mutex::new(acts.into_iter().collect()), ..Scripted::default() });
    (inner.clone(), Guarded::new(inner, GuardSettings::default()))
}

async fn wrap(guarded: &Guarded) -> Result<Vec<u8>, String> {
    guarded.wrap(&PLACE, b"plain").await.map_err(|error| error.to_string())
}

#[tokio::test(start_paused = true)]
async fn an_answer_passes_through() {
    let (inner, guarded) = guarded([]);
    assert_eq!((guarded.kind(), guarded.key_name()), ("scripted", "a key"));
    assert_eq!(wrap(&guarded).await.unwrap(), b"plain");
    assert_eq!(guarded.unwrap(&PLACE, b"wrapped").await.unwrap().as_slice(), b"wrapped");
    assert_eq!(guarded.add_version().await, Ok(Versioning::Done));
    assert_eq!(guarded.destroy_older_versions().await, Ok(Versioning::Done));
    assert_eq!(inner.calls.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn only_wrapping_and_unwrapping_is_repeated_and_once_and_only_where_it_may_help() {
    let (inner, guarded_once) = guarded([unavailable()]);
    wrap(&guarded_once).await.unwrap();
    assert_eq!(inner.calls.load(Ordering::SeqCst), 2);

    let (inner, guarded_twice) = guarded([unavailable(), unavailable()]);
    guarded_twice.unwrap(&PLACE, b"wrapped").await.unwrap_err();
    assert_eq!(inner.calls.load(Ordering::SeqCst), 2);

    let (inner, versions) = guarded([unavailable(), unavailable()]);
    versions.add_version().await.unwrap_err();
    versions.destroy_older_versions().await.unwrap_err();
    assert_eq!(inner.calls.load(Ordering::SeqCst), 2);

    for error in [
        KeyManagerError::Foreign,
        KeyManagerError::Denied(String::new()),
        KeyManagerError::Key(String::new()),
        KeyManagerError::Settings(String::new()),
    ] {
        let (inner, refused) = guarded([Act::Refuse(error.clone())]);
        assert_eq!(refused.wrap(&PLACE, b"plain").await, Err(error));
        assert_eq!(inner.calls.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_waits_for_the_timeout_and_no_longer() {
    let (inner, guarded) = guarded([Act::Hang]);
    let begun = Instant::now();
    let error = wrap(&guarded).await.unwrap_err();
    assert!(error.contains("has not answered in time"), "{error}");
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
    assert_eq!(inner.calls.load(Ordering::SeqCst), 1, "no time was left for a second call");
}

#[tokio::test(start_paused = true)]
async fn more_callers_than_turns_wait_and_those_that_get_none_are_refused() {
    let acts = vec![Act::Dawdle; 200];
    let (inner, guarded) = guarded(acts);
    let guarded = Arc::new(guarded);
    let begun = Instant::now();
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let guarded = guarded.clone();
            tokio::spawn(async move { wrap(&guarded).await })
        })
        .collect();
    let (mut served, mut crowded) = (0, 0);
    for caller in callers {
        match caller.await.unwrap() {
            Ok(_) => served += 1,
            Err(error) if error.contains("too many calls at once") => crowded += 1,
            Err(_) => {}
        }
    }
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
    assert_eq!(inner.most_at_once.load(Ordering::SeqCst), 32);
    assert!((32..=64).contains(&served), "{served}");
    assert!(crowded >= 4, "{crowded}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_key_manager_is_left_alone_and_then_tried_by_one() {
    let (inner, guarded) = guarded(vec![unavailable(); 6]);
    for _ in 0..3 {
        wrap(&guarded).await.unwrap_err();
    }
    let calls = || inner.calls.load(Ordering::SeqCst);
    assert_eq!(calls(), 5, "the sixth was not made: five in a row are enough");
    let error = wrap(&guarded).await.unwrap_err();
    assert!(error.contains("has not answered the last calls"), "{error}");
    assert_eq!(calls(), 5);
    tokio::time::advance(Duration::from_secs(1)).await;
    wrap(&guarded).await.unwrap_err();
    assert_eq!(calls(), 6, "one tried, in vain");
    wrap(&guarded).await.unwrap_err();
    assert_eq!(calls(), 6);
    tokio::time::advance(Duration::from_secs(1)).await;
    wrap(&guarded).await.unwrap();
    wrap(&guarded).await.unwrap();
    assert_eq!(calls(), 8);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_answers() {
    let denied = || Act::Refuse(KeyManagerError::Denied("scripted".to_owned()));
    let (inner, guarded) = guarded((0..10).map(|_| denied()));
    for _ in 0..10 {
        wrap(&guarded).await.unwrap_err();
    }
    wrap(&guarded).await.unwrap();
    assert_eq!(inner.calls.load(Ordering::SeqCst), 11);
}
