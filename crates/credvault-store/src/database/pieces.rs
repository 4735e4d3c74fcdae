//! Work that grows with the data, in pieces: each is one short transaction, so that none meets a time limit, holds
//! locks for long or is lost whole; what is left is found again by looking.

use credvault_domain::TenantId;
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, Statement, Value};

use crate::{Database, Error, Store};

/// How many rows a piece has at most.
pub(crate) const PIECE: u64 = 200;

/// The condition of a statement for at most a piece of the rows of `table` that meet `condition`.
pub(crate) fn piece(database: Database, table: &str, condition: &str) -> String {
    match database {
        Database::Postgres => {
            format!("ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE {condition} LIMIT {PIECE}))")
        }
        Database::Sqlite => {
            format!("rowid IN (SELECT rowid FROM {table} WHERE {condition} LIMIT {PIECE})")
        }
    }
}

/// Runs a statement in a transaction that is begun, and tells how many rows it changed.
pub(crate) async fn execute(
    tx: &DatabaseTransaction,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<u64, Error> {
    let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    Ok(tx.execute_raw(statement).await?.rows_affected())
}

impl Store {
    /// Deletes the rows of a tenant that meet `condition`, in which `$1` is the tenant and `$2` is `value`, piece by
    /// piece, and tells how many those were.
    pub(crate) async fn delete_in_pieces(
        &self,
        tenant: &TenantId,
        table: &str,
        condition: &str,
        value: i64,
    ) -> Result<u64, Error> {
        let sql = format!("DELETE FROM {table} WHERE {}", piece(self.database(), table, condition));
        let mut deleted = 0;
        loop {
            let tx = self.begin_bookkeeping(tenant).await?;
            let rows = execute(&tx, &sql, [tenant.as_str().into(), value.into()]).await?;
            tx.commit().await?;
            deleted += rows;
            if rows == 0 {
                return Ok(deleted);
            }
        }
    }
}
