//! The state that all requests share: behaviour, counts and ledger, behind one lock that is held briefly.

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::api_keys::ApiKeys;
use crate::behaviour::Behaviour;
use crate::client::Client;
use crate::ledger::Ledger;

/// The counts of requests and their results, since the start or the last reset.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Consents that were given in a browser.
    pub authorizations: u64,
    /// Requests to exchange a code that arrived.
    pub exchanges: u64,
    /// Requests to renew that arrived.
    pub refreshes: u64,
    /// Requests to renew that took effect.
    pub refreshes_granted: u64,
    /// Requests to renew whose answer was sent in full, as far as the simulator can know.
    pub refreshes_answered_ok: u64,
    /// The most requests to renew that were under way at once.
    pub concurrent_refreshes_max: u64,
    /// The most requests to renew that arrived within one second.
    pub refreshes_in_a_second_max: u64,
    /// Refresh tokens that came again after their time.
    pub reuses_detected: u64,
    /// Requests for the app's own tokens that arrived.
    pub client_credentials: u64,
    /// Requests with a signed assertion that arrived.
    pub assertions: u64,
    /// Arrived requests to exchange an access token for a longer-lived one.
    pub extensions: u64,
    /// Requests to revoke that arrived.
    pub revocations: u64,
    /// Requests for the account of a credential that arrived.
    pub tests: u64,
    /// Accepted deliveries of WooCommerce key pairs.
    pub keys_delivered: u64,
    /// Requests for another API key that arrived.
    pub mints: u64,
    /// API keys that were made.
    pub keys_minted: u64,
    /// Requests to revoke an API key that arrived.
    pub key_revocations: u64,
    /// API keys that were revoked.
    pub keys_revoked: u64,
    /// Clients that have registered themselves (RFC 7591).
    pub registrations: u64,
    /// Requests for the metadata that arrived.
    pub discoveries: u64,
    /// Connections that were closed before anything was read.
    pub refused_connections: u64,
}

/// A WooCommerce key pair, by its consumer key.
pub(crate) struct KeyPair {
    pub(crate) secret: String,
    pub(crate) account: String,
}

pub(crate) struct State {
    pub(crate) behaviour: Behaviour,
    pub(crate) counts: Counts,
    pub(crate) ledger: Ledger,
    pub(crate) key_pairs: HashMap<String, KeyPair>,
    pub(crate) api_keys: ApiKeys,
    /// The clients that have registered themselves, by id.
    pub(crate) clients: HashMap<String, Client>,
    /// The assertions by which clients have proved who they are, in the order in which they came.
    pub(crate) assertions: Vec<String>,
    /// The assertions that were grants, in the order in which they came.
    pub(crate) grant_assertions: Vec<String>,
    pub(crate) refreshes_under_way: u64,
    /// When the refreshes of the last second arrived.
    pub(crate) lately: VecDeque<Instant>,
}

impl State {
    fn new() -> Self {
        Self {
            behaviour: Behaviour::default(),
            counts: Counts::default(),
            ledger: Ledger::new(),
            key_pairs: HashMap::new(),
            api_keys: ApiKeys::default(),
            clients: HashMap::new(),
            assertions: Vec::new(),
            grant_assertions: Vec::new(),
            refreshes_under_way: 0,
            lately: VecDeque::new(),
        }
    }

    /// Forgets everything except the requests under way.
    pub(crate) fn reset(&mut self) {
        *self = Self { refreshes_under_way: self.refreshes_under_way, ..Self::new() };
    }

    /// Counts a refresh that arrives now.
    pub(crate) fn note_arrival(&mut self, now: Instant) {
        self.lately.push_back(now);
        while self.lately.front().is_some_and(|first| now - *first >= Duration::from_secs(1)) {
            self.lately.pop_front();
        }
        let busiest = &mut self.counts.refreshes_in_a_second_max;
        *busiest = (*busiest).max(self.lately.len() as u64);
    }

    /// Ends all grants and keys of an account.
    pub(crate) fn revoke_account(&mut self, account: &str) {
        self.ledger.revoke_account(account);
        self.key_pairs.retain(|_, pair| pair.account != account);
        self.api_keys.end_made(account);
    }
}

pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) address: SocketAddr,
    /// The wall clock's time at an instant of tokio's, from which all other times are reckoned.
    epoch: (OffsetDateTime, Instant),
    /// The simulator drops the sender when it stops.
    closing: watch::Receiver<()>,
}

impl Shared {
    #[expect(
        clippy::disallowed_methods,
        reason = "a provider lives in a time of its own, not in the vault's"
    )]
    pub(crate) fn new(address: SocketAddr, closing: watch::Receiver<()>) -> Arc<Self> {
        let epoch = (std::time::SystemTime::now().into(), Instant::now());
        Arc::new(Self { state: Mutex::new(State::new()), address, epoch, closing })
    }

    /// Reads or changes the state. Takes a closure, so that no request holds the lock across an await.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        // After a panic under the lock, at worst a count is off by one.
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        format!("http://{address}")
    }

    /// The wall clock's time at an instant.
    pub(crate) fn wall_time(&self, instant: Instant) -> OffsetDateTime {
        let (time, since) = self.epoch;
        time.saturating_add(time::Duration::try_from(instant - since).unwrap_or(time::Duration::MAX))
    }

    /// Waits; false if the simulator stopped meanwhile.
    pub(crate) async fn pause(&self, duration: Duration) -> bool {
        if duration.is_zero() {
            return true;
        }
        tokio::select! {
            () = tokio::time::sleep(duration) => true,
            () = closed(self.closing.clone()) => false,
        }
    }
}

/// Waits until the simulator stops.
pub(crate) async fn closed(mut closing: watch::Receiver<()>) {
    // Nothing is ever sent, so a change means that the sender was dropped.
    let _ = closing.changed().await;
}
