//! What is known of a connection before it is created: that the same request has created it, or that its name is taken.

use credvault_domain::{Connection, TenantScope};
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};

use super::{Connections, NewConnection, replay};
use crate::change::retrying;
use crate::connections::lock::live;
use crate::connections::row::owner_column;
use crate::entity::connection::{Column, Entity};
use crate::{Error, Recorded, Write};

impl Connections<'_> {
    /// What a repeated request has created before; `None` for a connection that may be created. So no provider is asked about
    /// one that is there, or whose name is taken.
    ///
    /// # Errors
    /// [`Error::ConnectionExists`] if owner, provider and account name are taken.
    pub async fn before_create(
        &self,
        scope: &TenantScope,
        new: &NewConnection,
        write: &Write,
    ) -> Result<Option<Recorded<Connection>>, Error> {
        retrying(write, || async move {
            let change = self.store.change(scope, write).await?;
            if let Some(prior) = change.prior() {
                return replay(change, scope, prior).await.map(Some);
            }
            let named = live(scope)
                .add(Column::OwnerUser.eq(owner_column(&new.owner)))
                .add(Column::Provider.eq(new.provider.as_str()))
                .add(Column::AccountName.eq(new.account_name.as_str()));
            let is_taken = Entity::find().filter(named).count(&change.tx).await? > 0;
            change.tx.rollback().await?;
            if is_taken { Err(Error::ConnectionExists) } else { Ok(None) }
        })
        .await
    }
}
