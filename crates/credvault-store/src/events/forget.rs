//! Forgetting the events about a user who was deleted, in the tenant's namespace and in the platform's.

use credvault_domain::{TenantId, Timestamp, UserId};
use sea_orm::DatabaseTransaction;

use crate::database::pieces;
use crate::database::transaction::set_tenant;
use crate::{Database, Error, Store};

/// Forgets a piece of what was written until an instant about a user of a tenant, in the tenant's namespace and the platform's,
/// and tells how much that was. What is still to be sent is forgotten as soon as it is settled. The transaction works for
/// the tenant before and after.
pub(crate) async fn forget_user(
    store: &Store,
    tx: &DatabaseTransaction,
    tenant: &TenantId,
    user: &UserId,
    until: Timestamp,
) -> Result<u64, Error> {
    let (database, platform) = (store.database(), TenantId::platform());
    let forgotten = forget_in(database, tx, tenant, (tenant, user), until).await?;
    set_tenant(tx, database, &platform).await?;
    let forgotten = forgotten + forget_in(database, tx, &platform, (tenant, user), until).await?;
    set_tenant(tx, database, tenant).await?;
    Ok(forgotten)
}

async fn forget_in(
    database: Database,
    tx: &DatabaseTransaction,
    namespace: &TenantId,
    (tenant, user): (&TenantId, &UserId),
    until: Timestamp,
) -> Result<u64, Error> {
    let theirs = "tenant_id = $1 AND about_tenant = $2 AND about_user = $3";
    let piece = |which: &str| pieces::piece(database, "event_deliveries", &format!("{theirs} AND {which}"));
    let unmarked = piece("NOT user_deleted AND create_time <= $4");
    let settled = piece("state <> 'PENDING' AND (user_deleted OR create_time <= $4)");
    let mut forgotten = 0;
    // Marked first, so that what is being settled at this moment is met by one of the two.
    for sql in [
        format!("UPDATE event_deliveries SET user_deleted = TRUE WHERE {unmarked}"),
        format!("DELETE FROM event_deliveries WHERE {settled}"),
    ] {
        let until = until.micros().into();
        let values = [namespace.as_str().into(), tenant.as_str().into(), user.as_str().into(), until];
        forgotten += pieces::execute(tx, &sql, values).await?;
    }
    Ok(forgotten)
}
