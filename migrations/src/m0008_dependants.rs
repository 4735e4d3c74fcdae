//! Who still depends on the platform's shared credentials: counts by tenant, user, service and provider.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

use crate::dialect::{dialect, row_level_security};

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
        db.execute_unprepared(&dialect(TABLE, postgres)).await?;
        if postgres {
            // The report is of all tenants; there is nothing sealed in it.
            db.execute_unprepared(&row_level_security("platform_dependants", true)).await?;
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Custom(
            "the counts would be lost: restore a backup of the earlier release instead".to_owned(),
        ))
    }
}

/// No row is written by a fetch: each process adds what it has counted, every minute.
const TABLE: &str = r"CREATE TABLE platform_dependants (
    tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
    provider {text} NOT NULL,
    user_id {text} NOT NULL,
    service {text} NOT NULL,
    fetches {int} NOT NULL CHECK (fetches > 0),
    first_time {int} NOT NULL,
    last_time {int} NOT NULL,
    PRIMARY KEY (tenant_id, provider, user_id, service)
){strict}";
