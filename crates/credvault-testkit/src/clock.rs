//! A clock that stands still until a test moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use credvault_domain::{Clock, Timestamp};

/// A clock that stands still until a test moves it. Clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    micros: Arc<AtomicI64>,
    trusted: Arc<AtomicBool>,
}

impl ManualClock {
    /// A clock that stands at the present.
    #[expect(clippy::disallowed_methods, reason = "certificates and servers of tests live in real time")]
    pub fn at_present() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let micros = Arc::new(AtomicI64::new(i64::try_from(now.as_micros()).unwrap()));
        Self { micros, trusted: Arc::new(AtomicBool::new(true)) }
    }

    /// Moves the clock forward.
    pub fn advance(&self, duration: Duration) {
        self.micros.fetch_add(i64::try_from(duration.as_micros()).unwrap(), Ordering::SeqCst);
    }

    /// Moves the clock back.
    pub fn set_back(&self, duration: Duration) {
        self.micros.fetch_sub(i64::try_from(duration.as_micros()).unwrap(), Ordering::SeqCst);
    }

    /// Sets whether the clock counts as trusted.
    pub fn trust(&self, trusted: bool) {
        self.trusted.store(trusted, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.micros.load(Ordering::SeqCst))
    }

    fn is_trusted(&self) -> bool {
        self.trusted.load(Ordering::SeqCst)
    }
}
