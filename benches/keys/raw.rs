//! Plain updates of as many rows of the same size, in a copy of a table.

use std::time::Instant;

use credvault_crypto::SystemRandom;
use credvault_domain::Random as _;
use sea_orm::{ConnectionTrait as _, Statement, TransactionTrait as _, Value};
use uuid::Uuid;

use crate::database::Reached;
use crate::it::harness::TestVault;

/// What a rotation updates in a table.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// How many rows a rotation updates in one transaction.
    pub(crate) batch: usize,
    /// The column that finds a row, its type in PostgreSQL, and what all rows have in common.
    key: &'static str,
    key_type: &'static str,
    others: &'static str,
    /// The column of bytes with its size, and the number that changes with it.
    value: &'static str,
    bytes: usize,
    number: &'static str,
}

/// The wrapped keys of tenants.
pub(crate) const KEYS: Table = Table {
    name: "tenant_keys",
    batch: 500,
    key: "tenant_id",
    key_type: "text",
    others: "version = 1",
    value: "wrapped",
    bytes: 164,
    number: "generation",
};

/// The records of the tenant.
pub(crate) const RECORDS: Table = Table {
    name: "credential_versions",
    batch: 500,
    key: "connection_id",
    key_type: "uuid",
    others: "tenant_id = 'acme' AND version = 1",
    value: "sealed",
    bytes: 1124,
    number: "key_version",
};

/// How rows are updated.
#[derive(Clone, Copy)]
pub(crate) enum How {
    /// By a statement for each.
    Row,
    /// By a statement for each transaction.
    Batch,
}

/// A database, or schema, with the copies, and bytes to write.
pub(crate) struct Raw {
    reached: Reached,
    keys: Vec<Vec<u8>>,
    records: Vec<Vec<u8>>,
}

/// How many different values are written.
const POOL: usize = 512;

impl Raw {
    /// Copies the tables: into a schema of the same database, or a file of their own.
    pub(crate) async fn copied(vault: &TestVault, reached: &Reached) -> Self {
        let raw = match &vault.database {
            Some(database) => {
                reached.execute("CREATE SCHEMA raw").await;
                Reached::postgres(database, "raw").await
            }
            None => {
                let raw = Reached::sqlite(&vault.folder.path().join("raw.db")).await;
                let file = vault.folder.path().join("vault.db");
                raw.execute(&format!("ATTACH '{}' AS credvault", file.display())).await;
                raw
            }
        };
        for Table { name, .. } in [&KEYS, &RECORDS] {
            let made = match &vault.database {
                Some(_) => format!("CREATE TABLE raw.{name} (LIKE credvault.{name} INCLUDING ALL)"),
                None => {
                    let sql = format!("SELECT sql AS v FROM credvault.sqlite_master WHERE name = '{name}'");
                    raw.text(&sql).await
                }
            };
            raw.execute(&made).await;
            raw.execute(&format!("INSERT INTO {name} SELECT * FROM credvault.{name}")).await;
        }
        let bytes = |table: &Table| -> Vec<Vec<u8>> { (0..POOL).map(|_| random(table.bytes)).collect() };
        Self { keys: bytes(&KEYS), records: bytes(&RECORDS), reached: raw }
    }

    /// Leaves the next measurement no work of an earlier one.
    pub(crate) async fn settle(&self, table: &Table) {
        self.reached.settle(Some(table)).await;
    }

    /// Updates all rows of a table, and gives how many those are in a second.
    pub(crate) async fn update(&self, table: &Table, how: How) -> f64 {
        let keys = self.keys(table).await;
        let begun = Instant::now();
        for batch in keys.chunks(table.batch) {
            let tx = self.reached.0.begin().await.unwrap();
            let statements: Vec<_> = match how {
                How::Row => batch.iter().enumerate().map(|(at, key)| self.row(table, at, key)).collect(),
                How::Batch => vec![self.batch(table, batch)],
            };
            let mut updated = 0;
            for statement in statements {
                updated += tx.execute_raw(statement).await.unwrap().rows_affected();
            }
            assert_eq!(updated, batch.len() as u64);
            tx.commit().await.unwrap();
        }
        keys.len() as f64 / begun.elapsed().as_secs_f64()
    }

    /// What finds the rows, in order.
    async fn keys(&self, table: &Table) -> Vec<Value> {
        let Table { name, key, key_type, others, .. } = table;
        let rows =
            self.reached.rows(&format!("SELECT {key} AS k FROM {name} WHERE {others} ORDER BY {key}")).await;
        let value = |row: &sea_orm::QueryResult| -> Value {
            match *key_type {
                "uuid" => row.try_get::<Uuid>("", "k").unwrap().into(),
                _ => row.try_get::<String>("", "k").unwrap().into(),
            }
        };
        rows.iter().map(value).collect()
    }

    fn row(&self, table: &Table, at: usize, found_by: &Value) -> Statement {
        let Table { name, key, others, value, number, .. } = table;
        let sql = format!("UPDATE {name} SET {value} = $1, {number} = $2 WHERE {key} = $3 AND {others}");
        let values = [self.bytes(table, at), 7_i64.into(), found_by.clone()];
        Statement::from_sql_and_values(self.reached.backend(), sql, values)
    }

    fn batch(&self, table: &Table, batch: &[Value]) -> Statement {
        let Table { name, key, key_type, others, value, number, .. } = table;
        let mut values: Vec<Value> = vec![7_i64.into()];
        let mut tuples = Vec::new();
        for (number, found_by) in batch.iter().enumerate() {
            values.extend([found_by.clone(), self.bytes(table, number)]);
            let at = values.len();
            tuples.push(match self.reached.is_postgres() {
                true => format!("(${}::{key_type}, ${at}::bytea)", at - 1),
                false => format!("(${}, ${at})", at - 1),
            });
        }
        // SQLite's planner would make an index of the values, and look each row of the table up there.
        let as_they_are = if self.reached.is_postgres() { "" } else { "NOT INDEXED" };
        let sql = format!(
            "WITH u (k, v) AS (VALUES {}) UPDATE {name} SET {value} = u.v, {number} = $1 FROM u {as_they_are}
             WHERE {name}.{key} = u.k AND {others}",
            tuples.join(", ")
        );
        Statement::from_sql_and_values(self.reached.backend(), sql, values)
    }

    /// New bytes for a row.
    fn bytes(&self, table: &Table, at: usize) -> Value {
        let pool = if table.name == KEYS.name { &self.keys } else { &self.records };
        pool[at % POOL].clone().into()
    }
}

fn random(bytes: usize) -> Vec<u8> {
    let mut random = vec![0; bytes];
    SystemRandom.fill(&mut random).unwrap();
    random
}
