//! The change feed says what has changed, and in which transaction.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

use crate::m0001_begin::{dialect, row_level_security};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let postgres = db.get_database_backend() == DbBackend::Postgres;
        for table in TABLES {
            let transaction = if postgres { "(pg_current_xact_id()::text::bigint)" } else { "0" };
            db.execute_unprepared(&dialect(table, postgres).replace("{transaction}", transaction)).await?;
        }
        if postgres {
            db.execute_unprepared(&row_level_security("changes", true)).await?;
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Custom("this migration cannot be undone: restore a backup instead".to_owned()))
    }
}

const TABLES: &[&str] = &[
    "DROP TABLE changes",
    r"CREATE TABLE changes (
        {serial},
        tenant_id {text} NOT NULL,
        txid {int} NOT NULL DEFAULT {transaction},
        connection_id {uuid},
        provider {text},
        endpoint_id {uuid},
        kind {text} NOT NULL,
        version {int},
        time {int} NOT NULL{serial_key}
    ){strict}",
    "CREATE INDEX changes_order ON changes (tenant_id, txid, seq)",
    "CREATE INDEX changes_age ON changes (time)",
];
