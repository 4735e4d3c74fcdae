//! Stored values that do not open: an alarm wherever one is met, and a rest for background work that meets one.

use std::time::Duration;

use credvault_domain::TenantId;

/// How long background work leaves alone what did not open.
pub(crate) const INTEGRITY_REST: Duration = Duration::from_secs(3600);

/// Counts and logs a stored value that does not open, or that its external store has lost. `record` is the id of its row, as
/// far as it has one.
pub(crate) fn alarm(tenant: &TenantId, what: &'static str, record: [u8; 16]) {
    metrics::counter!("credvault_integrity_failures_total", "what" => what).increment(1);
    let record = uuid::Uuid::from_bytes(record);
    tracing::error!(
        %tenant,
        what,
        %record,
        "a stored value is lost or does not open: it was altered outside of the vault; store it anew"
    );
}
