//! A connection whose stored values do not open: it shows that, and background work leaves it alone for a while.

use credvault_domain::{AuditEvent, AuditOutcome, ConnectionState, Reason};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};

use crate::change::Change;
use crate::change::feed::ChangeKind;
use crate::connections::lock::locked_at;
use crate::connections::row::owner;
use crate::connections::writer::ConnectionRow;
use crate::credentials::current::open_current;
use crate::entity::refresh;
use crate::integrity::INTEGRITY_REST;
use crate::secrets::at_hand::Wanted;
use crate::{ConnectionKey, Error, Store};

/// Adds the record of background work that met a value that does not open.
///
/// # Errors
/// The random generator fails.
pub(crate) fn record_integrity_failure(change: &mut Change<'_>, event: &AuditEvent) -> Result<(), Error> {
    let mut record = change.store.own(event.clone())?;
    record.time = change.now;
    record.outcome = AuditOutcome::Failed;
    record.reason = Some(Reason::IntegrityFailure);
    change.record(record);
    Ok(())
}

impl Store {
    /// Records that a connection's stored values do not open, or that its store has lost them: the connection shows it, the
    /// log has `event`, and the search for what is due leaves it alone for an hour.
    ///
    /// # Errors
    /// The database fails.
    pub async fn broken(&self, key: &ConnectionKey, event: &AuditEvent) -> Result<(), Error> {
        // Whether the payload is whole is found out before the transaction. What is in the way of that is not damage.
        let in_hand = self.bring_to_hand(key, Wanted::Current).await.unwrap_or_default();
        let mut change = self.own_opening_change(&key.tenant).await?;
        let model = locked_at(&change.tx, key).await?;
        let mut event = event.clone();
        event.connection = Some(key.connection);
        event.owner_user =
            model.as_ref().and_then(|model| owner(&model.tenant_id, &model.owner_user).user().cloned());
        // It may have been the app's secret, or what is kept for a revocation: that is not the connection's fault.
        let own = match model.as_ref().filter(|model| model.current_version > 0) {
            Some(model) => {
                let opened = match change.keys() {
                    Ok(keys) => open_current(&change.tx, keys, model).await,
                    Err(error) => Err(error),
                };
                match opened {
                    Ok((content, _)) => in_hand.is_damaged(&content),
                    Err(error) => matches!(error, Error::Integrity),
                }
            }
            None => false,
        };
        if let Some(model) = model.filter(|_| own) {
            let mut row = ConnectionRow::new(model);
            if !row.has_failed_with(Reason::IntegrityFailure) {
                row.set_state(ConnectionState::Error);
                row.fail(Reason::IntegrityFailure, None, &change);
                row.save(&mut change, ChangeKind::Updated, None).await?;
            }
        }
        self.rest(&change, key).await?;
        record_integrity_failure(&mut change, &event)?;
        let _ = change.commit(()).await?;
        Ok(())
    }

    async fn rest(&self, change: &Change<'_>, key: &ConnectionKey) -> Result<(), Error> {
        use refresh::Column;
        let later = change.now.after(INTEGRITY_REST).micros();
        refresh::Entity::update_many()
            .col_expr(Column::DueTime, Expr::value(later))
            .filter(Column::TenantId.eq(key.tenant.as_str()))
            .filter(Column::ConnectionId.eq(key.connection.as_uuid()))
            .filter(Column::DueTime.lt(later))
            .exec(&change.tx)
            .await?;
        Ok(())
    }
}
