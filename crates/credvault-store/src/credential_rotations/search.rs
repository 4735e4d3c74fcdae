//! Finds the rotations that are due: keys to be made, tested or ended.

use std::time::Duration;

use credvault_domain::{Connection, TenantId, TenantState, Timestamp};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Query;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};
use uuid::Uuid;

use super::CredentialRotations;
use crate::connections::lock::locked_at;
use crate::connections::row::connection;
use crate::credential_rotations::automatic::is_automatic;
use crate::credential_rotations::claim::abandon;
use crate::credential_rotations::keys::NEW;
use crate::credential_rotations::row::{IDLE, find, holder, save};
use crate::entity::credential_rotation::{Column, Entity};
use crate::entity::{rotated_key, tenant};
use crate::{ConnectionKey, Error, Recorded};

/// For how long a replica that looks at a connection has it for itself.
const LOOK: Duration = Duration::from_secs(60);

/// What is due of one connection.
#[derive(Debug)]
pub struct RotationWork {
    /// The connection as it is now.
    pub connection: Connection,
    /// The numbers of the keys that are to end.
    pub ends: Vec<i64>,
    /// Whether the credential is to be replaced.
    pub is_due: bool,
    /// Whether a new key that was made is to be tested.
    pub has_new_key: bool,
}

impl CredentialRotations<'_> {
    /// The connections with something due, the longest waiting first. Those of suspended tenants wait, and those `without`.
    ///
    /// # Errors
    /// The database fails.
    pub async fn due(&self, limit: u64, without: &[TenantId]) -> Result<Vec<ConnectionKey>, Error> {
        // A key that has ended at its provider does not come back, so a clock that is wrong ends none.
        if !self.store.clock().is_trusted() {
            return Ok(Vec::new());
        }
        let everywhere = self.store.read_background().await?;
        let suspended = Query::select()
            .column(tenant::Column::TenantId)
            .from(tenant::Entity)
            .and_where(tenant::Column::State.eq(TenantState::Suspended.as_str()))
            .to_owned();
        let rows: Vec<(String, Uuid)> = Entity::find()
            .filter(Column::SearchTime.lte(self.store.now().micros()))
            .filter(Column::TenantId.not_in_subquery(suspended))
            .filter(Column::TenantId.is_not_in(without.iter().map(TenantId::as_str)))
            .order_by_asc(Column::SearchTime)
            .limit(limit)
            .select_only()
            .columns([Column::TenantId, Column::ConnectionId])
            .into_tuple()
            .all(&everywhere)
            .await?;
        Ok(rows.into_iter().map(|(tenant, id)| ConnectionKey::from_stored(tenant, id)).collect())
    }

    /// What is due of a connection; `None` if another replica has looked at it since the search. A claim whose process is gone
    /// ends here.
    ///
    /// # Errors
    /// The database fails.
    pub async fn look(&self, key: &ConnectionKey) -> Result<Option<RotationWork>, Error> {
        let mut change = self.store.own_change(&key.tenant).await?;
        let Some(mut model) = locked_at(&change.tx, key).await? else { return Ok(None) };
        let now = change.now.micros();
        let row = find(&change.tx, key.row_id()).await?;
        let Some(mut row) = row.filter(|row| row.search_time.is_some_and(|time| time <= now)) else {
            return Ok(None);
        };
        if let Some(process) = self.store.liveness().process_id().filter(|_| row.process_id.is_some()) {
            let database_now = self.store.database_time(&change.tx).await?;
            if self.store.is_gone(&change.tx, holder(&row), process, database_now).await? {
                abandon(&mut change, &mut model, &mut row).await?;
            }
        }
        use rotated_key::Column as Key;
        let keys: Vec<(i64, String)> = rotated_key::Entity::find()
            .filter(Key::TenantId.eq(model.tenant_id.as_str()))
            .filter(Key::ConnectionId.eq(model.id))
            .filter(Key::DueTime.lte(now))
            .order_by_asc(Key::Number)
            .select_only()
            .columns([Key::Number, Key::Role])
            .into_tuple()
            .all(&change.tx)
            .await?;
        let is_free = row.process_id.is_none();
        let is_served = model.delete_time.is_none() && model.current_version > 0 && model.enabled;
        let is_over = |time: Option<i64>| time.is_some_and(|time| time <= now);
        let is_due = row.state == IDLE
            && is_over(model.rotation_due_time)
            && row.retry_time.is_none_or(|retry| retry <= now)
            && is_automatic(&change.tx, &model, &row).await?;
        let waits = keys.iter().any(|(_, role)| role == NEW);
        let work = RotationWork {
            connection: connection(model)?,
            ends: keys.into_iter().filter(|(_, role)| role != NEW).map(|(number, _)| number).collect(),
            is_due: is_free && is_served && is_due,
            has_new_key: is_free && waits,
        };
        row.search_time = Some(change.now.after(LOOK).micros());
        row.into_active_model().reset_all().update(&change.tx).await?;
        change.commit(Some(work)).await.map(Recorded::into_inner)
    }

    /// Plans anew when a connection is looked at, after what was due is done. `mints` is whether its provider can still make
    /// a key.
    ///
    /// # Errors
    /// The database fails.
    pub async fn looked(&self, key: &ConnectionKey, mints: bool) -> Result<(), Error> {
        let change = self.store.own_change(&key.tenant).await?;
        let Some(model) = locked_at(&change.tx, key).await? else { return Ok(()) };
        if let Some(mut row) = find(&change.tx, key.row_id()).await? {
            row.mints = mints;
            save(&change, &model, row).await?;
        }
        change.commit_preparation().await
    }

    /// Leaves a connection alone until an instant, for nothing can be done about it now.
    ///
    /// # Errors
    /// The database fails.
    pub async fn rest(&self, key: &ConnectionKey, until: Timestamp) -> Result<(), Error> {
        let change = self.store.own_change(&key.tenant).await?;
        if let Some(row) = find(&change.tx, key.row_id()).await? {
            let mut row = row.into_active_model();
            row.search_time = Set(Some(until.micros()));
            row.update(&change.tx).await?;
        }
        change.commit_preparation().await
    }
}
