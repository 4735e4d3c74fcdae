//! Connections as callers read them: with their health in words, and how far their resources are synchronised.

use credvault_domain::{
    Connection, Health, HealthState, ProviderId, Renewal, SyncState, TenantScope, Timestamp, Words,
};
use credvault_store::{HealthFilter, HealthRecord, Incident, RotationRecord};

use crate::{Context, Refusal};

/// A connection with what is known beside it.
#[derive(Debug)]
pub struct Described {
    /// The connection as it is stored.
    pub connection: Connection,
    /// How well it is, in words.
    pub health: Health,
    /// When a resource of it was last synchronised.
    pub last_synced: Option<Timestamp>,
    /// How the rotation of its credential stands, if there is or was one.
    pub rotation: Option<RotationRecord>,
    /// How far its resources are; empty in lists.
    pub syncs: Vec<SyncState>,
}

/// Adds the health of connections that the caller was permitted to see.
///
/// # Errors
/// The database fails.
pub(crate) async fn describe(
    context: &Context,
    scope: &TenantScope,
    connections: Vec<Connection>,
) -> Result<Vec<Described>, Refusal> {
    let incidents = context.broker.refresher().incidents();
    let mut records = context.store.connections().health_of(scope, &connections).await?;
    let mut rotations = context.store.credential_rotations().of(scope, &connections).await?;
    let described = |connection: Connection| {
        let record = records.remove(&connection.id).unwrap_or_default();
        Described {
            health: health(context, &connection, &record, &incidents),
            last_synced: record.last_synced,
            rotation: rotations.remove(&connection.id),
            syncs: Vec::new(),
            connection,
        }
    };
    Ok(connections.into_iter().map(described).collect())
}

/// The filter for a health, as it is at the moment.
pub(crate) fn health_filter(context: &Context, state: HealthState) -> HealthFilter {
    HealthFilter { state, incidents: providers_with_incident(context) }
}

/// The providers that fail for many at the moment.
pub(crate) fn providers_with_incident(context: &Context) -> Vec<ProviderId> {
    context.broker.refresher().incidents().into_iter().map(|incident| incident.provider).collect()
}

fn health(
    context: &Context,
    connection: &Connection,
    record: &HealthRecord,
    incidents: &[Incident],
) -> Health {
    let has_incident = incidents.iter().any(|incident| incident.provider == connection.provider);
    let name = context.catalog.get(&connection.provider).map(|provider| provider.display_name.as_str());
    let name = name.unwrap_or(connection.provider.as_str());
    let (error, now) = (record.last_error.clone(), context.now());
    let state = record.state(connection, has_incident, now);
    let grant_end = record.grant.and_then(|grant| grant.end).or(connection.expire_time);
    let health = Health {
        state,
        since: match state {
            HealthState::Error | HealthState::Uncertain => failing_since(connection, record),
            HealthState::Ended => grant_end,
            HealthState::NotConnected
            | HealthState::Ok
            | HealthState::Ending
            | HealthState::ProviderIncident => None,
        },
        renewal: (connection.current_version > 0).then(|| renewal(context, connection, record)),
        grant_end,
        last_error: error.map(|error| (error.clone(), Words::of(&error, name))),
        words: None,
    };
    Health { words: health.in_words(name, now), ..health }
}

/// Since when a connection fails: as it shows, or since its access token has ended.
fn failing_since(connection: &Connection, record: &HealthRecord) -> Option<Timestamp> {
    let shown = connection.error.as_ref().map(|error| error.time);
    shown.or_else(|| record.last_error.as_ref().and_then(|error| error.down_time))
}

/// The class of a connection. What has no record is a key, or was stored by an earlier release.
fn renewal(context: &Context, connection: &Connection, record: &HealthRecord) -> Renewal {
    let mode = || context.mode(&connection.provider, &connection.auth_mode);
    match (record.grant, connection.expire_time) {
        (Some(grant), _) => grant.renewal,
        (None, Some(_)) => Renewal::Ends,
        (None, None) if mode().is_ok_and(|mode| mode.refreshes()) => Renewal::RenewsItself,
        (None, None) => Renewal::NeverEnds,
    }
}
