//! How long events are tried and remembered, and how many may wait.

use std::time::Duration;

const HOUR: u64 = 3600;

/// How long an event is tried: as long as nine attempts take. An endpoint that is down has one attempt at a time, so of
/// many events most never have theirs.
pub(crate) const DELIVERY_LIFETIME: Duration = Duration::from_secs(28 * HOUR);
/// How long a delivered event is remembered.
pub(crate) const DELIVERED_MEMORY: Duration = Duration::from_secs(7 * 24 * HOUR);
/// How long an event is remembered that was given up.
pub(crate) const DEAD_MEMORY: Duration = Duration::from_secs(30 * 24 * HOUR);

/// How many events may wait for an endpoint. Further ones are dead at once.
const MAX_WAITING: u64 = 10_000;
/// Why an event is dead that came when too many waited.
pub(crate) const FULL_FAILURE: &str = "10,000 events already waited for the endpoint";

/// The SQL condition that as many events wait for an endpoint as may.
pub(crate) fn is_full(tenant: &str, endpoint: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM event_deliveries w
             WHERE w.tenant_id = {tenant} AND w.endpoint_id = {endpoint} AND w.due_time IS NOT NULL
             LIMIT 1 OFFSET {})",
        MAX_WAITING - 1
    )
}
