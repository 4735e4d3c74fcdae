//! The account, and settings that name it, that the provider itself confirmed, apart from what callers write.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

use crate::m0001_begin::dialect;

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
        for column in ["confirmed_account_id {text}", "confirmed_settings {json} NOT NULL DEFAULT '{}'"] {
            let sql = format!("ALTER TABLE connections ADD COLUMN {column}");
            db.execute_unprepared(&dialect(&sql, postgres)).await?;
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Custom(
            "accounts would be lost: restore a backup of the earlier release instead".to_owned(),
        ))
    }
}
