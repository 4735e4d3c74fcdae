//! How many consents there may be: open at once, and begun within a minute. A caller with too many reads when there is
//! room again.

use std::time::Duration;

use credvault_domain::{ConnectionId, TenantScope, Timestamp, UserId};
use sea_orm::{
    ColumnTrait as _, Condition, DatabaseTransaction, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};

use super::Authorizations;
use crate::Error;
use crate::entity::authorization::{Column, Entity};

/// How many consents of one user may be open at once.
const MAX_OPEN_OF_USER: u64 = 20;
/// How many consents of one tenant may be open at once.
const MAX_OPEN_OF_TENANT: u64 = 200;
/// How many consents of one user may begin within a minute.
const MAX_STARTS_PER_MINUTE: u64 = 10;
/// The window over which beginnings are counted.
const MINUTE: Duration = Duration::from_secs(60);

impl Authorizations<'_> {
    /// Refuses a consent where the user or the tenant has as many as there may be, and says until when.
    pub(super) async fn check_limits(
        &self,
        tx: &DatabaseTransaction,
        scope: &TenantScope,
        (user, id): (Option<&UserId>, ConnectionId),
        now: Timestamp,
    ) -> Result<(), Error> {
        let tenant = Column::TenantId.eq(scope.tenant().as_str());
        let beginner = match user {
            Some(user) => Condition::all().add(Column::UserId.eq(user.as_str())),
            None => Condition::all().add(Column::UserId.is_null()).add(Column::ConnectionId.eq(id.as_uuid())),
        };
        // The instant at which there is room again, if there is none: that of the row which has `most - 1` later ones.
        let full = async |of: Condition, column: Column, after: Timestamp, most: u64| {
            let times: Vec<i64> = Entity::find()
                .filter(tenant.clone())
                .filter(of)
                .filter(column.gt(after.micros()))
                .order_by_desc(column)
                .limit(most)
                .select_only()
                .column(column)
                .into_tuple()
                .all(tx)
                .await?;
            let last = times.last().filter(|_| times.len() as u64 == most);
            Ok::<_, Error>(last.map(|time| Timestamp::from_micros(*time)))
        };
        let open = Column::ConsumeTime.is_null();
        let of_user = (beginner.clone().add(open.clone()), MAX_OPEN_OF_USER);
        let of_tenant = (Condition::all().add(open), MAX_OPEN_OF_TENANT);
        for (of, most) in [of_user, of_tenant] {
            if let Some(end) = full(of, Column::ExpireTime, now, most).await? {
                return Err(Error::TooManyAuthorizations { retry: now.until(end) });
            }
        }
        if let Some(start) =
            full(beginner, Column::CreateTime, now.before(MINUTE), MAX_STARTS_PER_MINUTE).await?
        {
            return Err(Error::TooManyStarts { retry: now.until(start.after(MINUTE)) });
        }
        Ok(())
    }
}
