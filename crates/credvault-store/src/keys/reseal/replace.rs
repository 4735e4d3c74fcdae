//! Writing values that were sealed anew.

use sea_orm::Value;

use super::tables::{KeyType, Table};
use crate::change::Change;
use crate::database::pieces::execute;
use crate::{Database, Error};

impl Table {
    /// Writes values that were sealed anew, by one statement.
    pub(super) async fn store(
        &self,
        change: &Change<'_>,
        rows: Vec<(Vec<Value>, Option<Vec<u8>>)>,
        target: i64,
    ) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let database = change.store.database();
        let cast = |kind: KeyType| if database == Database::Postgres { kind.cast() } else { "" };
        let mut values: Vec<Value> = vec![change.tenant().as_str().into(), target.into()];
        let mut tuples = Vec::with_capacity(rows.len());
        for (key, sealed) in rows {
            let mut places = Vec::with_capacity(key.len() + 1);
            for (value, (_, kind)) in key.into_iter().zip(self.key) {
                values.push(value);
                places.push(format!("${}{}", values.len(), cast(*kind)));
            }
            values.push(sealed.into());
            places.push(format!("${}{}", values.len(), cast(KeyType::Bytes)));
            tuples.push(format!("({})", places.join(", ")));
        }
        let names: Vec<_> = self.key.iter().map(|(name, _)| *name).collect();
        let same: Vec<_> = names.iter().map(|name| format!("{}.{name} = u.{name}", self.name)).collect();
        // SQLite's planner would make an index of the values, and look each row of the tenant up there.
        let as_they_are = if database == Database::Sqlite { "NOT INDEXED" } else { "" };
        let sql = format!(
            "WITH u ({names}, sealed) AS (VALUES {tuples})
             UPDATE {table} SET sealed = u.sealed, key_version = $2 FROM u {as_they_are}
             WHERE {table}.tenant_id = $1 AND {same}",
            names = names.join(", "),
            tuples = tuples.join(", "),
            table = self.name,
            same = same.join(" AND "),
        );
        execute(&change.tx, &sql, values).await?;
        Ok(())
    }
}
