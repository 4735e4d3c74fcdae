//! Users of a tenant: the owners of connections, and those for whom services have called.

use std::time::Instant;

use credvault_domain::{ProviderId, TenantScope, Timestamp, UserId};
use futures::StreamExt as _;
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryResult, QuerySelect as _, Statement,
    StreamTrait as _,
};

use crate::change::retrying;
use crate::connect_sessions::end::end_all;
use crate::connections::purge::Purging;
use crate::database::pieces::execute;
use crate::entity::connection::{Column, Entity};
use crate::page::text_position;
use crate::tenants::user_deletions::{DeletedUser, GrantEndings, mark};
use crate::usage::erasure;
use crate::{Error, Listed, Page, Recorded, Store, Write};

/// A user as administration sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// The tenant's own id of the user.
    pub id: UserId,
    /// How many connections the user owns, deleted ones that are not purged yet included.
    pub connections: i64,
    /// How many of them are not deleted and in the state ERROR.
    pub broken_connections: i64,
    /// When one of them was last used.
    pub last_used_time: Option<Timestamp>,
    /// When the user was first the verified user of a call, or the first of the connections was created.
    pub first_seen_time: Option<Timestamp>,
    /// When the user was last the verified user of a call, to the minute.
    pub last_seen_time: Option<Timestamp>,
}

/// A page of users: of the tenant `$1`, after the id `$2`, at most `$3`.
const LIST: &str = "
    SELECT u.user_id, count(c.id) AS connections,
        count(CASE WHEN c.state = 'ERROR' AND c.delete_time IS NULL THEN 1 END) AS broken,
        max(c.last_used_time) AS last_used, min(c.create_time) AS first_created,
        min(s.first_time) AS first_seen, max(s.last_time) AS last_seen
    FROM (
        SELECT owner_user AS user_id FROM connections WHERE tenant_id = $1 AND owner_user > $2
        UNION SELECT user_id FROM user_sightings WHERE tenant_id = $1 AND user_id > $2
        ORDER BY 1 LIMIT $3
    ) u
    LEFT JOIN connections c ON c.tenant_id = $1 AND c.owner_user = u.user_id
    LEFT JOIN user_sightings s ON s.tenant_id = $1 AND s.user_id = u.user_id
    GROUP BY u.user_id ORDER BY u.user_id";

fn user(row: &QueryResult) -> Result<User, Error> {
    let time = |column: &str| -> Result<_, Error> {
        Ok(row.try_get::<Option<i64>>("", column)?.map(Timestamp::from_micros))
    };
    let (created, seen) = (time("first_created")?, time("first_seen")?);
    Ok(User {
        id: UserId::from_stored(row.try_get("", "user_id")?),
        connections: row.try_get("", "connections")?,
        broken_connections: row.try_get("", "broken")?,
        last_used_time: time("last_used")?,
        first_seen_time: created.into_iter().chain(seen).min(),
        last_seen_time: time("last_seen")?,
    })
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
    /// A page of the users who own connections or were seen as the verified user of a call, ordered by id.
    ///
    /// # Errors
    /// The tenant does not exist, the page token is wrong, or the database fails.
    pub async fn list(&self, scope: &TenantScope, page: &Page) -> Result<Listed<User>, Error> {
        self.store.write_sightings().await?;
        let reading = self.store.query_any(scope.tenant()).await?;
        let after = text_position(page.position(scope.tenant(), &reading)?)?.unwrap_or_default();
        let limit = i64::try_from(page.limit()).unwrap_or(i64::MAX);
        let values = [scope.tenant().as_str().into(), after.into(), limit.into()];
        let asked = Statement::from_sql_and_values(reading.tx.get_database_backend(), LIST, values);
        let rows = reading.tx.stream_raw(asked).await?.map(|row| user(&row?));
        let position = |last: &User| last.id.as_str().as_bytes().to_vec();
        page.read(self.store, scope.tenant(), reading.key(), rows, position).await
    }

    /// The providers at which a user has connections, deleted ones that are not purged yet included.
    ///
    /// # Errors
    /// The tenant does not exist, or the database fails.
    pub async fn providers_of(&self, scope: &TenantScope, user: &UserId) -> Result<Vec<ProviderId>, Error> {
        let reading = self.store.read_any(scope.tenant()).await?;
        let providers: Vec<String> = Entity::find()
            .filter(Column::TenantId.eq(scope.tenant().as_str()))
            .filter(Column::OwnerUser.eq(user.as_str()))
            .select_only()
            .column(Column::Provider)
            .distinct()
            .into_tuple()
            .all(&reading.tx)
            .await?;
        Ok(providers.into_iter().map(ProviderId::from_stored).collect())
    }

    /// Permanently removes everything that a user owns, with the sent events about the user, and tells what that was. No
    /// connection is served once this returns. Upkeep removes what remains at `until`, and continues if this fails half-way.
    ///
    /// With `revoke`, which tells what is to happen to each grant, the secrets are destroyed at once, and each connection
    /// stays until its grant is revoked.
    ///
    /// A repetition continues the first request, and removes nothing that was created since.
    ///
    /// # Errors
    /// The tenant does not exist, or the database fails.
    pub async fn delete(
        &self,
        scope: &TenantScope,
        user: &UserId,
        revoke: Option<GrantEndings<'_>>,
        write: &Write,
        until: Instant,
    ) -> Result<Recorded<DeletedUser>, Error> {
        let begun = retrying(write, || async move {
            let (change, _) = self.store.change_any(scope, write).await?;
            if change.prior().is_none() {
                mark(&change.tx, scope.tenant(), user, change.now.micros(), revoke.is_some()).await?;
                erasure::mark(&change.tx, scope.tenant(), user, change.now).await?;
                end_all(&change.tx, scope.tenant(), Some(user)).await?;
                let forget = "DELETE FROM platform_dependants WHERE tenant_id = $1 AND user_id = $2";
                execute(&change.tx, forget, [scope.tenant().as_str().into(), user.as_str().into()]).await?;
            }
            change.commit(()).await
        })
        .await?;
        let deleted = self.store.delete_connections_of(scope.tenant(), user, revoke).await?;
        let these = Purging::OwnedBy(user);
        while Instant::now() < until && self.store.purge_piece(scope.tenant(), these).await? > 0 {}
        self.store.erase_from_usage(scope.tenant(), user.as_str(), until).await?;
        Ok(begun.map(|()| deleted))
    }
}
