//! The listing of services' configs, by filters and in pages.

use credvault_domain::{ConnectionId, Owner, ServiceName, TenantScope};
use futures::stream;
use sea_orm::sea_query::Query;
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};

use crate::connections::row::{owner_column, visible as visible_connections};
use crate::connections::standing::standings;
use crate::entity::service_config::{Column, Entity, Model};
use crate::entity::{connection, service_mapping};
use crate::page::uuid_position;
use crate::service_configs::row::{visible, with_mappings};
use crate::{ConfiguredService, Error, Listed, PAGE_BYTES, Page, ServiceConfigs, Weighed};

/// How many configs are read at once: they may be large, and a page ends by bytes.
const CONFIGS_AT_ONCE: usize = 16;

/// Which configs are wanted. Everything given must hold.
#[derive(Clone, Default, Debug)]
pub struct ServiceConfigFilter {
    /// Only configs of this owner.
    pub owner: Option<Owner>,
    /// Only configs of this service.
    pub service: Option<ServiceName>,
    /// Only configs that use this connection.
    pub connection: Option<ConnectionId>,
    /// Only configs that are switched on, or off.
    pub enabled: Option<bool>,
}

impl ServiceConfigs<'_> {
    /// A page of configs, oldest first, with how their connections stand.
    ///
    /// # Errors
    /// The tenant is not served, the page token is wrong, or the database fails.
    pub async fn list(
        &self,
        scope: &TenantScope,
        filter: &ServiceConfigFilter,
        page: &Page,
    ) -> Result<Listed<ConfiguredService>, Error> {
        let reading = self.store.query(scope).await?;
        let after = uuid_position(page.position(scope.tenant(), &reading)?)?;
        let using = filter.connection.map(|id| {
            let mappings = Query::select()
                .column(service_mapping::Column::ConfigId)
                .from(service_mapping::Entity)
                .and_where(service_mapping::Column::TenantId.eq(scope.tenant().as_str()))
                .and_where(service_mapping::Column::ConnectionId.eq(id.as_uuid()))
                .to_owned();
            Column::Id.in_subquery(mappings)
        });
        let condition = visible(scope)
            .add_option(filter.owner.as_ref().map(|owner| Column::OwnerUser.eq(owner_column(owner))))
            .add_option(filter.service.as_ref().map(|service| Column::Service.eq(service.as_str())))
            .add_option(filter.enabled.map(|enabled| Column::Enabled.eq(enabled)))
            .add_option(using)
            .add_option(after.map(|id| Column::Id.gt(id)));
        let query = Entity::find().filter(condition).order_by_asc(Column::Id).limit(page.limit());
        let rows = query.all(&reading.tx).await?;
        let (mut items, mut bytes) = (Vec::new(), 0);
        for piece in rows.chunks(CONFIGS_AT_ONCE) {
            let read = configured(&reading.tx, scope, piece.to_vec()).await?;
            bytes += read.iter().map(Weighed::weight).sum::<usize>();
            items.extend(read);
            if bytes > PAGE_BYTES {
                break;
            }
        }
        let items = stream::iter(items.into_iter().map(Ok));
        let position = |last: &ConfiguredService| last.config.id.as_bytes().to_vec();
        page.read(self.store, scope.tenant(), reading.key(), items, position).await
    }
}

/// The configs of rows, with how their connections stand.
async fn configured(
    tx: &DatabaseTransaction,
    scope: &TenantScope,
    rows: Vec<Model>,
) -> Result<Vec<ConfiguredService>, Error> {
    let configs = with_mappings(tx, rows).await?;
    let ids = configs.iter().flat_map(|config| &config.mappings).map(|mapping| mapping.connection.as_uuid());
    let theirs = visible_connections(scope).add(connection::Column::Id.is_in(ids));
    let all = standings(tx, theirs).await?;
    let with_its = |config: credvault_domain::ServiceConfig| {
        let uses = |id: ConnectionId| config.mappings.iter().any(|mapping| mapping.connection == id);
        let connections = all.iter().filter(|standing| uses(standing.id)).cloned().collect();
        ConfiguredService { config, connections }
    };
    Ok(configs.into_iter().map(with_its).collect())
}
