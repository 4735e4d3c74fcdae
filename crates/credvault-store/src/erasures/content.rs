//! How much of a tenant there is to destroy.

use credvault_domain::TenantId;
use sea_orm::{ConnectionTrait, Statement};
use serde::{Deserialize, Serialize};

use crate::Error;

/// Up to which number each kind of thing is counted.
const MAX_COUNTED: u32 = 1_000_000;

/// How much of a tenant there is. Each number is counted up to 1,000,000. Statements hold the fields in this order.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ErasureContent {
    /// Connections, deleted ones that are not purged included.
    pub connections: i64,
    /// Versions of credentials that hold a secret.
    pub credential_versions: i64,
    /// Users that own connections or were the verified user of a call.
    pub users: i64,
    /// Apps registered at providers.
    pub apps: i64,
    /// Endpoints that events are sent to.
    pub event_endpoints: i64,
    /// Versions of the tenant's key.
    pub key_versions: i64,
    /// Grants that a provider still has to revoke. With the tenant goes what that takes, so they stay valid there.
    pub pending_revocations: i64,
}

/// Counts what there is of a tenant, in a transaction of this tenant.
pub(super) async fn count<C: ConnectionTrait>(db: &C, tenant: &TenantId) -> Result<ErasureContent, Error> {
    let of = |rows: &str| format!("(SELECT count(*) FROM ({rows} LIMIT {MAX_COUNTED}) counted)");
    let all = |table: &str| of(&format!("SELECT 1 AS one FROM {table} WHERE tenant_id = $1"));
    let sql = format!(
        "SELECT {} AS connections, {} AS versions, {} AS users, {} AS apps, {} AS endpoints, {} AS keys,
            {} AS revocations",
        all("connections"),
        of("SELECT 1 AS one FROM credential_versions WHERE tenant_id = $1 AND sealed IS NOT NULL"),
        of("SELECT owner_user FROM connections WHERE tenant_id = $1 AND owner_user <> ''
            UNION SELECT user_id FROM user_sightings WHERE tenant_id = $1"),
        all("oauth_apps"),
        all("event_endpoints"),
        all("tenant_keys"),
        all("revocations"),
    );
    let asked = Statement::from_sql_and_values(db.get_database_backend(), sql, [tenant.as_str().into()]);
    let row = db.query_one_raw(asked).await?.ok_or(Error::Integrity)?;
    Ok(ErasureContent {
        connections: row.try_get("", "connections")?,
        credential_versions: row.try_get("", "versions")?,
        users: row.try_get("", "users")?,
        apps: row.try_get("", "apps")?,
        event_endpoints: row.try_get("", "endpoints")?,
        key_versions: row.try_get("", "keys")?,
        pending_revocations: row.try_get("", "revocations")?,
    })
}
