//! Keys that stay at a provider and that nothing of the vault will revoke: how they show, and that they are on record.

use credvault_domain::{Action, AuditEvent, AuditOutcome, ConnectionId, ProviderId, Reason};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use uuid::Uuid;

use crate::Error;
use crate::change::Change;
use crate::connections::row::owner;
use crate::entity::{connection, credential_rotation, rotated_key};

/// A key that stays at the provider, with its id if that is known.
pub(crate) struct LeftKey(pub(crate) Option<String>);

/// Shows, and has on record, that a key stays at the provider which the vault cannot revoke.
///
/// # Errors
/// The random generator fails.
pub(crate) fn leave(
    change: &mut Change<'_>,
    model: &connection::Model,
    row: &mut credential_rotation::Model,
    left: LeftKey,
) -> Result<(), Error> {
    record(change, model, &left)?;
    row.left_keys += 1;
    (row.left_time, row.left_key_id) = (Some(change.now.micros()), left.0);
    Ok(())
}

/// Has on record which keys stay at their providers because the connections with these ids are purged.
///
/// # Errors
/// The database or the random generator fails.
pub(crate) async fn leave_all(change: &mut Change<'_>, ids: &[ConnectionId]) -> Result<(), Error> {
    use rotated_key::Column;
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let tenant = change.tenant().as_str().to_owned();
    let keys = rotated_key::Entity::find()
        .filter(Column::TenantId.eq(tenant.as_str()))
        .filter(Column::ConnectionId.is_in(ids))
        .all(&change.tx)
        .await?;
    for key in keys {
        let connection = connection::Entity::find_by_id((tenant.clone(), key.connection_id));
        let model = connection.one(&change.tx).await?.ok_or(Error::Integrity)?;
        record(change, &model, &LeftKey(key.key_id))?;
    }
    Ok(())
}

/// The record of a key that stays, its count and its line in the log.
fn record(change: &mut Change<'_>, model: &connection::Model, LeftKey(id): &LeftKey) -> Result<(), Error> {
    let named = id.iter().map(|id| format!("keys/{id}"));
    let changed = std::iter::once("rotation.key_left".to_owned()).chain(named).collect();
    let mut record = about(change, model)?;
    record.changed = changed;
    record.outcome = AuditOutcome::Failed;
    record.reason = Some(Reason::ProviderUnavailable);
    change.record(record);
    metrics::counter!("credvault_rotated_keys_total", "outcome" => "left").increment(1);
    tracing::warn!(
        connection = %ConnectionId::from_uuid(model.id),
        provider = model.provider,
        key = id.as_deref().unwrap_or("unknown"),
        "a key may be left at the provider that the vault does not revoke"
    );
    Ok(())
}

/// The record of something that the vault does by itself about a connection's rotation.
///
/// # Errors
/// The random generator fails.
pub(crate) fn about(change: &Change<'_>, model: &connection::Model) -> Result<AuditEvent, Error> {
    let mut record = change.store.own_event(change.tenant(), Action::RotateCredential)?;
    record.connection = Some(ConnectionId::from_uuid(model.id));
    record.owner_user = owner(&model.tenant_id, &model.owner_user).user().cloned();
    record.provider = Some(ProviderId::from_stored(model.provider.clone()));
    Ok(record)
}
