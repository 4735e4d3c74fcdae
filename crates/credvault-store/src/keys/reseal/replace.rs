//! Writing values that were sealed anew.

use sea_orm::Value;

use super::tables::Table;
use crate::change::Change;
use crate::database::pieces::execute;
use crate::{Database, Error};

impl Table {
    /// Writes values that were sealed anew.
    pub(super) async fn store(
        &self,
        change: &Change<'_>,
        rows: Vec<(Vec<Value>, Option<Vec<u8>>)>,
        target: i64,
    ) -> Result<(), Error> {
        match change.store.database() {
            Database::Postgres if rows.is_empty() => Ok(()),
            Database::Postgres => self.store_at_once(change, rows, target).await,
            // SQLite's planner would read all rows of the tenant for a statement with many values, and needs no round trips.
            Database::Sqlite => self.store_one_by_one(change, rows, target).await,
        }
    }

    async fn store_one_by_one(
        &self,
        change: &Change<'_>,
        rows: Vec<(Vec<Value>, Option<Vec<u8>>)>,
        target: i64,
    ) -> Result<(), Error> {
        let same: Vec<_> =
            self.key.iter().zip(4..).map(|((name, _), place)| format!("{name} = ${place}")).collect();
        let sql = format!(
            "UPDATE {} SET sealed = $3, key_version = $2 WHERE tenant_id = $1 AND {}",
            self.name,
            same.join(" AND ")
        );
        for (key, sealed) in rows {
            let mut values = vec![change.tenant().as_str().into(), target.into(), sealed.into()];
            values.extend(key);
            execute(&change.tx, &sql, values).await?;
        }
        Ok(())
    }

    async fn store_at_once(
        &self,
        change: &Change<'_>,
        rows: Vec<(Vec<Value>, Option<Vec<u8>>)>,
        target: i64,
    ) -> Result<(), Error> {
        let mut values: Vec<Value> = vec![change.tenant().as_str().into(), target.into()];
        let mut tuples = Vec::with_capacity(rows.len());
        for (key, sealed) in rows {
            let mut places = Vec::with_capacity(key.len() + 1);
            for (value, (_, kind)) in key.into_iter().zip(self.key) {
                values.push(value);
                places.push(format!("${}{}", values.len(), kind.cast()));
            }
            values.push(sealed.into());
            places.push(format!("${}::bytea", values.len()));
            tuples.push(format!("({})", places.join(", ")));
        }
        let names: Vec<_> = self.key.iter().map(|(name, _)| *name).collect();
        let same: Vec<_> = names.iter().map(|name| format!("{}.{name} = u.{name}", self.name)).collect();
        let sql = format!(
            "WITH u ({names}, sealed) AS (VALUES {tuples})
             UPDATE {table} SET sealed = u.sealed, key_version = $2 FROM u
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
