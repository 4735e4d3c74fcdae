//! How much a tenant has of what its quotas limit, for administration.

use credvault_domain::TenantScope;
use sea_orm::{ConnectionTrait as _, Statement};

use crate::{Error, Store};

/// How much a tenant has of what the store limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuotaUse {
    /// Connections, deleted ones that are not purged included.
    pub connections: u64,
    /// Those of the user who has the most.
    pub user_connections: u64,
    /// Versions of the credential that has the most.
    pub credential_versions: u64,
}

impl Store {
    /// Counts what the tenant of `scope` has of what its quotas limit.
    ///
    /// # Errors
    /// [`Error::TenantNotFound`], or the database fails.
    pub async fn quota_use(&self, scope: &TenantScope) -> Result<QuotaUse, Error> {
        let reading = self.query_any(scope.tenant()).await?;
        let sql = "SELECT
            (SELECT count(*) FROM connections WHERE tenant_id = $1) AS connections,
            (SELECT COALESCE(max(n), 0) FROM (SELECT count(*) AS n FROM connections
                WHERE tenant_id = $1 AND owner_user <> '' GROUP BY owner_user) of_user) AS user_connections,
            (SELECT COALESCE(max(n), 0) FROM (SELECT count(*) AS n FROM credential_versions
                WHERE tenant_id = $1 GROUP BY connection_id) of_connection) AS credential_versions";
        let backend = reading.tx.get_database_backend();
        let counted = Statement::from_sql_and_values(backend, sql, [scope.tenant().as_str().into()]);
        let row = reading.tx.query_one_raw(counted).await?.ok_or(Error::Integrity)?;
        let count = |column: &str| {
            let count: i64 = row.try_get("", column)?;
            Ok::<_, Error>(count.unsigned_abs())
        };
        Ok(QuotaUse {
            connections: count("connections")?,
            user_connections: count("user_connections")?,
            credential_versions: count("credential_versions")?,
        })
    }
}
