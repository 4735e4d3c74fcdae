//! Stored values that do not open: an alarm wherever one is met, and rest for background work that meets one.

use std::time::Duration;

use credvault_domain::{AuditEvent, AuditOutcome, ConnectionState, Reason, TenantId, Timestamp};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, DatabaseTransaction, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _, QuerySelect as _,
};

use crate::connections::row::owner;
use crate::database::session::begin_write;
use crate::entity::{connection, refresh};
use crate::{Error, Place, Store};

/// How long background work leaves alone what did not open.
pub(crate) const REST: Duration = Duration::from_secs(3600);

/// Counts and logs a stored value that does not open. `record` is the id of its row, as far as it has one.
pub(crate) fn alarm(tenant: &TenantId, what: &'static str, record: [u8; 16]) {
    metrics::counter!("credvault_integrity_failures_total", "what" => what).increment(1);
    let record = uuid::Uuid::from_bytes(record);
    tracing::error!(%tenant, what, %record, "a stored value does not open; restore its row from a backup");
}

/// The record of background work that met a value that does not open.
pub(crate) async fn note(
    store: &Store,
    tx: &DatabaseTransaction,
    event: &AuditEvent,
    now: Timestamp,
) -> Result<(), Error> {
    let mut event = store.own(event.clone())?;
    event.time = now;
    event.outcome = AuditOutcome::Failed;
    event.reason = Some(Reason::IntegrityFailure);
    Ok(crate::audit::log::insert(tx, &[event]).await?)
}

impl Store {
    /// Notes that a connection's stored values do not open: the connection shows it, the log has `event`, and the search
    /// for what is due leaves it alone for an hour.
    ///
    /// # Errors
    /// The database fails.
    pub async fn broken(&self, place: &Place, event: &AuditEvent) -> Result<(), Error> {
        let tx = begin_write(&self.writer(), self.database(), &place.tenant).await?;
        let now = self.now();
        let key = (place.tenant.as_str().to_owned(), place.connection.as_uuid());
        let model = connection::Entity::find_by_id(key).lock_exclusive().one(&tx).await?;
        let reason = Reason::IntegrityFailure.as_str();
        let owner_user =
            model.as_ref().and_then(|model| owner(&model.tenant_id, &model.owner_user).user().cloned());
        // It may have been the app's secret, or what is kept for a revocation: that is not the connection's fault.
        let own = match model.as_ref().filter(|model| model.current_version > 0) {
            Some(model) => matches!(self.refreshes().open(&tx, place, model).await, Err(Error::Integrity)),
            None => false,
        };
        if let Some(model) = model.filter(|model| own && model.error_reason.as_deref() != Some(reason)) {
            let revision = model.revision + 1;
            let mut row = model.into_active_model();
            row.state = Set(ConnectionState::Error.as_str().to_owned());
            row.error_reason = Set(Some(reason.to_owned()));
            row.error_code = Set(None);
            row.error_time = Set(Some(now.micros()));
            row.revision = Set(revision);
            row.update_time = Set(now.micros());
            row.update(&tx).await?;
        }
        use refresh::Column;
        let later = now.after(REST).micros();
        refresh::Entity::update_many()
            .col_expr(Column::DueTime, Expr::value(later))
            .filter(Column::TenantId.eq(place.tenant.as_str()))
            .filter(Column::ConnectionId.eq(place.connection.as_uuid()))
            .filter(Column::DueTime.lt(later))
            .exec(&tx)
            .await?;
        let mut event = event.clone();
        event.connection = Some(place.connection);
        event.owner_user = owner_user;
        note(self, &tx, &event, now).await?;
        Ok(tx.commit().await?)
    }
}
