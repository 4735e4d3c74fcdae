//! What all requests share: the switches, the counts, the ledger, behind one lock that is held briefly.

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::behaviour::Behaviour;
use crate::ledger::Ledger;

/// What arrived and what came of it, since the start or the last reset.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Consents that were given in a browser.
    pub authorizations: u64,
    /// Requests to exchange a code that arrived.
    pub exchanges: u64,
    /// Requests to renew that arrived.
    pub refreshes: u64,
    /// Of those, the ones that took effect.
    pub refreshes_granted: u64,
    /// Of those, the ones whose answer was sent off in full, as far as can be known here.
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
    /// Requests to exchange an access token for one that lives longer that arrived.
    pub extensions: u64,
    /// Requests to revoke that arrived.
    pub revocations: u64,
    /// Requests to say whose credential it is that arrived.
    pub verifications: u64,
    /// WooCommerce key pairs that were handed over.
    pub handed_over: u64,
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
            refreshes_under_way: 0,
            lately: VecDeque::new(),
        }
    }

    /// Forgets everything but what is under way.
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

    /// The account's grants and keys end.
    pub(crate) fn revoke_account(&mut self, account: &str) {
        self.ledger.revoke_account(account);
        self.key_pairs.retain(|_, pair| pair.account != account);
    }
}

pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) address: SocketAddr,
    /// The wall clock's time at an instant of tokio's, from which all other times are reckoned.
    epoch: (OffsetDateTime, Instant),
    /// Its sender goes when the simulator stops.
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

    /// Looks at the state or changes it. Not across an await: that is why it takes a closure.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        // A panic under the lock leaves counts that are off by one at worst.
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
    // Nothing is ever sent: a change can only be the end of the sender.
    let _ = closing.changed().await;
}
