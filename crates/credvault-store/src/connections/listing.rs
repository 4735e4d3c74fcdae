//! The listing of connections, by filters and in pages.

use credvault_domain::{
    AccountName, Connection, ConnectionState, Owner, ProviderId, TenantId, TenantScope, Timestamp,
};
use futures::StreamExt as _;
use sea_orm::sea_query::SelectStatement;
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use crate::connections::row::{connection, owner_column, visible};
use crate::entity::connection::{Column, Entity};
use crate::entity::connection_health::Column as Health;
use crate::health::state::those;
use crate::page::uuid_position;
use crate::{Connections, Error, HealthFilter, Listed, Page};

/// Which connections are wanted. Everything given must hold.
#[derive(Clone, Default, Debug)]
pub struct ConnectionFilter {
    /// Only connections of this owner.
    pub owner: Option<Owner>,
    /// Only connections at this provider.
    pub provider: Option<ProviderId>,
    /// Only connections with this account name.
    pub account_name: Option<AccountName>,
    /// Only connections in this state.
    pub state: Option<ConnectionState>,
    /// Only connections with this health.
    pub health: Option<HealthFilter>,
    /// Only connections whose grant or key ends before this instant.
    pub ends_before: Option<Timestamp>,
    /// Deleted connections, too, until they are purged.
    pub show_deleted: bool,
}

impl Connections<'_> {
    /// A page of connections, oldest first.
    ///
    /// # Errors
    /// The tenant is not served, the page token is wrong, or the database fails.
    pub async fn list(
        &self,
        scope: &TenantScope,
        filter: &ConnectionFilter,
        page: &Page,
    ) -> Result<Listed<Connection>, Error> {
        let reading = self.store.query(scope).await?;
        let after = uuid_position(page.position(scope.tenant(), &reading)?)?;
        let owner = filter.owner.as_ref().map(|owner| Column::OwnerUser.eq(owner_column(owner)));
        let condition = visible(scope)
            .add_option(owner)
            .add_option(filter.provider.as_ref().map(|provider| Column::Provider.eq(provider.as_str())))
            .add_option(filter.account_name.as_ref().map(|name| Column::AccountName.eq(name.as_str())))
            .add_option(filter.state.map(|state| Column::State.eq(state.as_str())))
            .add_option(
                filter.health.as_ref().map(|health| health.condition(scope.tenant(), self.store.now())),
            )
            .add_option(
                filter.ends_before.map(|time| Column::Id.in_subquery(ending_before(scope.tenant(), time))),
            )
            .add_option((!filter.show_deleted).then(|| Column::DeleteTime.is_null()))
            .add_option(after.map(|id| Column::Id.gt(id)));
        let query = Entity::find().filter(condition).order_by_asc(Column::Id).limit(page.limit());
        let rows = query.stream(&reading.tx).await?.map(|row| connection(row?));
        let position = |last: &Connection| last.id.as_uuid().as_bytes().to_vec();
        page.read(self.store, scope.tenant(), reading.key(), rows, position).await
    }
}

/// The ids of a tenant's connections whose grant or key ends before an instant.
fn ending_before(tenant: &TenantId, time: Timestamp) -> SelectStatement {
    those(tenant, Condition::all().add(Health::GrantEndTime.lt(time.micros())))
}
