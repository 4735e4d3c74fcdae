//! The repository of tenants, for administration.

pub(crate) mod apps;
pub(crate) mod new_app;
pub(crate) mod new_tenant;
pub(crate) mod rates;
mod registrations;
pub(crate) mod rules;
pub(crate) mod sightings;
pub(crate) mod use_of_limits;
pub(crate) mod user_deletions;
pub(crate) mod users;

use credvault_domain::{Tenant, TenantId, TenantScope, TenantState, Timestamp};
use futures::StreamExt as _;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};

use crate::change::feed::{ChangeKind, ChangeSubject};
use crate::change::retrying;
use crate::connect_sessions::end::end_all;
use crate::database::erased::is_erased;
use crate::database::transaction;
use crate::entity::tenant::{Column, Entity, Model};
use crate::error::violates;
use crate::events::lifetime::DELIVERY_LIFETIME;
use crate::page::text_position;
use crate::tenants::new_tenant::NewTenant;
use crate::{Error, Listed, Page, Recorded, Store, Write};

/// The repository of tenants.
#[derive(Clone, Copy, Debug)]
pub struct Tenants<'a> {
    pub(crate) store: &'a Store,
}

impl Store {
    /// The repository of tenants.
    pub fn tenants(&self) -> Tenants<'_> {
        Tenants { store: self }
    }
}

impl Tenants<'_> {
    /// Creates the tenant of `scope` with its first key.
    ///
    /// # Errors
    /// [`Error::TenantExists`].
    pub async fn create(
        &self,
        scope: &TenantScope,
        display_name: &str,
        write: &Write,
    ) -> Result<Recorded<Tenant>, Error> {
        retrying(write, || self.try_create(scope, display_name, write)).await
    }

    async fn try_create(
        &self,
        scope: &TenantScope,
        display_name: &str,
        write: &Write,
    ) -> Result<Recorded<Tenant>, Error> {
        // A repetition finds the tenant, and with it the memory of the first request.
        match self.store.change_any(scope, write).await {
            Ok((change, _)) if change.prior().is_some() => {
                let model = find(&change.tx, scope.tenant()).await?;
                return change.commit(tenant(model)?).await;
            }
            Ok(_) => return Err(Error::TenantExists(scope.tenant().clone())),
            Err(Error::TenantNotFound(_)) => {}
            Err(error) => return Err(error),
        }
        let (id, keyring) = (scope.tenant(), self.store.keyring());
        if self.store.is_erased(id).await? {
            return Err(Error::TenantErased(id.clone()));
        }
        let before = self.store.keys().generation().await?;
        let wrapped = keyring.generate(id, 1).await?;
        let key = keyring.unwrap(id, 1, &wrapped.bytes).await?;
        let mut change = self.store.change_of_new_tenant(scope, key, write).await?;
        let generation = self.store.keys().generation_of(&change.tx, wrapped.root_id, before).await?;
        let new = NewTenant { id, display_name, generation, wrapped };
        let model = match new.insert(&change.tx, change.now.micros()).await {
            Err(Error::Unavailable(error)) if violates(&error, "tenants_pkey", "tenants.tenant_id") => {
                return Err(Error::Conflict);
            }
            inserted => inserted?,
        };
        self.store.insert_audit_key(&change.tx, id, change.key()?).await?;
        change.record_change(ChangeSubject::Tenant, ChangeKind::Created, None);
        change.commit(tenant(model)?).await
    }

    /// The tenant of `scope`.
    ///
    /// # Errors
    /// [`Error::TenantNotFound`].
    pub async fn get(&self, scope: &TenantScope) -> Result<Tenant, Error> {
        let tx = self.store.look(scope.tenant()).await?;
        tenant(find(&tx, scope.tenant()).await?)
    }

    /// A page of all tenants, ordered by id. `platform` is the platform's own scope.
    ///
    /// # Errors
    /// The page token is wrong, or the database fails.
    pub async fn list(
        &self,
        platform: &TenantScope,
        state: Option<TenantState>,
        page: &Page,
    ) -> Result<Listed<Tenant>, Error> {
        let (tx, after) = page.begin(self.store, platform).await?;
        let after = text_position(after)?;
        // In the same transaction: waiting for a second connection while holding one can starve everybody.
        transaction::across_tenants(&tx, self.store.database()).await?;
        let mut query = Entity::find()
            .filter(Column::TenantId.ne(TenantId::PLATFORM))
            .filter(Expr::cust("tenants.tenant_id NOT IN (SELECT e.tenant_id FROM erasures e)"));
        if let Some(state) = state {
            query = query.filter(Column::State.eq(state.as_str()));
        }
        if let Some(after) = after {
            query = query.filter(Column::TenantId.gt(after));
        }
        let rows = query.order_by_asc(Column::TenantId).limit(page.limit()).stream(&tx).await?;
        let taken = page.take(rows.map(|row| tenant(row?))).await?;
        let position = |last: &Tenant| last.id.as_str().as_bytes().to_vec();
        page.end(self.store, platform, tx, taken, position).await
    }

    /// Stops or resumes serving the tenant of `scope`. Asking for the state that it is in changes nothing.
    ///
    /// # Errors
    /// [`Error::TenantNotFound`].
    pub async fn set_state(
        &self,
        scope: &TenantScope,
        state: TenantState,
        write: &Write,
    ) -> Result<Recorded<Tenant>, Error> {
        retrying(write, || async move {
            let mut change = self.store.keyless_change(scope, write).await?;
            let query = Entity::find_by_id(scope.tenant().as_str()).lock_exclusive();
            let model =
                query.one(&change.tx).await?.ok_or_else(|| Error::TenantNotFound(scope.tenant().clone()))?;
            if change.prior().is_some() || model.state == state.as_str() {
                return change.commit(tenant(model)?).await;
            }
            // It may have been erased while this waited for the lock, and an erased tenant is suspended for ever.
            if is_erased(&change.tx, scope.tenant()).await? {
                return Err(Error::TenantNotFound(scope.tenant().clone()));
            }
            let revision = model.revision + 1;
            let mut row = model.into_active_model();
            row.state = Set(state.as_str().to_owned());
            if state == TenantState::Active {
                // What waits has all its time again.
                row.delivery_grace_time = Set(Some(change.now.after(DELIVERY_LIFETIME).micros()));
            }
            row.revision = Set(revision);
            row.update_time = Set(change.now.micros());
            if state == TenantState::Suspended {
                // Also for good: a tenant that is resumed has its customers open their pages anew.
                end_all(&change.tx, scope.tenant(), None).await?;
            }
            let updated = tenant(row.update(&change.tx).await?)?;
            let kind = match state {
                TenantState::Active => ChangeKind::Resumed,
                TenantState::Suspended => ChangeKind::Suspended,
            };
            change.record_change(ChangeSubject::Tenant, kind, None);
            change.commit(updated).await
        })
        .await
    }
}

async fn find<C: sea_orm::ConnectionTrait>(db: &C, id: &TenantId) -> Result<Model, Error> {
    Entity::find_by_id(id.as_str()).one(db).await?.ok_or_else(|| Error::TenantNotFound(id.clone()))
}

fn tenant(model: Model) -> Result<Tenant, Error> {
    Ok(Tenant {
        id: TenantId::from_stored(model.tenant_id),
        display_name: model.display_name,
        state: TenantState::from_stored(&model.state).ok_or(Error::Integrity)?,
        revision: model.revision,
        create_time: Timestamp::from_micros(model.create_time),
        update_time: Timestamp::from_micros(model.update_time),
    })
}
