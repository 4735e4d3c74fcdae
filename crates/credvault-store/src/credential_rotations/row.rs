//! Rows of `credential_rotations`: how the rotation of a connection's credential stands, and when the vault looks at it next.

use std::time::Duration;

use credvault_domain::{RotationDue, Timestamp, jitter};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, DatabaseTransaction, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _, QuerySelect as _,
};
use uuid::Uuid;

use crate::Error;
use crate::change::Change;
use crate::claims::Holder;
use crate::credential_rotations::automatic::{is_automatic, is_paused};
use crate::credential_rotations::plan::period;
use crate::entity::credential_rotation::{Entity, Model};
use crate::entity::{connection, rotated_key};

/// Nothing is in progress.
pub(crate) const IDLE: &str = "IDLE";
/// A process has claimed the rotation, and a call that makes a key may be on its way.
pub(crate) const MINTING: &str = "MINTING";
/// A new key is there, to be tested and served.
pub(crate) const MINTED: &str = "MINTED";

/// Within which time after it is due a credential is replaced, so that what is due together is not replaced together.
const SPREAD: Duration = Duration::from_secs(3600);

/// Locks the row of a connection, if there is one.
///
/// # Errors
/// The database fails.
pub(crate) async fn find(tx: &DatabaseTransaction, id: (String, Uuid)) -> Result<Option<Model>, Error> {
    Ok(Entity::find_by_id(id).lock_exclusive().one(tx).await?)
}

/// The row of a locked connection, which is made if there is none.
///
/// # Errors
/// The database fails.
pub(crate) async fn find_or_new(
    tx: &DatabaseTransaction,
    model: &connection::Model,
    mints: bool,
) -> Result<Model, Error> {
    if let Some(row) = find(tx, (model.tenant_id.clone(), model.id)).await? {
        return Ok(row);
    }
    let row = Model {
        tenant_id: model.tenant_id.clone(),
        connection_id: model.id,
        state: IDLE.to_owned(),
        mints,
        version: None,
        search_time: None,
        warn_time: None,
        retry_time: None,
        failures: 0,
        trouble: None,
        left_time: None,
        left_key_id: None,
        last_number: 0,
        claim_id: None,
        process_id: None,
        lease_time: None,
        in_vain: 0,
        left_keys: 0,
        reminded_time: None,
        revoke_now: false,
        old_key_life: None,
        request: None,
    };
    Entity::insert(row.clone().into_active_model().reset_all()).exec_without_returning(tx).await?;
    Ok(row)
}

/// Who has claimed the rotation.
pub(crate) fn holder(row: &Model) -> Holder {
    Holder { process_id: row.process_id, claim_id: row.claim_id, lease_time: row.lease_time }
}

/// Nothing is in progress any more.
pub(crate) fn idle(row: &mut Model) {
    row.state = IDLE.to_owned();
    (row.version, row.request) = (None, None);
    release(row);
}

/// Gives the claim back.
pub(crate) fn release(row: &mut Model) {
    (row.claim_id, row.process_id, row.lease_time) = (None, None, None);
}

/// Stores a row of a locked connection, with the times at which the vault looks at it and reminds of it next.
///
/// # Errors
/// The database fails.
pub(crate) async fn save(
    change: &Change<'_>,
    model: &connection::Model,
    mut row: Model,
) -> Result<(), Error> {
    use rotated_key::Column;
    let key: Option<Option<i64>> = rotated_key::Entity::find()
        .filter(Column::TenantId.eq(model.tenant_id.as_str()))
        .filter(Column::ConnectionId.eq(model.id))
        .select_only()
        .column_as(Column::DueTime.min(), "earliest")
        .into_tuple()
        .one(&change.tx)
        .await?;
    let due = rotation_due(model);
    let automatic = due.is_some() && is_automatic(&change.tx, model, &row).await?;
    let replaced = due.filter(|_| row.state == IDLE).and_then(|RotationDue { due, .. }| {
        if automatic {
            let spread = SPREAD.mul_f64(jitter(change.store.keyring().random(), 0.0..=1.0));
            return Some(due.after(spread).micros().max(row.retry_time.unwrap_or(i64::MIN)));
        }
        // The provider's file may have the call by then.
        Some(due.micros()).filter(|_| due > change.now && !is_paused(&row))
    });
    row.search_time = [key.flatten(), replaced, row.lease_time].into_iter().flatten().min();
    let said = row.reminded_time.map(Timestamp::from_micros);
    let reminder = due.filter(|_| !automatic).and_then(|due| due.next_reminder(said));
    row.warn_time = reminder.map(Timestamp::micros);
    row.into_active_model().reset_all().update(&change.tx).await?;
    Ok(())
}

/// When the credential of a connection is to be replaced. `None` if it is not served, or has no period.
pub(crate) fn rotation_due(model: &connection::Model) -> Option<RotationDue> {
    let is_served = model.delete_time.is_none() && model.current_version > 0 && model.enabled;
    let due = model.rotation_due_time.filter(|_| is_served).map(Timestamp::from_micros)?;
    let begun = model.rotation_days.map_or(due, |days| due.before(period(days)));
    Some(RotationDue { begun, due })
}

/// Earlier failures do not count any more.
pub(crate) fn forget_failures(row: &mut Model) {
    (row.retry_time, row.failures, row.trouble, row.in_vain) = (None, 0, None, 0);
}

/// Sets how often the credential of a locked connection is replaced: the row follows what the connection's row says.
///
/// # Errors
/// The database fails.
pub(crate) async fn schedule(
    change: &Change<'_>,
    model: &connection::Model,
    mints: bool,
) -> Result<(), Error> {
    let row = find_or_new(&change.tx, model, mints).await?;
    // What the new period would have reminded of before now was not to be said then.
    let reminded_time = Some(change.now.micros());
    let row = Model { mints, retry_time: None, failures: 0, in_vain: 0, reminded_time, ..row };
    save(change, model, row).await
}

/// Sets whether the vault can replace the credential of a locked connection with the settings that it has now.
///
/// # Errors
/// The database fails.
pub(crate) async fn set_mints(
    change: &Change<'_>,
    model: &connection::Model,
    mints: bool,
) -> Result<(), Error> {
    let Some(mut row) = find(&change.tx, (model.tenant_id.clone(), model.id)).await? else { return Ok(()) };
    forget_failures(&mut row);
    save(change, model, Model { mints, ..row }).await
}

/// Another credential is stored, or none is left, or the connection is served again: what was planned is planned anew. `anew`
/// is whether earlier failures are over.
///
/// # Errors
/// The database fails.
pub(crate) async fn replan(change: &Change<'_>, model: &connection::Model, anew: bool) -> Result<(), Error> {
    let Some(mut row) = find(&change.tx, (model.tenant_id.clone(), model.id)).await? else { return Ok(()) };
    if anew {
        forget_failures(&mut row);
    }
    save(change, model, row).await
}

/// Forgets that a key was left at the provider: a person has looked for it.
///
/// # Errors
/// The database fails.
pub(crate) async fn forget_left(change: &Change<'_>, model: &connection::Model) -> Result<(), Error> {
    let Some(row) = find(&change.tx, (model.tenant_id.clone(), model.id)).await? else { return Ok(()) };
    save(change, model, Model { left_time: None, left_key_id: None, left_keys: 0, ..row }).await
}
