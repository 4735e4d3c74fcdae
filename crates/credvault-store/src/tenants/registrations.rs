//! Apps that the vault registers by itself (RFC 7591): one replica at a time registers, and what it gets is stored only
//! where there is still no app.
//!
//! A process that ends between the server's answer and the commit leaves a client at the server that no request uses and
//! whose secret nothing has. When its lease is over, another client is registered.

use std::time::Duration;

use credvault_domain::{Action, AppPlace, AuditEvent, TenantId, TenantScope};
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _};

use super::apps::Apps;
use super::new_app::NewApp;
use crate::Error;
use crate::database::session::served;
use crate::entity::client_registration::{ActiveModel, Column, Entity};
use crate::error::violates;

impl Apps<'_> {
    /// Claims the registration of an app at a place for as long as `lease`. `false` if another replica has claimed it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn claim_registration(
        &self,
        scope: &TenantScope,
        place: &AppPlace,
        lease: Duration,
    ) -> Result<bool, Error> {
        let tenant = scope.tenant();
        let change = self.store().own_change(tenant).await?;
        Entity::delete_many()
            .filter(Column::TenantId.eq(tenant.as_str()))
            .filter(Column::Place.eq(place.to_stored()))
            .filter(Column::ExpireTime.lte(change.now.micros()))
            .exec(&change.tx)
            .await?;
        let row = ActiveModel {
            tenant_id: Set(tenant.as_str().to_owned()),
            place: Set(place.to_stored()),
            expire_time: Set(change.now.after(lease).micros()),
        };
        match Entity::insert(row).exec_without_returning(&change.tx).await {
            Ok(_) => change.commit(true).await.map(crate::Recorded::into_inner),
            Err(error) if violates(&error, "client_registrations_pkey", "client_registrations.place") => {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a claim back, because nothing was registered.
    ///
    /// # Errors
    /// The database fails; then the claim ends with its lease.
    pub async fn end_registration(&self, scope: &TenantScope, place: &AppPlace) -> Result<(), Error> {
        let change = self.store().own_change(scope.tenant()).await?;
        forget(&change.tx, scope.tenant(), place).await?;
        change.commit(()).await.map(crate::Recorded::into_inner)
    }

    /// Stores an app that the vault has registered, unless one was stored meanwhile, and gives the claim back.
    ///
    /// # Errors
    /// The tenant is not served, or the database fails.
    pub async fn put_registered(&self, scope: &TenantScope, new: &NewApp) -> Result<(), Error> {
        let tenant = scope.tenant();
        let (mut change, state) = self.store().own_sealing_change(tenant).await?;
        served(tenant, state)?;
        forget(&change.tx, tenant, &new.place).await?;
        if self.insert_if_absent(&mut change, new).await? {
            let mut event = AuditEvent::of(tenant.clone(), Action::PutOAuthApp);
            event.provider = Some(new.place.provider().clone());
            change.record(self.store().own(event)?);
        }
        change.commit(()).await.map(crate::Recorded::into_inner)
    }
}

async fn forget(tx: &DatabaseTransaction, tenant: &TenantId, place: &AppPlace) -> Result<(), DbErr> {
    let key = (tenant.as_str().to_owned(), place.to_stored());
    Entity::delete_by_id(key).exec(tx).await.map(drop)
}
