//! Ending an authorization without consent.

use credvault_domain::{AuditEvent, ConnectionState, StateChange};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, Condition, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};

use super::Authorizations;
use crate::authorizations::awaited::AwaitedAuthorization;
use crate::authorizations::{callbacks, delivered_keys};
use crate::change::Change;
use crate::change::feed::ChangeKind;
use crate::connections::lock::locked_at;
use crate::connections::writer::ConnectionRow;
use crate::entity::authorization::{Column, Entity};
use crate::entity::connection;
use crate::{AuthorizationError, ConnectionKey, Error, Recorded};

impl Authorizations<'_> {
    /// Ends an authorization that the person or the provider has declined, in one change: its state is used up, what was
    /// kept for it is gone, its connection is as it was before, and `refusal` is on record.
    ///
    /// # Errors
    /// It is over already, or the database fails. Then nothing has changed, and nothing is on record.
    pub async fn decline(&self, awaited: &AwaitedAuthorization, refusal: AuditEvent) -> Result<(), Error> {
        let (tenant, hash) = (&awaited.tenant, &awaited.state_hash);
        let mut change = self.store.own_change(tenant).await?;
        let key = ConnectionKey { tenant: tenant.clone(), connection: awaited.connection };
        let model = locked_at(&change.tx, &key).await?;
        if !use_up(&change, hash).await? {
            return Err(AuthorizationError::Replayed.into());
        }
        delivered_keys::take(&change.tx, tenant, hash).await?;
        callbacks::forget(&change.tx, tenant, hash).await?;
        leave_as_before(&mut change, model).await?;
        change.record(self.store.own(refusal)?);
        change.commit(()).await.map(Recorded::into_inner)
    }

    /// Ends an authorization whose state was taken and that gave no credential. A connection without a credential is as it
    /// was before, unless another authorization of it is open. Why it ended, the call records that was to complete it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn end(&self, key: &ConnectionKey) -> Result<(), Error> {
        let mut change = self.store.own_change(&key.tenant).await?;
        let model = locked_at(&change.tx, key).await?;
        leave_as_before(&mut change, model).await?;
        change.commit(()).await.map(Recorded::into_inner)
    }
}

/// Uses a state up, and tells whether it was still to be used. The database decides who is the one.
pub(super) async fn use_up(change: &Change<'_>, state_hash: &[u8]) -> Result<bool, Error> {
    let used = Entity::update_many()
        .col_expr(Column::ConsumeTime, Expr::value(change.now.micros()))
        .filter(Column::TenantId.eq(change.tenant().as_str()))
        .filter(Column::StateHash.eq(state_hash))
        .filter(Column::ConsumeTime.is_null())
        .exec(&change.tx)
        .await?;
    Ok(used.rows_affected == 1)
}

/// Leaves a locked connection that waits for its first credential as it was before the consent, unless another
/// authorization of it is open.
pub(super) async fn leave_as_before(
    change: &mut Change<'_>,
    model: Option<connection::Model>,
) -> Result<(), Error> {
    let connecting = ConnectionState::Connecting.as_str();
    let Some(model) = model.filter(|model| model.state == connecting) else { return Ok(()) };
    let others = Condition::all()
        .add(Column::TenantId.eq(change.tenant().as_str()))
        .add(Column::ConnectionId.eq(model.id))
        .add(Column::ConsumeTime.is_null())
        .add(Column::ExpireTime.gt(change.now.micros()));
    if Entity::find().filter(others).count(&change.tx).await? == 0 {
        let mut row = ConnectionRow::new(model);
        row.transition(StateChange::AuthorizationEnded)?;
        row.save(change, ChangeKind::Updated, None).await?;
    }
    Ok(())
}
