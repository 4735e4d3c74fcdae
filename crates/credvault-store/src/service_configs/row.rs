//! Between rows of `service_configs` with their mappings and the domain's config.

use std::collections::HashMap;

use credvault_domain::{
    Config, ConnectionId, MappingName, Owner, ProviderId, Reach, ServiceConfig, ServiceMapping, ServiceName,
    TenantScope, Timestamp,
};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait as _, Condition, DatabaseTransaction, EntityTrait as _, QueryFilter as _, QueryOrder as _,
};
use serde_json::Value;
use uuid::Uuid;

use crate::Error;
use crate::connections::row::{owner, owner_column};
use crate::entity::service_config::{Column, Model};
use crate::entity::service_mapping;

/// Rows that a scope may see: the tenant's own, and of its users' those in reach.
pub(super) fn visible(scope: &TenantScope) -> Condition {
    let owners = match scope.reach() {
        Reach::User(user) => Some(Column::OwnerUser.is_in(["", user.as_str()])),
        Reach::Shared => Some(Column::OwnerUser.eq("")),
        Reach::AllUsers => None,
    };
    Condition::all().add(Column::TenantId.eq(scope.tenant().as_str())).add_option(owners)
}

/// The row of an owner's service, if the scope may see it.
pub(super) fn key(scope: &TenantScope, owner: &Owner, service: &ServiceName) -> Condition {
    visible(scope).add(Column::OwnerUser.eq(owner_column(owner))).add(Column::Service.eq(service.as_str()))
}

/// The configs of rows, with their mappings in one query.
pub(super) async fn with_mappings(
    tx: &DatabaseTransaction,
    rows: Vec<Model>,
) -> Result<Vec<ServiceConfig>, Error> {
    use service_mapping::Column;
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let mappings = service_mapping::Entity::find()
        .filter(Column::TenantId.eq(first.tenant_id.as_str()))
        .filter(Column::ConfigId.is_in(rows.iter().map(|row| row.id)))
        .order_by_asc(Column::Name);
    let mut of_config: HashMap<Uuid, Vec<ServiceMapping>> = HashMap::new();
    for row in mappings.all(tx).await? {
        of_config.entry(row.config_id).or_default().push(mapping(row)?);
    }
    let with_its = |row: Model| {
        let its = of_config.remove(&row.id).unwrap_or_default();
        config(row, its)
    };
    Ok(rows.into_iter().map(with_its).collect())
}

/// A config of a row and its mappings.
pub(super) fn config(row: Model, mappings: Vec<ServiceMapping>) -> ServiceConfig {
    ServiceConfig {
        id: row.id,
        owner: owner(&row.tenant_id, &row.owner_user),
        service: ServiceName::from_stored(row.service),
        enabled: row.enabled,
        mappings,
        revision: row.revision,
        create_time: Timestamp::from_micros(row.create_time),
        update_time: Timestamp::from_micros(row.update_time),
    }
}

fn mapping(row: service_mapping::Model) -> Result<ServiceMapping, Error> {
    let Value::Object(settings) = row.settings else { return Err(Error::Integrity) };
    Ok(ServiceMapping {
        name: MappingName::from_stored(row.name),
        connection: ConnectionId::from_uuid(row.connection_id),
        provider: ProviderId::from_stored(row.provider),
        settings: Config::from_stored(settings),
    })
}

/// The row of a mapping.
pub(super) fn mapping_row(config: &Model, mapping: &ServiceMapping) -> service_mapping::ActiveModel {
    service_mapping::ActiveModel {
        tenant_id: Set(config.tenant_id.clone()),
        config_id: Set(config.id),
        name: Set(mapping.name.as_str().to_owned()),
        connection_id: Set(mapping.connection.as_uuid()),
        provider: Set(mapping.provider.as_str().to_owned()),
        settings: Set(Value::Object(mapping.settings.as_object().clone())),
    }
}
