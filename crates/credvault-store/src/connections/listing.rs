//! The listing of connections, by filters and in pages.

use credvault_domain::{
    AccountName, AuthMode, Connection, ConnectionId, ConnectionState, Owner, ProviderId, TenantId,
    TenantScope, Timestamp,
};
use futures::StreamExt as _;
use sea_orm::sea_query::SelectStatement;
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, ExprTrait as _, PaginatorTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};

use crate::connections::row::{connection, owner_column, visible};
use crate::database::session::Reading;
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
    /// Only connections at one of these providers; none means any.
    pub providers: Vec<ProviderId>,
    /// Only connections with this account name.
    pub account_name: Option<AccountName>,
    /// Only connections in this state.
    pub state: Option<ConnectionState>,
    /// Only connections with this auth mode.
    pub auth_mode: Option<AuthMode>,
    /// Only connections with one of these ids; none means any.
    pub ids: Vec<ConnectionId>,
    /// Only enabled connections, or only disabled ones.
    pub enabled: Option<bool>,
    /// Only connections that were created before.
    pub created_before: Option<Timestamp>,
    /// Only connections that were created then or later.
    pub created_since: Option<Timestamp>,
    /// Only connections that were created, and last used if ever, before.
    pub unused_since: Option<Timestamp>,
    /// Only connections with this health.
    pub health: Option<HealthFilter>,
    /// Only connections whose grant or key ends before this instant.
    pub ends_before: Option<Timestamp>,
    /// Only connections whose credential is to be replaced before this instant.
    pub rotation_due_before: Option<Timestamp>,
    /// Deleted connections, too, until they are purged.
    pub show_deleted: bool,
}

/// How many connections are counted at most.
const MAX_COUNTED: u64 = 100_000;

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
        self.listed(self.store.query(scope).await?, scope, filter, page).await
    }

    /// The same for administration, of a tenant that is served or not.
    ///
    /// # Errors
    /// The tenant does not exist, the page token is wrong, or the database fails.
    pub async fn list_any(
        &self,
        scope: &TenantScope,
        filter: &ConnectionFilter,
        page: &Page,
    ) -> Result<Listed<Connection>, Error> {
        self.listed(self.store.query_any(scope.tenant()).await?, scope, filter, page).await
    }

    async fn listed(
        &self,
        reading: Reading,
        scope: &TenantScope,
        filter: &ConnectionFilter,
        page: &Page,
    ) -> Result<Listed<Connection>, Error> {
        let after = uuid_position(page.position(scope.tenant(), &reading)?)?;
        let condition =
            condition(scope, filter, self.store.now()).add_option(after.map(|id| Column::Id.gt(id)));
        let query = Entity::find().filter(condition).order_by_asc(Column::Id).limit(page.limit());
        let rows = query.stream(&reading.tx).await?.map(|row| connection(row?));
        let position = |last: &Connection| last.id.as_uuid().as_bytes().to_vec();
        page.read(self.store, scope.tenant(), reading.key(), rows, position).await
    }

    /// How many connections pass the filter, counted up to 100,000.
    ///
    /// # Errors
    /// The tenant does not exist, or the database fails.
    pub async fn count(&self, scope: &TenantScope, filter: &ConnectionFilter) -> Result<u64, Error> {
        let reading = self.store.query_any(scope.tenant()).await?;
        let query = Entity::find().filter(condition(scope, filter, self.store.now())).limit(MAX_COUNTED);
        Ok(query.count(&reading.tx).await?)
    }

    /// The token of the page that begins after the connection `last`, for a page that was worked off in part.
    ///
    /// # Errors
    /// The tenant does not exist, or the database fails.
    pub async fn token_after(
        &self,
        scope: &TenantScope,
        page: &Page,
        last: ConnectionId,
    ) -> Result<String, Error> {
        let reading = self.store.query_any(scope.tenant()).await?;
        page.token_after(self.store, scope.tenant(), reading.key(), last.as_uuid().as_bytes())
    }
}

fn condition(scope: &TenantScope, filter: &ConnectionFilter, now: Timestamp) -> Condition {
    let owner = filter.owner.as_ref().map(|owner| Column::OwnerUser.eq(owner_column(owner)));
    let before = |time: Timestamp| Column::CreateTime.lt(time.micros());
    let unused = |time: Timestamp| {
        let unused = Column::LastUsedTime.is_null().or(Column::LastUsedTime.lt(time.micros()));
        Column::CreateTime.lt(time.micros()).and(unused)
    };
    let ids: Vec<_> = filter.ids.iter().map(|id| id.as_uuid()).collect();
    let providers: Vec<_> = filter.providers.iter().map(ProviderId::as_str).collect();
    visible(scope)
        .add_option(owner)
        .add_option((!providers.is_empty()).then(|| Column::Provider.is_in(providers)))
        .add_option(filter.provider.as_ref().map(|provider| Column::Provider.eq(provider.as_str())))
        .add_option(filter.account_name.as_ref().map(|name| Column::AccountName.eq(name.as_str())))
        .add_option(filter.auth_mode.as_ref().map(|mode| Column::AuthMode.eq(mode.as_str())))
        .add_option(filter.state.map(|state| Column::State.eq(state.as_str())))
        .add_option(filter.health.as_ref().map(|health| health.condition(scope.tenant(), now)))
        .add_option(
            filter.ends_before.map(|time| Column::Id.in_subquery(ending_before(scope.tenant(), time))),
        )
        .add_option(filter.rotation_due_before.map(|time| Column::RotationDueTime.lt(time.micros())))
        .add_option((!ids.is_empty()).then(|| Column::Id.is_in(ids)))
        .add_option(filter.enabled.map(|enabled| Column::Enabled.eq(enabled)))
        .add_option(filter.created_before.map(before))
        .add_option(filter.created_since.map(|time| Column::CreateTime.gte(time.micros())))
        .add_option(filter.unused_since.map(unused))
        .add_option((!filter.show_deleted).then(|| Column::DeleteTime.is_null()))
}

/// The ids of a tenant's connections whose grant or key ends before an instant.
fn ending_before(tenant: &TenantId, time: Timestamp) -> SelectStatement {
    those(tenant, Condition::all().add(Health::GrantEndTime.lt(time.micros())))
}
