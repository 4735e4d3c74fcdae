//! What numbers may be: nothing silently becomes something else, and no time overflows.

use super::{Settings, SettingsError};

/// A year, in seconds.
const YEAR: u64 = 365 * 24 * 3600;
/// Ten minutes, in milliseconds.
const MINUTES: u64 = 10 * 60 * 1000;

/// Refuses numbers outside of their bounds, by name.
pub(super) fn check(settings: &Settings) -> Result<(), SettingsError> {
    let Settings { server, limits, store, broker, public, .. } = settings;
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let bounds = [
        ("server.drain_seconds", server.drain_seconds, 0, 3600),
        ("server.reload_seconds", server.reload_seconds, 1, 24 * 3600),
        ("server.worker_threads", count(server.worker_threads), 0, 1024),
        ("limits.connections", count(limits.connections), 1, 1_000_000),
        ("limits.connections_per_address", count(limits.connections_per_address), 0, 1_000_000),
        ("limits.handshakes", count(limits.handshakes), 1, 1_000_000),
        ("limits.handshakes_per_address", count(limits.handshakes_per_address), 0, 1_000_000),
        ("limits.calls", count(limits.calls), 1, 1_000_000),
        ("limits.deadline_seconds", limits.deadline_seconds, 1, 60),
        ("limits.connection_age_seconds", limits.connection_age_seconds, 1, YEAR),
        ("limits.answer_bytes", count(limits.answer_bytes), 16 << 20, 1 << 40),
        ("limits.answer_seconds", limits.answer_seconds, 1, 3600),
        ("limits.cache_seconds", limits.cache_seconds, 0, YEAR),
        ("store.max_connections", store.max_connections.into(), 1, 10_000),
        ("store.query_connections", store.query_connections.into(), 1, 10_000),
        ("store.acquire_timeout_ms", store.acquire_timeout_ms, 1, MINUTES),
        ("store.statement_timeout_ms", store.statement_timeout_ms, 1, MINUTES),
        ("store.lock_timeout_ms", store.lock_timeout_ms, 1, MINUTES),
        ("store.audit_timeout_ms", store.audit_timeout_ms, 1, MINUTES),
        ("store.versions_kept", store.versions_kept.into(), 1, 10_000),
        ("store.connections_of_tenant", store.connections_of_tenant.into(), 0, u32::MAX.into()),
        ("store.connections_of_user", store.connections_of_user.into(), 0, u32::MAX.into()),
        ("store.undelete_days", store.undelete_days, 1, 3650),
        ("store.max_clock_difference_seconds", store.max_clock_difference_seconds, 0, YEAR),
        ("broker.refresh_persistence_hours", broker.refresh_persistence_hours, 1, 24 * 366),
        ("broker.verify_hours", broker.verify_hours, 0, 24 * 366),
        ("public.connections_per_address", count(public.connections_per_address), 0, 1_000_000),
    ];
    for (key, value, least, most) in bounds {
        if !(least..=most).contains(&value) {
            return Err(SettingsError::Wrong(format!("{key} must be between {least} and {most}")));
        }
    }
    Ok(())
}
