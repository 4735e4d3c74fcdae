//! How far a process has come with looking after the audit logs.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use credvault_domain::{TenantId, Timestamp};

/// A pass over the logs of all tenants.
#[derive(Default)]
pub(crate) struct Progress(Mutex<Pass>);

#[derive(Default)]
struct Pass {
    /// When it began with the first log.
    begun: Timestamp,
    /// The tenant whose log was the last one; none if all were looked after.
    after: Option<String>,
}

impl Progress {
    /// Behind which tenant it goes on; none if a whole pass began within `interval`.
    pub(super) fn next(&self, now: Timestamp, interval: Duration) -> Option<String> {
        let mut pass = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pass.after.is_some() {
            return pass.after.clone();
        }
        (pass.begun.until(now) >= interval).then(|| {
            pass.begun = now;
            String::new()
        })
    }

    /// Notes the last log, or that all were looked after.
    pub(super) fn note(&self, after: Option<&TenantId>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).after =
            after.map(|tenant| tenant.as_str().to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_goes_on_behind_the_last_log_and_begins_anew_after_a_while() {
        let (progress, hour) = (Progress::default(), Duration::from_secs(3600));
        let now = Timestamp::from_micros(1_000_000_000_000);
        assert_eq!(progress.next(now, hour).as_deref(), Some(""));
        progress.note(TenantId::parse("acme").ok().as_ref());
        assert_eq!(progress.next(now, hour).as_deref(), Some("acme"));
        progress.note(None);
        assert_eq!(progress.next(now.after(hour / 2), hour), None);
        assert_eq!(progress.next(now.after(hour), hour).as_deref(), Some(""));
    }
}
