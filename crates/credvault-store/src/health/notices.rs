//! Notices that are sent at their time: of grants that end (`warnings`), and of credentials that are to be replaced by hand
//! (`reminders`). The event is written in the transaction that takes the notice from what is due, so that it is sent once,
//! however many replicas look and wherever one of them dies.

use credvault_domain::TenantId;
use sea_orm::sea_query::{LockBehavior, LockType};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter as _, QueryOrder as _, QuerySelect as _};

use crate::change::Change;
use crate::database::pieces::PIECE;
use crate::entity::{connection_health, credential_rotation};
use crate::health::reminders::remind;
use crate::health::warnings::warn;
use crate::{Error, Store};

/// What is due, of tenants that are served. `$1` is the present.
const DUE: &str =
    "warn_time <= $1 AND tenant_id NOT IN (SELECT tenant_id FROM tenants WHERE state = 'SUSPENDED')";

/// What a notice is about.
#[derive(Clone, Copy)]
enum Notice {
    /// A grant ends soon.
    End,
    /// A credential is to be replaced.
    Rotation,
}

impl Store {
    /// Sends the warnings of ends that are due, and tells how many those were. Any number of replicas may do so at a time.
    /// While the clock is not trusted, nothing is sent.
    ///
    /// # Errors
    /// The database fails; what was not sent is sent the next time.
    pub async fn warn_of_ends(&self) -> Result<u64, Error> {
        self.send_due(Notice::End).await
    }

    /// Sends the reminders of rotations that are due, as [`Store::warn_of_ends`] does with warnings.
    ///
    /// # Errors
    /// The database fails; what was not sent is sent the next time.
    pub async fn remind_of_rotations(&self) -> Result<u64, Error> {
        self.send_due(Notice::Rotation).await
    }

    async fn send_due(&self, notice: Notice) -> Result<u64, Error> {
        if !self.clock().is_trusted() {
            return Ok(0);
        }
        let table = match notice {
            Notice::End => "connection_health",
            Notice::Rotation => "credential_rotations",
        };
        let (mut sent, mut done) = (0, Ok(()));
        for tenant in self.tenants_with(table, DUE, self.now().micros()).await? {
            loop {
                match self.send_piece(&tenant, notice).await {
                    Ok((seen, of_piece)) => {
                        sent += of_piece;
                        if seen < PIECE {
                            break;
                        }
                    }
                    // One tenant's trouble must not keep the others' notices.
                    Err(error) => {
                        done = Err(error);
                        break;
                    }
                }
            }
        }
        done.map(|()| sent)
    }

    /// Sends a piece of a tenant's notices, and tells how many rows were due and how many events that made. Rows that
    /// another transaction holds are left to it.
    async fn send_piece(&self, tenant: &TenantId, notice: Notice) -> Result<(u64, u64), Error> {
        let mut change = self.own_change(tenant).await?;
        let mut sent = 0;
        let seen = match notice {
            Notice::End => {
                use connection_health::{Column, Entity};
                let rows = due::<Entity>(&change, Column::TenantId, Column::WarnTime).await?;
                let seen = rows.len();
                for row in rows {
                    sent += u64::from(warn(&mut change, row).await?);
                }
                seen
            }
            Notice::Rotation => {
                use credential_rotation::{Column, Entity};
                let rows = due::<Entity>(&change, Column::TenantId, Column::WarnTime).await?;
                let seen = rows.len();
                for row in rows {
                    sent += u64::from(remind(&mut change, row).await?);
                }
                seen
            }
        };
        let _ = change.commit(()).await?;
        Ok((seen as u64, sent))
    }
}

/// The rows of a tenant that are due, locked.
async fn due<E: EntityTrait>(
    change: &Change<'_>,
    tenant: E::Column,
    time: E::Column,
) -> Result<Vec<E::Model>, Error> {
    let due = E::find()
        .filter(tenant.eq(change.tenant().as_str()))
        .filter(time.lte(change.now.micros()))
        .order_by_asc(time)
        .limit(PIECE)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    Ok(due.all(&change.tx).await?)
}
