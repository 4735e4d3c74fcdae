//! The repository of services' configs: which internal services a tenant or a user has switched on, and the connections
//! that they use. A config outlives its connections: what a service was set up with is removed by its owner only.

pub(crate) mod affected;
pub(crate) mod listing;
pub(crate) mod merge;
pub(crate) mod row;

use credvault_domain::{
    ConnectionId, Etag, MappingName, Owner, ProviderId, ServiceConfig, ServiceName, TenantScope,
};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, PaginatorTrait as _,
    QueryFilter as _, QuerySelect as _,
};

use crate::change::feed::{ChangeKind, ChangeSubject};
use crate::change::outbox::NewEvent;
use crate::change::{Change, retrying};
use crate::connections::row::owner_column;
use crate::connections::standing::{ConnectionStanding, standings};
use crate::entity::service_config::{ActiveModel, Column, Entity, Model};
use crate::entity::{connection, service_mapping};
use crate::error::violates;
use crate::service_configs::merge::merged;
use crate::service_configs::row::{mapping_row, with_mappings};
use crate::{Error, Recorded, Store, Write};

pub use merge::{MappingChange, ServiceConfigChange};

/// The most services of one owner.
const MAX_SERVICES: u64 = 256;

/// A config with how the connections stand that it names.
#[derive(Clone, Debug)]
pub struct ConfiguredService {
    /// The config with its mappings.
    pub config: ServiceConfig,
    /// Its connections that are not purged.
    pub connections: Vec<ConnectionStanding>,
}

/// The repository of services' configs.
#[derive(Clone, Copy, Debug)]
pub struct ServiceConfigs<'a> {
    pub(crate) store: &'a Store,
}

impl Store {
    /// The repository of services' configs.
    pub fn service_configs(&self) -> ServiceConfigs<'_> {
        ServiceConfigs { store: self }
    }
}

impl ServiceConfigs<'_> {
    /// The config of a service, if this owner has one.
    ///
    /// # Errors
    /// The tenant is not served, or the database fails.
    pub async fn find(
        &self,
        scope: &TenantScope,
        owner: &Owner,
        service: &ServiceName,
    ) -> Result<Option<ServiceConfig>, Error> {
        let reading = self.store.read(scope).await?;
        let stored = Entity::find().filter(row::key(scope, owner, service)).one(&reading.tx).await?;
        Ok(with_mappings(&reading.tx, stored.into_iter().collect()).await?.pop())
    }

    /// Creates a config, or changes what is named of it.
    ///
    /// # Errors
    /// It has another etag; a connection is not one that its owner reaches ([`Error::ConnectionNotFound`]); a new mapping
    /// has no connection, or there is too much of something.
    pub async fn set(
        &self,
        scope: &TenantScope,
        new: &ServiceConfigChange,
        write: &Write,
    ) -> Result<Recorded<ConfiguredService>, Error> {
        retrying(write, || self.try_set(scope, new, write)).await
    }

    async fn try_set(
        &self,
        scope: &TenantScope,
        new: &ServiceConfigChange,
        write: &Write,
    ) -> Result<Recorded<ConfiguredService>, Error> {
        let mut change = self.store.change(scope, write).await?;
        let key = row::key(scope, &new.owner, &new.service);
        let stored = Entity::find().filter(key).lock_exclusive().one(&change.tx).await?;
        if change.prior().is_some() {
            let config = with_mappings(&change.tx, stored.into_iter().collect()).await?.pop();
            let config = config.ok_or(Error::ServiceConfigNotFound)?;
            return configured(change, scope, config).await;
        }
        check_etag(stored.as_ref(), new.etag)?;
        let providers = reached(&change, scope, new).await?;
        let before = stored.clone();
        let before = with_mappings(&change.tx, before.into_iter().collect()).await?.pop();
        let mappings = before.map(|config| config.mappings).unwrap_or_default();
        let mappings = merged(mappings, new, &providers).map_err(Error::Mappings)?;
        let kind = if stored.is_some() { ChangeKind::Updated } else { ChangeKind::Created };
        let model = self.saved(&change, scope, new, stored).await?;
        let touched = new.set.iter().map(|mapping| &mapping.name).chain(&new.remove);
        service_mapping::Entity::delete_many()
            .filter(service_mapping::Column::TenantId.eq(model.tenant_id.as_str()))
            .filter(service_mapping::Column::ConfigId.eq(model.id))
            .filter(service_mapping::Column::Name.is_in(touched.map(MappingName::as_str)))
            .exec(&change.tx)
            .await?;
        let is_set = |name: &MappingName| new.set.iter().any(|mapping| mapping.name == *name);
        let rows = mappings.iter().filter(|mapping| is_set(&mapping.name));
        let rows: Vec<_> = rows.map(|mapping| mapping_row(&model, mapping)).collect();
        if !rows.is_empty() {
            service_mapping::Entity::insert_many(rows).exec_without_returning(&change.tx).await?;
        }
        let config = row::config(model, mappings);
        note(&mut change, &config, kind);
        change.emit(NewEvent::service_config(scope.tenant(), &config, true));
        configured(change, scope, config).await
    }

    /// Inserts the row, or updates the one that is stored.
    async fn saved(
        &self,
        change: &Change<'_>,
        scope: &TenantScope,
        new: &ServiceConfigChange,
        stored: Option<Model>,
    ) -> Result<Model, Error> {
        let now = change.now.micros();
        if let Some(stored) = stored {
            let (revision, enabled) = (stored.revision + 1, new.enabled.unwrap_or(stored.enabled));
            let mut row = stored.into_active_model();
            row.enabled = Set(enabled);
            row.revision = Set(revision);
            row.update_time = Set(now);
            return Ok(row.update(&change.tx).await?);
        }
        let of_owner = row::visible(scope).add(Column::OwnerUser.eq(owner_column(&new.owner)));
        if Entity::find().filter(of_owner).count(&change.tx).await? >= MAX_SERVICES {
            return Err(Error::TooManyServiceConfigs);
        }
        let row = ActiveModel {
            tenant_id: Set(scope.tenant().as_str().to_owned()),
            id: Set(self.store.new_id()?),
            owner_user: Set(owner_column(&new.owner).to_owned()),
            service: Set(new.service.as_str().to_owned()),
            enabled: Set(new.enabled.unwrap_or(true)),
            revision: Set(1),
            create_time: Set(now),
            update_time: Set(now),
        };
        match row.insert(&change.tx).await {
            // Another call has created it at this moment: the next attempt changes that one.
            Err(error) if violates(&error, "service_configs_service", "service_configs.service") => {
                Err(Error::Conflict)
            }
            inserted => Ok(inserted?),
        }
    }

    /// Removes a config with its mappings, and returns it as it was; `None` for a repeated request.
    ///
    /// # Errors
    /// There is none, or it has another etag.
    pub async fn delete(
        &self,
        scope: &TenantScope,
        owner: &Owner,
        service: &ServiceName,
        etag: Option<Etag>,
        write: &Write,
    ) -> Result<Recorded<Option<ServiceConfig>>, Error> {
        retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            if change.prior().is_some() {
                return change.commit(None).await;
            }
            let stored = Entity::find().filter(row::key(scope, owner, service)).lock_exclusive();
            let stored = stored.one(&change.tx).await?.ok_or(Error::ServiceConfigNotFound)?;
            check_etag(Some(&stored), etag)?;
            let key = (stored.tenant_id.clone(), stored.id);
            let config = with_mappings(&change.tx, vec![stored]).await?.pop().ok_or(Error::Integrity)?;
            Entity::delete_by_id(key).exec(&change.tx).await?;
            note(&mut change, &config, ChangeKind::Deleted);
            change.emit(NewEvent::service_config(scope.tenant(), &config, false));
            change.commit(Some(config)).await
        })
        .await
    }
}

