//! How far services have synchronised the resources of a connection: what they report, with compare-and-set.

use credvault_domain::{
    Connection, ConnectionId, MAX_SYNC_RESOURCES, SyncCounts, SyncResource, SyncState, SyncStatus,
    TenantScope, Timestamp,
};
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};

use crate::change::{Change, retrying};
use crate::connections::lock::{find, locked_live};
use crate::entity::sync_state::{ActiveModel, Column, Entity, Model};
use crate::{Error, Recorded, Store, Write};

/// What a service reports of a resource.
#[derive(Clone, Debug)]
pub struct SyncReport {
    /// The name of what is synchronised.
    pub resource: SyncResource,
    /// The revision that must be current; 0 means that nothing was reported yet. `None` demands nothing.
    pub expected_revision: Option<i64>,
    /// The cursor that must be current. `None` demands nothing.
    pub expected_cursor: Option<String>,
    /// Where the next run goes on; `None` leaves it.
    pub cursor: Option<String>,
    /// How the run stands.
    pub status: SyncStatus,
    /// What the run has handled so far.
    pub counts: SyncCounts,
    /// Why it failed, sanitised.
    pub error: String,
}

/// The repository of the states of synchronisations.
#[derive(Clone, Copy, Debug)]
pub struct Syncs<'a> {
    store: &'a Store,
}

impl Store {
    /// The repository of the states of synchronisations.
    pub fn syncs(&self) -> Syncs<'_> {
        Syncs { store: self }
    }
}

impl Syncs<'_> {
    /// Stores a report.
    ///
    /// # Errors
    /// The connection is not there or deleted, it has 100 resources already, or the state is another than the report
    /// demands.
    pub async fn report(
        &self,
        scope: &TenantScope,
        id: ConnectionId,
        report: &SyncReport,
        write: &Write,
    ) -> Result<Recorded<SyncState>, Error> {
        retrying(write, || async move {
            let mut change = self.store.change(scope, write).await?;
            // Locked, so that two first reports of a resource do not meet, and the resources stay as few as they may be.
            let model = if change.prior().is_some() {
                find(&change.tx, scope, id).await?
            } else {
                locked_live(&mut change, scope, id, None).await?
            };
            change.set_connection(id, None);
            change.set_owner(&model.owner_user);
            let key = (model.tenant_id, model.id, report.resource.as_str().to_owned());
            let row = Entity::find_by_id(key.clone()).one(&change.tx).await?;
            if change.prior().is_some() {
                return change.commit(state(row.ok_or(Error::SyncMismatch { current: 0 })?)?).await;
            }
            expect(row.as_ref(), report)?;
            let stored = match row {
                Some(row) => reported(row, report, change.now).update(&change.tx).await?,
                None => {
                    require_room(&change, id).await?;
                    first(key, report, change.now).insert(&change.tx).await?
                }
            };
            change.commit(state(stored)?).await
        })
        .await
    }

    /// The states of a connection that this scope reaches, by resource.
    ///
    /// # Errors
    /// The tenant is not served, or the database fails.
    pub async fn of(&self, scope: &TenantScope, connection: &Connection) -> Result<Vec<SyncState>, Error> {
        let reading = self.store.read(scope).await?;
        let rows = Entity::find()
            .filter(Column::TenantId.eq(scope.tenant().as_str()))
            .filter(Column::ConnectionId.eq(connection.id.as_uuid()))
            .order_by_asc(Column::Resource)
            .limit(MAX_SYNC_RESOURCES)
            .all(&reading.tx)
            .await?;
        rows.into_iter().map(state).collect()
    }
}

/// Refuses a report that has seen another state.
fn expect(row: Option<&Model>, report: &SyncReport) -> Result<(), Error> {
    let (current, cursor) = row.map_or((0, ""), |row| (row.revision, row.position.as_str()));
    let revision = report.expected_revision.is_none_or(|expected| expected == current);
    let position = report.expected_cursor.as_ref().is_none_or(|expected| expected == cursor);
    if revision && position { Ok(()) } else { Err(Error::SyncMismatch { current }) }
}

async fn require_room(change: &Change<'_>, id: ConnectionId) -> Result<(), Error> {
    let resources = Entity::find()
        .filter(Column::TenantId.eq(change.tenant().as_str()))
        .filter(Column::ConnectionId.eq(id.as_uuid()))
        .count(&change.tx)
        .await?;
    if resources < MAX_SYNC_RESOURCES { Ok(()) } else { Err(Error::TooManySyncResources) }
}

/// The row of a resource of which nothing was reported yet.
fn first(
    (tenant, connection, resource): (String, uuid::Uuid, String),
    report: &SyncReport,
    now: Timestamp,
) -> ActiveModel {
    let none = Model {
        tenant_id: tenant,
        connection_id: connection,
        resource,
        revision: 0,
        position: String::new(),
        status: String::new(),
        items_synced: 0,
        items_failed: 0,
        error: String::new(),
        start_time: None,
        success_time: None,
        update_time: 0,
    };
    let keys = (Set(none.tenant_id.clone()), Set(none.connection_id), Set(none.resource.clone()));
    let row = reported(none, report, now);
    ActiveModel { tenant_id: keys.0, connection_id: keys.1, resource: keys.2, ..row }
}

/// The row with what a report says.
fn reported(row: Model, report: &SyncReport, now: Timestamp) -> ActiveModel {
    let SyncReport { resource: _, expected_revision: _, expected_cursor: _, cursor, status, counts, error } =
        report;
    let begins = *status == SyncStatus::Running && row.status != SyncStatus::Running.as_str();
    let now = now.micros();
    ActiveModel {
        tenant_id: sea_orm::Unchanged(row.tenant_id),
        connection_id: sea_orm::Unchanged(row.connection_id),
        resource: sea_orm::Unchanged(row.resource),
        revision: Set(row.revision + 1),
        position: Set(cursor.clone().unwrap_or(row.position)),
        status: Set(status.as_str().to_owned()),
        items_synced: Set(counts.synced),
        items_failed: Set(counts.failed),
        error: Set(error.clone()),
        start_time: Set(if begins { Some(now) } else { row.start_time }),
        success_time: Set(if *status == SyncStatus::Ok { Some(now) } else { row.success_time }),
        update_time: Set(now),
    }
}

fn state(row: Model) -> Result<SyncState, Error> {
    Ok(SyncState {
        resource: SyncResource::from_stored(row.resource),
        revision: row.revision,
        cursor: row.position,
        status: SyncStatus::from_stored(&row.status).ok_or(Error::Integrity)?,
        counts: SyncCounts { synced: row.items_synced, failed: row.items_failed },
        error: row.error,
        start_time: row.start_time.map(Timestamp::from_micros),
        success_time: row.success_time.map(Timestamp::from_micros),
        update_time: Timestamp::from_micros(row.update_time),
    })
}
