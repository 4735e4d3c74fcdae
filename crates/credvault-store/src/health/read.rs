//! What is stored of the health of connections, as callers read it.

use std::collections::HashMap;

use credvault_domain::{Connection, ConnectionId, LastError, Renewal, TenantScope, Timestamp};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _};
use uuid::Uuid;

use crate::entity::connection_health::{Column, Entity, Model};
use crate::entity::sync_state;
use crate::health::grant::life;
use crate::health::last_error::of_row;
use crate::{Connections, Error};

/// When a grant ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GrantEnd {
    /// Whether it goes on without its owner.
    pub renewal: Renewal,
    /// When it ends, if that is known.
    pub end: Option<Timestamp>,
    /// Since when it counts as ending.
    pub ending: Option<Timestamp>,
}

/// What is stored of the health of a connection.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct HealthRecord {
    /// When its grant ends; `None` without a credential, and for a key that has no end.
    pub grant: Option<GrantEnd>,
    /// What went wrong last.
    pub last_error: Option<LastError>,
    /// When a service last reported that a resource was synchronised.
    pub last_synced: Option<Timestamp>,
}

impl Connections<'_> {
    /// What is stored of the health of connections that this scope reaches. What is not in the answer is well, as far as the
    /// vault knows.
    ///
    /// # Errors
    /// The tenant is not served, or the database fails.
    pub async fn health_of(
        &self,
        scope: &TenantScope,
        connections: &[Connection],
    ) -> Result<HashMap<ConnectionId, HealthRecord>, Error> {
        if connections.is_empty() {
            return Ok(HashMap::new());
        }
        let reading = self.store.read_any(scope.tenant()).await?;
        let ids = || connections.iter().map(|connection| connection.id.as_uuid());
        let rows = Entity::find()
            .filter(Column::TenantId.eq(scope.tenant().as_str()))
            .filter(Column::ConnectionId.is_in(ids()))
            .all(&reading.tx)
            .await?;
        let mut all = HashMap::with_capacity(rows.len());
        for row in rows {
            all.insert(ConnectionId::from_uuid(row.connection_id), record(&row)?);
        }
        use sync_state::Column as Sync;
        let synced: Vec<(Uuid, Option<i64>)> = sync_state::Entity::find()
            .filter(Sync::TenantId.eq(scope.tenant().as_str()))
            .filter(Sync::ConnectionId.is_in(ids()))
            .select_only()
            .column(Sync::ConnectionId)
            .column_as(Sync::SuccessTime.max(), "last_success")
            .group_by(Sync::ConnectionId)
            .into_tuple()
            .all(&reading.tx)
            .await?;
        for (id, time) in synced {
            let record = all.entry(ConnectionId::from_uuid(id)).or_default();
            record.last_synced = time.map(Timestamp::from_micros);
        }
        Ok(all)
    }
}

fn record(row: &Model) -> Result<HealthRecord, Error> {
    let grant =
        life(row)?.map(|life| GrantEnd { renewal: life.class(), end: life.end(), ending: life.ending() });
    Ok(HealthRecord { grant, last_error: of_row(row), last_synced: None })
}