/// How records name the config of a service.
pub fn service_config_name(service: &ServiceName) -> String {
    format!("service_configs/{service}")
}

/// Sets what the change is about, and adds its row to the feed.
fn note(change: &mut Change<'_>, config: &ServiceConfig, kind: ChangeKind) {
    change.set_subject(config.id, service_config_name(&config.service), None);
    change.set_owner(owner_column(&config.owner));
    change.record_change(ChangeSubject::ServiceConfig(config.id), kind, None);
}

fn check_etag(stored: Option<&Model>, etag: Option<Etag>) -> Result<(), Error> {
    match etag {
        Some(etag) if stored.map(|stored| stored.revision) != Some(etag.revision()) => {
            Err(Error::EtagMismatch)
        }
        _ => Ok(()),
    }
}

/// The providers of the connections that are set, each of which the config's owner must reach: its own or a shared one,
/// not deleted.
async fn reached(
    change: &Change<'_>,
    scope: &TenantScope,
    new: &ServiceConfigChange,
) -> Result<Vec<(ConnectionId, ProviderId)>, Error> {
    use connection::Column;
    if new.owner.user().is_some_and(|user| !scope.reaches(user)) {
        return Err(Error::ServiceConfigNotFound);
    }
    let ids: Vec<_> = new.set.iter().filter_map(|mapping| mapping.connection).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let of_owner = crate::connections::row::visible(scope)
        .add(Column::OwnerUser.is_in(["", owner_column(&new.owner)]))
        .add(Column::Id.is_in(ids.iter().map(ConnectionId::as_uuid)));
    let found = standings(&change.tx, of_owner).await?;
    if found.iter().any(|found| found.delete_time.is_some()) {
        return Err(Error::State(crate::connections::lock::DELETED));
    }
    let found: Vec<_> = found.into_iter().map(|found| (found.id, found.provider)).collect();
    match ids.iter().all(|id| found.iter().any(|(known, _)| known == id)) {
        true => Ok(found),
        false => Err(Error::ConnectionNotFound),
    }
}

/// Commits, with how the connections of the config stand now.
async fn configured(
    change: Change<'_>,
    scope: &TenantScope,
    config: ServiceConfig,
) -> Result<Recorded<ConfiguredService>, Error> {
    let ids = config.mappings.iter().map(|mapping| mapping.connection.as_uuid());
    let theirs = crate::connections::row::visible(scope).add(connection::Column::Id.is_in(ids));
    let connections = standings(&change.tx, theirs).await?;
    change.commit(ConfiguredService { config, connections }).await
}
