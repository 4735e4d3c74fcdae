//! Users who are being deleted: what keeps a deletion of any size from being forgotten half-way.

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
        db.execute_unprepared(&dialect(TABLE, postgres)).await?;
        if postgres {
            db.execute_unprepared(&row_level_security("user_deletions", true)).await?;
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Custom("deletions under way would be forgotten: let them end first".to_owned()))
    }
}

/// A row is there from the call until the user's last connection is deleted and the events about it are forgotten.
const TABLE: &str = r"CREATE TABLE user_deletions (
        tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
        user_id {text} NOT NULL,
        create_time {int} NOT NULL,
        PRIMARY KEY (tenant_id, user_id)
    ){strict}";
