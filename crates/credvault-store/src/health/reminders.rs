//! Reminds of credentials that are to be replaced by hand, as `warnings` warns of ends: the event is written in the transaction
//! that takes the reminder from what is due.

use credvault_domain::{RotationDue, TenantId, Timestamp};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{LockBehavior, LockType};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};

use crate::change::Change;
use crate::change::outbox::NewEvent;
use crate::credential_rotations::plan::period;
use crate::database::pieces::PIECE;
use crate::entity::connection;
use crate::entity::credential_rotation::{Column, Entity, Model};
use crate::health::warnings::{DELETED_REST, DUE};
use crate::{Error, Store};

impl Store {
    /// Sends the reminders that are due, and tells how many those were. Any number of replicas may do so at a time. While the
    /// clock is not trusted, nothing is sent.
    ///
    /// # Errors
    /// The database fails; what was not sent is sent the next time.
    pub async fn remind_of_rotations(&self) -> Result<u64, Error> {
        if !self.clock().is_trusted() {
            return Ok(0);
        }
        let (mut sent, mut done) = (0, Ok(()));
        for tenant in self.tenants_with("credential_rotations", DUE, self.now().micros()).await? {
            loop {
                match self.remind_piece(&tenant).await {
                    Ok((seen, reminded)) => {
                        sent += reminded;
                        if seen < PIECE {
                            break;
                        }
                    }
                    // One tenant's trouble must not keep the others' reminders.
                    Err(error) => {
                        done = Err(error);
                        break;
                    }
                }
            }
        }
        done.map(|()| sent)
    }

    /// Sends a piece of a tenant's reminders, and tells how many rows were due and how many events that made. Rows that
    /// another transaction holds are left to it.
    async fn remind_piece(&self, tenant: &TenantId) -> Result<(u64, u64), Error> {
        let mut change = self.own_change(tenant).await?;
        let due = Entity::find()
            .filter(Column::TenantId.eq(tenant.as_str()))
            .filter(Column::WarnTime.lte(change.now.micros()))
            .order_by_asc(Column::WarnTime)
            .limit(PIECE)
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
        let rows = due.all(&change.tx).await?;
        let (seen, mut reminded) = (rows.len() as u64, 0);
        for row in rows {
            reminded += u64::from(remind(&mut change, row).await?);
        }
        let _ = change.commit(()).await?;
        Ok((seen, reminded))
    }
}

/// Sends the reminder of a locked row, and sets when the next one is due. Whether there was one to send.
async fn remind(change: &mut Change<'_>, row: Model) -> Result<bool, Error> {
    let key = (row.tenant_id.clone(), row.connection_id);
    let connection = connection::Entity::find_by_id(key).one(&change.tx).await?.ok_or(Error::Integrity)?;
    let served = connection.delete_time.is_none() && connection.current_version > 0;
    let due = connection.rotation_due_time.filter(|_| !row.mints).map(Timestamp::from_micros).map(|due| {
        let begun = connection.rotation_days.map_or(due, |days| due.before(period(days)));
        RotationDue { begun, due }
    });
    let next = match due.filter(|_| served) {
        Some(due) => due.next_reminder(change.now),
        None => Some(change.now.after(DELETED_REST)).filter(|_| due.is_some()),
    };
    let mut row = row.into_active_model();
    row.warn_time = Set(next.map(Timestamp::micros));
    row.update(&change.tx).await?;
    match due.filter(|_| served).and_then(|due| due.due_reminder(change.now).map(|days| (due.due, days))) {
        Some((time, days)) => {
            change.emit(NewEvent::rotation_due(&connection, time, days)?);
            Ok(true)
        }
        None => Ok(false),
    }
}
