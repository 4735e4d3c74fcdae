//! Callers that fetch without a pause, and what came of each of their calls.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::harness::{Client, by_id};

/// How long a caller waits after a call that was not answered.
const PAUSE: Duration = Duration::from_millis(20);

/// A call that has ended.
pub struct Call {
    /// Which of the clients has called.
    client: usize,
    /// How long the call took.
    pub took: Duration,
    /// The id of the call's audit record, or the refusal.
    pub ended: Result<String, Status>,
}

/// Callers that fetch one credential until they are stopped.
pub struct Load {
    calls: Arc<Mutex<Vec<Call>>>,
    ends: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

struct Caller {
    number: usize,
    client: watch::Receiver<Client>,
    id: String,
    calls: Arc<Mutex<Vec<Call>>>,
    ends: Arc<AtomicBool>,
}

impl Load {
    /// Lets so many callers use each client. A client may be replaced meanwhile.
    pub fn start(clients: &[watch::Receiver<Client>], callers: usize, id: &str) -> Self {
        let mut load = Self { calls: Arc::default(), ends: Arc::default(), tasks: Vec::new() };
        for (number, client) in clients.iter().enumerate() {
            for _ in 0..callers {
                let (calls, ends) = (Arc::clone(&load.calls), Arc::clone(&load.ends));
                let caller = Caller { number, client: client.clone(), id: id.to_owned(), calls, ends };
                load.tasks.push(tokio::spawn(caller.call()));
            }
        }
        load
    }

    /// How many calls over this client were answered so far.
    pub fn answered(&self, client: usize) -> usize {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|call| call.client == client && call.ended.is_ok()).count()
    }

    /// How many calls were not answered so far.
    pub fn refused(&self) -> usize {
        self.calls.lock().unwrap().iter().filter(|call| call.ended.is_err()).count()
    }

    /// Lets each caller end its last call, and gives all that there were.
    pub async fn stop(self) -> Vec<Call> {
        self.ends.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        std::mem::take(&mut *self.calls.lock().unwrap())
    }
}

impl Caller {
    async fn call(self) {
        while !self.ends.load(Ordering::Relaxed) {
            let client = self.client.borrow().clone();
            let begun = Instant::now();
            let ended = client.vault().fetch_credential(by_id(&self.id)).await;
            let ended = ended.map(|answer| record_of(answer.metadata()));
            let (took, is_refused) = (begun.elapsed(), ended.is_err());
            self.calls.lock().unwrap().push(Call { client: self.number, took, ended });
            if is_refused {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The id of the audit record that an answer names.
pub fn record_of(metadata: &MetadataMap) -> String {
    metadata.get("credvault-audit-event-id").expect("an id").to_str().unwrap().to_owned()
}

/// Checks that each call that was answered is in a log once, and no record is in it twice.
pub fn each_is_recorded_once(calls: &[Call], records: &BTreeMap<String, usize>) {
    let answered: Vec<_> = calls.iter().filter_map(|call| call.ended.as_ref().ok()).collect();
    assert!(answered.len() > 100, "{} calls were answered", answered.len());
    for id in answered {
        assert_eq!(records.get(id), Some(&1), "{id}");
    }
    assert!(records.values().all(|times| *times == 1), "a record is in the log twice");
}
