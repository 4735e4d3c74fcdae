//! Webhooks that are signed with an app's key: each counts once for the app, whatever connections it is shown to.

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
            db.execute_unprepared(&dialect(table, postgres)).await?;
        }
        if postgres {
            db.execute_unprepared(&row_level_security("app_deliveries", true)).await?;
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Custom(
            "deliveries could be replayed: restore a backup of the earlier release instead".to_owned(),
        ))
    }
}

const TABLES: &[&str] = &[
    // The tenant is the one whose app it is: the platform's, for most.
    r"CREATE TABLE app_deliveries (
        tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
        provider {text} NOT NULL,
        replay_key {bytes} NOT NULL,
        expire_time {int} NOT NULL,
        PRIMARY KEY (tenant_id, provider, replay_key)
    ){strict}",
    r"CREATE INDEX app_deliveries_age ON app_deliveries (expire_time)",
];
