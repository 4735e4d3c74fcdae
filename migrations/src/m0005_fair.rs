//! Why a connection's refresh waits, and due refreshes by tenant.

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
        for statement in STATEMENTS {
            db.execute_unprepared(&dialect(statement, postgres)).await?;
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Custom(
            "this cannot be undone: restore a backup of the earlier release instead".to_owned(),
        ))
    }
}

const STATEMENTS: &[&str] = &[
    // Why nothing is sent before `retry_time`, and, where the app is why, the revision of the app that was at fault.
    r"ALTER TABLE refreshes ADD COLUMN pause {text}",
    r"ALTER TABLE refreshes ADD COLUMN pause_app {text}",
    // The search goes from tenant to tenant, and takes a few of each: what is due of one must not hide the others'.
    r"CREATE INDEX refreshes_due_of_tenant ON refreshes (tenant_id, due_time) WHERE due_time IS NOT NULL",
    // What waits for an app, to be woken when that is stored.
    r"CREATE INDEX refreshes_pause_app ON refreshes (tenant_id, connection_id) WHERE pause_app IS NOT NULL",
];
