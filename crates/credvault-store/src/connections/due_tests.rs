//! Finds the credentials that the vault tests again at their provider by itself.

use std::time::Duration;

use credvault_domain::{Random, TenantId, TenantState, Timestamp, UserId, jitter};
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use uuid::Uuid;

use crate::connections::row::owner;
use crate::entity::connection::{Column, Entity};
use crate::entity::tenant;
use crate::{ConnectionKey, Error, Store};

/// When a new credential is tested for the first time: about a day later.
const FIRST_TEST_DELAY: Duration = Duration::from_secs(24 * 3600);

/// A credential that is to be tested.
#[derive(Clone, Debug)]
pub struct DueTest {
    /// The key of the connection.
    pub key: ConnectionKey,
    /// The user who owns it, if a user does.
    pub owner_user: Option<UserId>,
    /// When it was due; `None` if an earlier release stored it, which said nothing.
    pub time: Option<Timestamp>,
}

/// When a credential that is stored now is tested for the first time, spread so that what comes together is not tested
/// together.
pub(crate) fn first_test_time(now: Timestamp, random: &dyn Random) -> Timestamp {
    now.after(FIRST_TEST_DELAY.mul_f64(jitter(random, 0.5..=1.5)))
}

impl Store {
    /// Credentials whose test is due, the longest waiting first. Those of suspended tenants wait, and those `without`.
    ///
    /// # Errors
    /// The database fails.
    pub async fn due_tests(&self, limit: u64, without: &[TenantId]) -> Result<Vec<DueTest>, Error> {
        let everywhere = self.read_background().await?;
        let due =
            Condition::any().add(Column::TestTime.is_null()).add(Column::TestTime.lte(self.now().micros()));
        let suspended = Query::select()
            .column(tenant::Column::TenantId)
            .from(tenant::Entity)
            .and_where(tenant::Column::State.eq(TenantState::Suspended.as_str()))
            .to_owned();
        let rows: Vec<(String, Uuid, String, Option<i64>)> = Entity::find()
            .filter(Column::CurrentVersion.gt(0))
            .filter(Column::DeleteTime.is_null())
            .filter(Column::Enabled.eq(true))
            .filter(due)
            .filter(Column::TenantId.not_in_subquery(suspended))
            .filter(Column::TenantId.is_not_in(without.iter().map(TenantId::as_str)))
            .order_by_asc(Column::TestTime)
            .limit(limit)
            .select_only()
            .columns([Column::TenantId, Column::Id, Column::OwnerUser, Column::TestTime])
            .into_tuple()
            .all(&everywhere)
            .await?;
        let due = |(tenant, id, user, time): (String, Uuid, String, Option<i64>)| {
            let owner_user = owner(&tenant, &user).user().cloned();
            let key = ConnectionKey::from_stored(tenant, id);
            DueTest { key, owner_user, time: time.map(Timestamp::from_micros) }
        };
        Ok(rows.into_iter().map(due).collect())
    }

    /// Sets the time of a credential's next test. Returns `false` if another replica has changed it since the search, so
    /// that only one of them runs the test.
    ///
    /// # Errors
    /// The database fails.
    pub async fn schedule_test(&self, due: &DueTest, next: Timestamp) -> Result<bool, Error> {
        let ConnectionKey { tenant, connection } = &due.key;
        let tx = self.begin_bookkeeping(tenant).await?;
        let same = match due.time {
            Some(time) => Column::TestTime.eq(time.micros()),
            None => Column::TestTime.is_null(),
        };
        let scheduled = Entity::update_many()
            .col_expr(Column::TestTime, Expr::value(next.micros()))
            .filter(Column::TenantId.eq(tenant.as_str()))
            .filter(Column::Id.eq(connection.as_uuid()))
            .filter(same)
            .exec(&tx)
            .await?;
        tx.commit().await?;
        Ok(scheduled.rows_affected == 1)
    }
}
