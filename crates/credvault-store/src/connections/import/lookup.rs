//! Questions about each row of a batch, answered by an index, row by row.

use sea_orm::{EntityTrait as _, Statement};
use serde::Serialize;

use crate::change::Change;
use crate::database::json_rows;
use crate::entity::connection::{Entity, Model};
use crate::{Database, Error};

/// Rows about which is asked.
pub(super) struct Lookup<'a> {
    pub(super) change: &'a Change<'a>,
    rows: String,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(change: &'a Change<'_>, rows: &impl Serialize) -> Result<Self, Error> {
        Ok(Self { change, rows: json_rows::encode(rows)? })
    }

    /// The question for the stored row of each row, if there is one. `stored` are a table, called `c`, and conditions on
    /// that and on the row's values.
    pub(super) fn stored(&self, stored: &str, lock: bool) -> Statement {
        let database = self.change.store.database();
        let rows = json_rows::rows(database);
        self.statement(&match database {
            Database::Postgres => {
                let lock = if lock { "FOR UPDATE" } else { "" };
                format!(
                    "SELECT c.* FROM {rows} CROSS JOIN LATERAL (SELECT c.* FROM {stored} LIMIT 1 {lock}) c"
                )
            }
            // SQLite keeps the order of a cross join.
            Database::Sqlite => format!("SELECT c.* FROM {rows} CROSS JOIN {stored}"),
        })
    }

    /// The connection of each row, which `c` is, if there is one. Several rows may have the same.
    pub(super) async fn connections(&self, condition: &str, lock: bool) -> Result<Vec<Model>, Error> {
        let asked = self.stored(&format!("connections c WHERE c.tenant_id = $1 AND {condition}"), lock);
        Ok(Entity::find().from_raw_sql(asked).all(&self.change.tx).await?)
    }

    /// A statement that has the tenant as `$1` and the rows as `$2`.
    pub(super) fn statement(&self, sql: &str) -> Statement {
        let values = [self.change.tenant().as_str().into(), self.rows.as_str().into()];
        Statement::from_sql_and_values(
            sea_orm::ConnectionTrait::get_database_backend(&self.change.tx),
            sql,
            values,
        )
    }
}
