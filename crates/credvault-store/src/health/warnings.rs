//! Warns of grants that end soon: the event is written in the transaction that takes the warning from what is due, so that
//! it is sent once, however many replicas look and wherever one of them dies.

use std::time::Duration;

use credvault_domain::{TenantId, Timestamp};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{LockBehavior, LockType};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};

use crate::change::Change;
use crate::change::outbox::NewEvent;
use crate::database::pieces::PIECE;
use crate::entity::connection;
use crate::entity::connection_health::{Column, Entity, Model};
use crate::health::grant::life;
use crate::{Error, Store};

/// When a deleted connection is looked at again, for it may be undeleted.
pub(super) const DELETED_REST: Duration = Duration::from_secs(24 * 3600);
/// What is due, of tenants that are served. `$1` is the present.
pub(super) const DUE: &str =
    "warn_time <= $1 AND tenant_id NOT IN (SELECT tenant_id FROM tenants WHERE state = 'SUSPENDED')";

impl Store {
    /// Sends the warnings that are due, and tells how many those were. Any number of replicas may do so at a time. While the
    /// clock is not trusted, nothing is sent.
    ///
    /// # Errors
    /// The database fails; what was not sent is sent the next time.
    pub async fn warn_of_ends(&self) -> Result<u64, Error> {
        if !self.clock().is_trusted() {
            return Ok(0);
        }
        let (mut sent, mut done) = (0, Ok(()));
        for tenant in self.tenants_with("connection_health", DUE, self.now().micros()).await? {
            loop {
                match self.warn_piece(&tenant).await {
                    Ok((seen, warned)) => {
                        sent += warned;
                        if seen < PIECE {
                            break;
                        }
                    }
                    // One tenant's trouble must not keep the others' warnings.
                    Err(error) => {
                        done = Err(error);
                        break;
                    }
                }
            }
        }
        done.map(|()| sent)
    }

    /// Sends a piece of a tenant's warnings, and tells how many rows were due and how many events that made. Rows that
    /// another transaction holds are left to it.
    async fn warn_piece(&self, tenant: &TenantId) -> Result<(u64, u64), Error> {
        let mut change = self.own_change(tenant).await?;
        let due = Entity::find()
            .filter(Column::TenantId.eq(tenant.as_str()))
            .filter(Column::WarnTime.lte(change.now.micros()))
            .order_by_asc(Column::WarnTime)
            .limit(PIECE)
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
        let rows = due.all(&change.tx).await?;
        let (seen, mut warned) = (rows.len() as u64, 0);
        for row in rows {
            warned += u64::from(warn(&mut change, row).await?);
        }
        let _ = change.commit(()).await?;
        Ok((seen, warned))
    }
}

/// Sends the warning of a locked row, and sets when the next one is due. Whether there was one to send.
async fn warn(change: &mut Change<'_>, row: Model) -> Result<bool, Error> {
    let key = (row.tenant_id.clone(), row.connection_id);
    let connection = connection::Entity::find_by_id(key).one(&change.tx).await?.ok_or(Error::Integrity)?;
    let life = life(&row)?;
    let served = connection.delete_time.is_none() && connection.current_version > 0;
    let next = match life.filter(|_| served) {
        Some(life) => life.next_warning(change.now),
        None => Some(change.now.after(DELETED_REST)).filter(|_| life.is_some()),
    };
    let due = life.filter(|_| served).and_then(|life| life.due_warning(change.now).zip(life.end()));
    let mut row = row.into_active_model();
    row.warn_time = Set(next.map(Timestamp::micros));
    row.update(&change.tx).await?;
    if let Some((days, end)) = due {
        change.emit(NewEvent::expiring(&connection, end, days)?);
    }
    Ok(due.is_some())
}
