//! How far a service has synchronised a resource of a connection. The vault keeps what the service reports, and looks into
//! none of it but an error's text, from which it takes what may be a secret.

use crate::name::{check_name, names};
use crate::{Timestamp, Violations};

/// The longest cursor, in bytes.
pub const MAX_CURSOR_BYTES: usize = 4096;
/// The longest error text, in bytes.
pub const MAX_SYNC_ERROR_BYTES: usize = 1024;
/// The most resources of a connection.
pub const MAX_SYNC_RESOURCES: u64 = 100;
/// From this length on, a word of letters and digits may be a secret.
const SECRET_WORD_BYTES: usize = 24;

names! {
    check_name, "a name: 1 to 128 printable characters in NFC without blanks at its ends";
    /// The name of what is synchronised, such as `orders`.
    SyncResource;
}

/// How a synchronisation stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncStatus {
    /// It has begun and not ended.
    Running,
    /// It has ended, and all went well.
    Ok,
    /// It has ended with an error.
    Failed,
}

impl SyncStatus {
    /// Every status, in the order of declaration.
    pub const ALL: [Self; 3] = [Self::Running, Self::Ok, Self::Failed];

    /// The status as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Ok => "OK",
            Self::Failed => "FAILED",
        }
    }

    /// Reads what [`SyncStatus::as_str`] wrote.
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// How many items a run of a synchronisation has handled.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SyncCounts {
    /// Items that are synchronised.
    pub synced: i64,
    /// Items that could not be synchronised.
    pub failed: i64,
}

impl SyncCounts {
    /// Counts that are not negative.
    ///
    /// # Errors
    /// A violation for each negative number.
    pub fn parse(synced: i64, failed: i64) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        for (field, count) in [("items_synced", synced), ("items_failed", failed)] {
            if count < 0 {
                violations.add(field, "must not be negative");
            }
        }
        violations.into_result().map(|()| Self { synced, failed })
    }
}

/// How far a resource of a connection is synchronised.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyncState {
    /// The name of what is synchronised.
    pub resource: SyncResource,
    /// Raised by one with every report; a report can demand the one that it has seen.
    pub revision: i64,
    /// Where the next run goes on, in the service's own words.
    pub cursor: String,
    /// How the last run stands.
    pub status: SyncStatus,
    /// What the last run has handled.
    pub counts: SyncCounts,
    /// Why the last run failed.
    pub error: String,
    /// When the last run began.
    pub start_time: Option<Timestamp>,
    /// When a run last ended well.
    pub success_time: Option<Timestamp>,
    /// When the last report came.
    pub update_time: Timestamp,
}

/// The text of an error as it may be kept and shown: one line, without what may be a secret, of at most 1,024 bytes.
pub fn sanitised(text: &str) -> String {
    let mut kept = String::new();
    let mut hide_next = false;
    let printable: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    for word in printable.split_whitespace() {
        if !kept.is_empty() {
            kept.push(' ');
        }
        let shown = if hide_next { "…".to_owned() } else { shown(word) };
        kept.push_str(&shown);
        let scheme = word.trim_end_matches(':').to_ascii_lowercase();
        hide_next =
            matches!(scheme.as_str(), "bearer" | "basic" | "token" | "password" | "secret" | "api-key");
    }
    let end = kept.floor_char_boundary(MAX_SYNC_ERROR_BYTES);
    kept.truncate(end);
    kept
}

/// A word without what may be a secret: what follows `=` or `:` where that is long, and long words of letters and digits.
fn shown(word: &str) -> String {
    word.split_inclusive(['=', ':', '&', '?', '/', ',', ';', '"', '\''])
        .map(|part| {
            let core = part.trim_end_matches(['=', ':', '&', '?', '/', ',', ';', '"', '\'']);
            let rest = part.get(core.len()..).unwrap_or_default();
            if is_secret_like(core) { format!("…{rest}") } else { part.to_owned() }
        })
        .collect()
}

fn is_secret_like(core: &str) -> bool {
    let has = |class: fn(&u8) -> bool| core.as_bytes().iter().any(class);
    core.len() >= SECRET_WORD_BYTES && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_kept_without_what_may_be_a_secret() {
        let text = "401 from https://api.test/v1?key=CANARYabcdefghij0123456789:\n\tAuthorization: Bearer CANARY refused";
        let kept = sanitised(text);
        assert_eq!(kept, "401 from https://api.test/v1?key=…: Authorization: Bearer … refused");
        assert_eq!(sanitised(&"é ".repeat(2000)).len(), MAX_SYNC_ERROR_BYTES - 1);
        assert_eq!(sanitised("timeout after 30s on page 7"), "timeout after 30s on page 7");
    }

    #[test]
    fn what_is_stored_can_be_read_and_counts_are_not_negative() {
        let all = SyncStatus::ALL.into_iter();
        assert!(all.into_iter().all(|status| SyncStatus::from_stored(status.as_str()) == Some(status)));
        assert!(SyncCounts::parse(1, 0).is_ok());
        assert_eq!(SyncCounts::parse(-1, -1).unwrap_err().iter().count(), 2);
    }
}
