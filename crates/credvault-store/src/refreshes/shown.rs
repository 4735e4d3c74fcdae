//! What a connection shows of its refreshes.

use credvault_domain::{Action, AuditOutcome, ConnectionState, EventType, ProviderId, Reason, StateChange};
use sea_orm::ActiveModelTrait as _;
use sea_orm::ActiveValue::Set;

use crate::change::Change;
use crate::change::feed::ChangeKind;
use crate::change::outbox::NewEvent;
use crate::connections::row::owner;
use crate::connections::writer::ConnectionRow;
use crate::entity::{connection, refresh};
use crate::refreshes::row::{IDLE, UNCERTAIN, idle};
use crate::{ConnectionKey, Error};

/// Asks for consent although the provider has not refused: it was silent for too long, or asking once more may cost
/// other consents. A forced refresh, or a test that works, still finds out that the grant lives.
///
/// # Errors
/// The database fails.
pub(super) async fn give_up(
    change: &mut Change<'_>,
    key: &ConnectionKey,
    model: connection::Model,
    row: refresh::Model,
    database_time: i64,
) -> Result<(), Error> {
    let (generation, marked, unsettled_time) = (row.generation, row.marked, row.unsettled_time);
    let uncertain = row.state != IDLE;
    let mut row = idle(row, generation, None);
    row.state = Set(if uncertain { UNCERTAIN } else { IDLE }.to_owned());
    row.marked = Set(marked);
    row.unsettled_time = Set(unsettled_time.or(Some(database_time)));
    row.update(&change.tx).await?;
    let mut record = change.store.own_event(&key.tenant, Action::RefreshConnection)?;
    record.owner_user = owner(&model.tenant_id, &model.owner_user).user().cloned();
    record.connection = Some(key.connection);
    record.provider = Some(ProviderId::from_stored(model.provider.clone()));
    record.version = Some(model.current_version);
    record.outcome = AuditOutcome::Failed;
    record.reason = Some(Reason::ReauthorizationRequired);
    change.record(record);
    let code = model.error_code.clone();
    show_failure(change, model, Reason::ReauthorizationRequired, code.as_deref()).await
}

/// Shows that the connection may not work any more. A demand for consent stays: another attempt does not turn it into an
/// outage.
///
/// # Errors
/// The database fails.
pub(super) async fn show_failure(
    change: &mut Change<'_>,
    model: connection::Model,
    reason: Reason,
    code: Option<&str>,
) -> Result<(), Error> {
    let state = ConnectionState::from_stored(&model.state).ok_or(Error::Integrity)?;
    let mut row = ConnectionRow::new(model);
    if row.has_failed_with(Reason::ReauthorizationRequired) && reason != Reason::ReauthorizationRequired {
        return Ok(());
    }
    let is_new = !row.has_failed_with(reason);
    row.set_state(state.after(StateChange::Refused).unwrap_or(ConnectionState::Error));
    row.fail(reason, code, change);
    let model = row.save(change, ChangeKind::Updated, None).await?;
    if is_new && reason == Reason::ReauthorizationRequired {
        change.emit(NewEvent::of(EventType::ReauthorizationRequired, &model));
    }
    Ok(())
}
