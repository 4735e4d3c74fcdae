//! The health of a connection, and how far its resources are synchronised.

use credvault_domain::{Health, HealthState, LastError, Renewal, SyncState, SyncStatus, Words};
use credvault_operations::connections::Described;

use super::rotation::credential_rotation;
use super::{connection, timestamp};
use credvault_proto::v1;

/// A connection with its health.
pub(crate) fn described(described: Described) -> v1::Connection {
    let Described { connection: of, health, last_synced, rotation, syncs } = described;
    v1::Connection {
        health: Some(connection_health(health)),
        last_synced_time: last_synced.map(timestamp),
        rotation: rotation.map(credential_rotation),
        sync_states: syncs.into_iter().map(sync_state).collect(),
        ..connection(of)
    }
}

fn connection_health(health: Health) -> v1::ConnectionHealth {
    let Health { state, since, renewal, grant_end, last_error, words } = health;
    let (customer_text, operator_text) = match words {
        Some(Words { customer, operator }) => (customer, operator),
        None => (String::new(), String::new()),
    };
    v1::ConnectionHealth {
        state: health_state(state).into(),
        renewal: renewal.map_or(v1::Renewal::Unspecified, class).into(),
        grant_end_time: grant_end.map(timestamp),
        last_error: last_error.map(|(error, words)| last(error, words)),
        customer_text,
        operator_text,
        since: since.map(timestamp),
    }
}

pub(crate) fn health_state(state: HealthState) -> v1::HealthState {
    match state {
        HealthState::NotConnected => v1::HealthState::NotConnected,
        HealthState::Ok => v1::HealthState::Ok,
        HealthState::Ending => v1::HealthState::Ending,
        HealthState::Ended => v1::HealthState::Ended,
        HealthState::Error => v1::HealthState::Error,
        HealthState::Uncertain => v1::HealthState::Uncertain,
        HealthState::ProviderIncident => v1::HealthState::ProviderIncident,
    }
}

fn class(renewal: Renewal) -> v1::Renewal {
    match renewal {
        Renewal::RenewsItself => v1::Renewal::RenewsItself,
        Renewal::Ends => v1::Renewal::Ends,
        Renewal::NeverEnds => v1::Renewal::NeverEnds,
    }
}

fn last(error: LastError, words: Words) -> v1::LastError {
    let LastError { reason, code, pause: _, status: _, time, retry_time, down_time: _, recover_time } = error;
    let Words { customer, operator } = words;
    v1::LastError {
        reason,
        provider_code: code.unwrap_or_default(),
        time: Some(timestamp(time)),
        recover_time: recover_time.map(timestamp),
        next_attempt_time: retry_time.map(timestamp),
        customer_text: customer,
        operator_text: operator,
    }
}

pub(crate) fn sync_state(state: SyncState) -> v1::SyncState {
    let SyncState {
        resource,
        revision,
        cursor,
        status,
        counts,
        error,
        start_time,
        success_time,
        update_time,
    } = state;
    let status = match status {
        SyncStatus::Running => v1::SyncStatus::Running,
        SyncStatus::Ok => v1::SyncStatus::Ok,
        SyncStatus::Failed => v1::SyncStatus::Failed,
    };
    v1::SyncState {
        resource: resource.as_str().to_owned(),
        revision,
        cursor,
        status: status.into(),
        items_synced: counts.synced,
        items_failed: counts.failed,
        error,
        start_time: start_time.map(timestamp),
        success_time: success_time.map(timestamp),
        update_time: Some(timestamp(update_time)),
    }
}
