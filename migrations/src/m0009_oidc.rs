//! Who registers an app at a server that the tenant has none at: one replica at a time.

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
            db.execute_unprepared(&row_level_security("client_registrations", false)).await?;
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Custom("registrations in progress would be lost: restore a backup instead".to_owned()))
    }
}

/// A row stands for a registration in progress, until `expire_time` at most. `place` is what `oauth_apps.provider` will
/// have.
const TABLE: &str = r"CREATE TABLE client_registrations (
    tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
    place {text} NOT NULL,
    expire_time {int} NOT NULL,
    PRIMARY KEY (tenant_id, place)
){strict}";
