//! Whether a tenant was erased: then it is answered like one that never existed. Its row in `tenants` stays, suspended, so
//! only calls for suspended tenants ask.

use credvault_domain::TenantId;
use sea_orm::{ConnectionTrait, DbErr, Statement};

/// Whether a tenant was erased, in a transaction of this tenant or of background work.
pub(crate) async fn is_erased<C: ConnectionTrait>(db: &C, tenant: &TenantId) -> Result<bool, DbErr> {
    let sql = "SELECT 1 AS one FROM erasures WHERE tenant_id = $1";
    let asked = Statement::from_sql_and_values(db.get_database_backend(), sql, [tenant.as_str().into()]);
    Ok(db.query_one_raw(asked).await?.is_some())
}
