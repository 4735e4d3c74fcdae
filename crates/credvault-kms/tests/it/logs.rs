//! All that this process logs, at the most detailed level, dependencies included.

use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};

use credvault_testkit::CANARY;
use tracing_subscriber::filter::LevelFilter;

/// The canary in base64, as what is wrapped begins with it.
const CANARY_IN_BASE64: &str = "Q0FOQVJZ";

/// What the log begins with.
const FIRST_LINE: &str = "all that follows is kept";

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Prepares this process: from now on all log lines are kept, and TLS has its provider.
pub(crate) fn start() {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(|| Lines);
        subscriber.with_max_level(LevelFilter::TRACE).init();
        tracing::trace!("{FIRST_LINE}");
    });
}

/// Fails if a text shows a secret of a test.
pub(crate) fn assert_no_canary(text: &str) {
    for canary in [CANARY, CANARY_IN_BASE64] {
        if let Some(at) = text.find(canary) {
            let mut from = at.saturating_sub(300);
            while !text.is_char_boundary(from) {
                from -= 1;
            }
            panic!("a secret shows: {}", &text[from..at]);
        }
    }
}

/// Fails if the log shows a secret: a canary or one of these.
pub(crate) fn assert_nothing_secret(secrets: &[&str]) {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let lines = String::from_utf8_lossy(&lines);
    assert!(lines.contains(FIRST_LINE), "the log is kept");
    assert_no_canary(&lines);
    for secret in secrets {
        assert!(!lines.contains(secret), "a secret of the login shows");
    }
}

/// Whether a line was logged that contains this text.
pub(crate) fn has(text: &str) -> bool {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&lines).contains(text)
}
