//! Usage of connections: counts by day that services report, and the vault's own counts of fetches and refreshes.
//!
//! No call updates a row of its own. What arrives is added up in memory first: the items of one report, reports that wait
//! for the same commit (`queue`), and the vault's own counts, which are written every few seconds. A report is answered once it is
//! durable, together with the memory of its request id (`writer`, `batches`); the vault's own counts may be lost with the
//! process (`buffer`).
//!
//! Every count stands in three tables, which differ in what they tell apart (`tally`); a question reads the smallest that
//! knows enough (`query`, `source`).

pub(crate) mod buffer;
pub(crate) mod query;
pub(crate) mod report;

mod batches;
mod endpoints;
pub(crate) mod erasure;
pub(crate) mod known;
mod owner;
mod queue;
pub(crate) mod source;
pub(crate) mod tally;
pub(crate) mod writer;

use credvault_domain::{ConnectionId, Owner, ProviderId, TenantScope};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _, Statement};

use crate::entity::connection::{Column, Entity};
use crate::usage::owner::{ERASED, OF_PLATFORM};
use crate::{Error, Store};
use known::UsedConnection;

/// The repository of usage.
#[derive(Clone, Copy, Debug)]
pub struct Usage<'a> {
    pub(crate) store: &'a Store,
}

impl Store {
    /// The repository of usage.
    pub fn usage(&self) -> Usage<'_> {
        Usage { store: self }
    }
}

impl Usage<'_> {
    /// The provider and owner of a connection of this scope, or of one that was purged and has counts.
    ///
    /// # Errors
    /// The tenant is not served, or the database fails.
    pub async fn connection(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
    ) -> Result<Option<UsedConnection>, Error> {
        use sea_orm::ConnectionTrait as _;
        let reading = self.store.read(scope).await?;
        let live = Entity::find()
            .filter(Column::TenantId.eq(scope.tenant().as_str()))
            .filter(Column::Id.eq(id.as_uuid()))
            .select_only()
            .columns([Column::Provider, Column::OwnerUser])
            .into_tuple::<(String, String)>();
        let found = match live.one(&reading.tx).await? {
            Some(found) => Some(found),
            None => {
                let sql = "SELECT provider, owner_user FROM usage_connections WHERE tenant_id = $1 AND connection_id = $2";
                let values = [scope.tenant().as_str().into(), id.as_uuid().into()];
                let asked = Statement::from_sql_and_values(reading.tx.get_database_backend(), sql, values);
                let row = reading.tx.query_one_raw(asked).await?;
                row.map(|row| Ok::<_, Error>((row.try_get("", "provider")?, row.try_get("", "owner_user")?)))
                    .transpose()?
            }
        };
        Ok(found.map(|(provider, owner)| used(scope, provider, &owner)).filter(|used| reached(scope, used)))
    }
}

/// A connection as it is stored beside its counts.
fn used(scope: &TenantScope, provider: String, owner_user: &str) -> UsedConnection {
    let owner = match owner_user {
        ERASED => None,
        OF_PLATFORM => Some(Owner::Platform),
        _ => Some(crate::connections::row::owner(scope.tenant().as_str(), owner_user)),
    };
    UsedConnection { provider: ProviderId::from_stored(provider), owner }
}

/// Whether a scope reaches a connection's counts: its own user's and shared ones, or all.
fn reached(scope: &TenantScope, used: &UsedConnection) -> bool {
    use credvault_domain::Reach;
    match (&used.owner, scope.reach()) {
        (_, Reach::AllUsers) => true,
        (Some(owner), Reach::User(_) | Reach::Shared) => owner.user().is_none_or(|user| scope.reaches(user)),
        (None, Reach::User(_) | Reach::Shared) => false,
    }
}
