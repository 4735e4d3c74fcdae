//! Ending an authorization without consent.

use credvault_domain::{ConnectionState, StateChange};
use sea_orm::{ColumnTrait as _, Condition, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};

use super::Authorizations;
use crate::authorizations::awaited::AwaitedAuthorization;
use crate::authorizations::{callbacks, delivered_keys};
use crate::change::feed::ChangeKind;
use crate::connections::lock::locked_at;
use crate::connections::writer::ConnectionRow;
use crate::entity::authorization::{Column, Entity};
use crate::{AuthorizationError, ConnectionKey, Error, Recorded};

impl Authorizations<'_> {
    /// Records that the person or the provider has declined.
    ///
    /// # Errors
    /// It is over already.
    pub async fn decline(&self, awaited: &AwaitedAuthorization) -> Result<(), Error> {
        let now = self.store.now().micros();
        let ended = self.set_once(awaited, Column::ConsumeTime, now.into()).await?;
        ended.ok_or(AuthorizationError::Replayed)?;
        let tx = self.store.begin_bookkeeping(&awaited.tenant).await?;
        delivered_keys::take(&tx, &awaited.tenant, &awaited.state_hash).await?;
        callbacks::forget(&tx, &awaited.tenant, &awaited.state_hash).await?;
        tx.commit().await?;
        self.end(&ConnectionKey { tenant: awaited.tenant.clone(), connection: awaited.connection }).await
    }

    /// Records that authorization ended without consent. A connection without a credential is as it was before, unless
    /// another authorization of it is open.
    ///
    /// # Errors
    /// The database fails.
    pub async fn end(&self, key: &ConnectionKey) -> Result<(), Error> {
        let mut change = self.store.own_change(&key.tenant).await?;
        let model = locked_at(&change.tx, key).await?;
        let others = Condition::all()
            .add(Column::TenantId.eq(key.tenant.as_str()))
            .add(Column::ConnectionId.eq(key.connection.as_uuid()))
            .add(Column::ConsumeTime.is_null())
            .add(Column::ExpireTime.gt(change.now.micros()));
        let awaited = Entity::find().filter(others).count(&change.tx).await? > 0;
        let connecting = ConnectionState::Connecting.as_str();
        if let Some(model) = model.filter(|model| model.state == connecting && !awaited) {
            let mut row = ConnectionRow::new(model);
            row.transition(StateChange::AuthorizationEnded)?;
            row.save(&mut change, ChangeKind::Updated, None).await?;
        }
        change.commit(()).await.map(Recorded::into_inner)
    }
}
