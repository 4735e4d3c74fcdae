//! The services that a connection breaks, and the configs that go with their user.

use credvault_domain::{
    ConnectionId, MappingName, Owner, ProviderId, ServiceName, TenantId, TenantScope, Timestamp, UserId,
};
use sea_orm::sea_query::{Expr, ExprTrait as _, IntoCondition as _};
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, JoinType, PaginatorTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};

use crate::change::Change;
use crate::change::feed::{ChangeKind, ChangeSubject};
use crate::change::outbox::NewEvent;
use crate::connections::row::owner;
use crate::database::pieces::PIECE;
use crate::entity::service_config::{Column, Entity};
use crate::entity::service_mapping;
use crate::service_configs::row::{config, visible};
use crate::{Error, ServiceConfigs};

/// The most uses that are told of one connection.
const MAX_USES: u64 = 500;

/// A use that a service makes of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceUse {
    /// The name of the service.
    pub service: ServiceName,
    /// The mapping in its config.
    pub mapping: MappingName,
    /// Whose config it is.
    pub owner: Owner,
    /// Whether the service is switched on.
    pub enabled: bool,
    /// The provider of the connection.
    pub provider: ProviderId,
}

/// The uses that services make of one connection.
#[derive(Clone, Default, Debug)]
pub struct ConnectionUses {
    /// Those in configs that the scope reaches, at most 500, the oldest config's first.
    pub reached: Vec<ServiceUse>,
    /// How many there are in all configs of the tenant.
    pub total: u64,
}

impl ServiceConfigs<'_> {
    /// The uses of a connection: which this scope reaches, and how many there are.
    ///
    /// # Errors
    /// The tenant is not served, or the database fails.
    pub async fn uses_of(&self, scope: &TenantScope, id: ConnectionId) -> Result<ConnectionUses, Error> {
        let reading = self.store.read(scope).await?;
        let of_connection = service_mapping::Column::ConnectionId.eq(id.as_uuid());
        let of_tenant = service_mapping::Column::TenantId.eq(scope.tenant().as_str());
        let rows: Vec<(String, String, String, bool, String, String)> = Entity::find()
            .join(JoinType::InnerJoin, mappings())
            .filter(visible(scope).add(of_tenant.clone()).add(of_connection.clone()))
            .order_by_asc(Column::Id)
            .order_by_asc(service_mapping::Column::Name)
            .limit(MAX_USES)
            .select_only()
            .columns([Column::TenantId, Column::OwnerUser, Column::Service])
            .column(Column::Enabled)
            .columns([service_mapping::Column::Name, service_mapping::Column::Provider])
            .into_tuple()
            .all(&reading.tx)
            .await?;
        let one = |(tenant, owner_user, service, enabled, name, provider): (String, String, _, _, _, _)| {
            ServiceUse {
                service: ServiceName::from_stored(service),
                mapping: MappingName::from_stored(name),
                owner: owner(&tenant, &owner_user),
                enabled,
                provider: ProviderId::from_stored(provider),
            }
        };
        let all = service_mapping::Entity::find().filter(of_tenant).filter(of_connection);
        let total = all.count(&reading.tx).await?;
        Ok(ConnectionUses { reached: rows.into_iter().map(one).collect(), total })
    }
}

/// From configs to their mappings.
fn mappings() -> sea_orm::RelationDef {
    Entity::belongs_to(service_mapping::Entity)
        .from(Column::Id)
        .to(service_mapping::Column::ConfigId)
        .on_condition(|left, right| {
            let tenant = Expr::col((right, service_mapping::Column::TenantId));
            tenant.equals((left, Column::TenantId)).into_condition()
        })
        .into()
}

/// Removes a piece of the configs that a user has created until an instant, and tells how many those were.
pub(crate) async fn delete_piece_of_user(
    change: &mut Change<'_>,
    tenant: &TenantId,
    user: &UserId,
    until: Timestamp,
) -> Result<usize, Error> {
    let of_user = Condition::all()
        .add(Column::TenantId.eq(tenant.as_str()))
        .add(Column::OwnerUser.eq(user.as_str()))
        .add(Column::CreateTime.lte(until.micros()));
    let rows = Entity::find().filter(of_user).order_by_asc(Column::Id).limit(PIECE).lock_exclusive();
    let rows = rows.all(&change.tx).await?;
    if rows.is_empty() {
        return Ok(0);
    }
    Entity::delete_many()
        .filter(Column::TenantId.eq(tenant.as_str()))
        .filter(Column::Id.is_in(rows.iter().map(|row| row.id)))
        .exec(&change.tx)
        .await?;
    let removed = rows.len();
    for row in rows {
        change.record_change(ChangeSubject::ServiceConfig(row.id), ChangeKind::Deleted, None);
        change.emit(NewEvent::config_of_deleted_user(tenant, &config(row, Vec::new())));
    }
    Ok(removed)
}
