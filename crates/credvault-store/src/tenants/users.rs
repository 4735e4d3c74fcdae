//! Users of a tenant: the owners of connections.

use std::time::Instant;

use credvault_domain::{TenantScope, Timestamp, UserId};
use futures::StreamExt as _;
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, Order, Query};
use sea_orm::{ColumnTrait as _, StreamTrait as _};

use crate::change::retrying;
use crate::database::pieces::execute;
use crate::entity::connection::{Column, Entity};
use crate::page::text_position;
use crate::tenants::user_deletions::mark;
use crate::{Error, Listed, Page, Recorded, Store, Write};

/// A user as administration sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// The tenant's own id of the user.
    pub id: UserId,
    /// How many connections the user owns, deleted ones that are not purged yet included.
    pub connections: i64,
    /// When one of them was last used.
    pub last_used_time: Option<Timestamp>,
}

/// The repository of users.
#[derive(Clone, Copy, Debug)]
pub struct Users<'a> {
    pub(crate) store: &'a Store,
}

impl Store {
    /// The repository of users.
    pub fn users(&self) -> Users<'_> {
        Users { store: self }
    }
}

impl Users<'_> {
    /// A page of the users who own connections, ordered by id.
    ///
    /// # Errors
    /// The tenant does not exist, the page token is wrong, or the database fails.
    pub async fn list(&self, scope: &TenantScope, page: &Page) -> Result<Listed<User>, Error> {
        let reading = self.store.query_any(scope.tenant()).await?;
        let after = text_position(page.position(scope.tenant(), &reading)?)?.unwrap_or_default();
        let mut query = Query::select();
        query
            .from(Entity)
            .column(Column::OwnerUser)
            .expr_as(Expr::col(Column::Id).count(), Alias::new("connections"))
            .expr_as(Expr::col(Column::LastUsedTime).max(), Alias::new("last_used"))
            .and_where(Column::TenantId.eq(scope.tenant().as_str()))
            .and_where(Column::OwnerUser.gt(after))
            .add_group_by([Expr::col(Column::OwnerUser)])
            .order_by(Column::OwnerUser, Order::Asc)
            .limit(page.limit());
        let user = |row: Result<sea_orm::QueryResult, sea_orm::DbErr>| {
            let row = row?;
            Ok(User {
                id: UserId::from_stored(row.try_get("", "owner_user")?),
                connections: row.try_get("", "connections")?,
                last_used_time: row.try_get::<Option<i64>>("", "last_used")?.map(Timestamp::from_micros),
            })
        };
        let rows = reading.tx.stream(&query).await?.map(user);
        let position = |last: &User| last.id.as_str().as_bytes().to_vec();
        page.read(self.store, scope.tenant(), reading.key(), rows, position).await
    }

    /// Permanently removes everything that a user owns, with the sent events about the user, and returns the number of
    /// removed connections. None of them is served once this returns. Upkeep removes what remains at `until`, and
    /// continues if this fails half-way.
    ///
    /// A repetition continues the first request, and removes nothing that was created since.
    ///
    /// # Errors
    /// The tenant does not exist, or the database fails.
    pub async fn delete(
        &self,
        scope: &TenantScope,
        user: &UserId,
        write: &Write,
        until: Instant,
    ) -> Result<Recorded<i64>, Error> {
        let begun = retrying(write, || async move {
            let (change, _) = self.store.change_any(scope, write).await?;
            if change.prior().is_none() {
                mark(&change.tx, scope.tenant(), user, change.now.micros()).await?;
                let forget = "DELETE FROM platform_dependants WHERE tenant_id = $1 AND user_id = $2";
                execute(&change.tx, forget, [scope.tenant().as_str().into(), user.as_str().into()]).await?;
            }
            change.commit(()).await
        })
        .await?;
        let removed = self.store.delete_connections_of(scope.tenant(), user).await?;
        while Instant::now() < until && self.store.purge_piece(scope.tenant(), Some(user)).await? > 0 {}
        Ok(begun.map(|()| removed))
    }
}
