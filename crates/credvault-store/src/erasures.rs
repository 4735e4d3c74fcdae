//! Erasing a tenant for good.
//!
//! The caller asks and gets a token (`request`). With the token (`confirm`), one transaction overwrites the tenant's wrapped
//! keys, so that nothing of it opens any more, suspends it, and writes a row into `erasures`, by which every call treats the
//! tenant as one that does not exist. Then the tenant's rows go, piece by piece; what a crash or the end of the call leaves,
//! upkeep does (`removal`). At the end the rows of the keys go, and the vault signs a statement (`statement`). SQLite's file is
//! rewritten after that, by upkeep (`remnants`).
//!
//! What stays: the row in `erasures`; the row in `tenants`, without its name, so that the id is never given away again; audit
//! records, which no role of the service can delete; and for a week the rows of the change feed, which hold ids only.

pub(crate) mod content;
pub(crate) mod record;
pub(crate) mod statement;

pub(crate) mod confirm;
mod remnants;
mod removal;
pub(crate) mod request;

use credvault_domain::TenantScope;
use futures::StreamExt as _;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};

use crate::database::transaction::{Access, across_tenants, begin};
use crate::entity::erasure::{Column, Entity};
use crate::erasures::record::{Erasure, ErasureState, erasure};
use crate::page::text_position;
use crate::{Error, Listed, Page, Store};

/// The repository of erased tenants.
#[derive(Clone, Copy, Debug)]
pub struct Erasures<'a> {
    pub(crate) store: &'a Store,
}

impl Store {
    /// The repository of erased tenants.
    pub fn erasures(&self) -> Erasures<'_> {
        Erasures { store: self }
    }
}

impl Erasures<'_> {
    /// The erasure of the tenant of `scope`.
    ///
    /// # Errors
    /// [`Error::NotErased`], or the database fails.
    pub async fn get(&self, scope: &TenantScope) -> Result<Erasure, Error> {
        let tenant = scope.tenant();
        let tx = begin(&self.store.reader(), self.store.database(), Access::Read, tenant).await?;
        let row = Entity::find_by_id(tenant.as_str()).one(&tx).await?;
        tx.rollback().await?;
        self.with_waiting(erasure(row.ok_or(Error::NotErased)?)?).await
    }

    /// A page of all erasures, ordered by the tenant's id. `platform` is the platform's own scope.
    ///
    /// # Errors
    /// The page token is wrong, or the database fails.
    pub async fn list(&self, platform: &TenantScope, page: &Page) -> Result<Listed<Erasure>, Error> {
        let (tx, after) = page.begin(self.store, platform).await?;
        let after = text_position(after)?.unwrap_or_default();
        across_tenants(&tx, self.store.database()).await?;
        let rows = Entity::find()
            .filter(Column::TenantId.gt(after))
            .order_by_asc(Column::TenantId)
            .limit(page.limit())
            .stream(&tx)
            .await?;
        let taken = page.take(rows.map(|row| erasure(row?))).await?;
        let position = |last: &Erasure| last.tenant.as_str().as_bytes().to_vec();
        let mut listed = page.end(self.store, platform, tx, taken, position).await?;
        for item in &mut listed.items {
            *item = self.with_waiting(item.clone()).await?;
        }
        Ok(listed)
    }

    /// The same with the external stores that it waits for.
    async fn with_waiting(&self, mut erasure: Erasure) -> Result<Erasure, Error> {
        if erasure.state == ErasureState::Erasing {
            erasure.waits_for = self.store.stores_of(&erasure.tenant).await?;
        }
        Ok(erasure)
    }
}
