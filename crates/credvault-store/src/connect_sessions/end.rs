//! Ending sessions: one that its person has left, and those of a user or a tenant that is not served any more. A session whose
//! time is over is forgotten by upkeep.

use credvault_domain::{TenantId, UserId};
use sea_orm::{ColumnTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _};

use super::ConnectSessions;
use super::found::ConnectSession;
use crate::Error;
use crate::entity::connect_session::{Column, Entity};

impl ConnectSessions<'_> {
    /// Ends a session. One that has ended already stays so.
    ///
    /// # Errors
    /// The database fails.
    pub async fn end(&self, session: &ConnectSession) -> Result<(), Error> {
        let tx = self.store.begin_bookkeeping(&session.tenant).await?;
        Entity::delete_by_id((session.tenant.as_str().to_owned(), session.id.as_uuid())).exec(&tx).await?;
        Ok(tx.commit().await?)
    }
}

/// Ends the sessions of a tenant, or of one of its users, with the transaction.
pub(crate) async fn end_all(
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    user: Option<&UserId>,
) -> Result<(), Error> {
    let mut these = Entity::delete_many().filter(Column::TenantId.eq(tenant.as_str()));
    if let Some(user) = user {
        these = these.filter(Column::UserId.eq(user.as_str()));
    }
    these.exec(tx).await?;
    Ok(())
}
