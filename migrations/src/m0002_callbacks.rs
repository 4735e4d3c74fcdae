//! What browsers bring back from providers, kept until the authorization is completed, and where they go then.

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
        for statement in STATEMENTS {
            db.execute_unprepared(&dialect(statement, postgres)).await?;
        }
        if postgres {
            db.execute_unprepared(&row_level_security("callbacks", false)).await?;
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Custom(
            "consents in progress would be lost: restore a backup of the earlier release instead".to_owned(),
        ))
    }
}

const STATEMENTS: &[&str] = &[
    // Where the browser goes if the page that opened the window cannot receive a message.
    "ALTER TABLE authorizations ADD COLUMN return_url {text}",
    // A callback without a state is recognised by the browser that brings it.
    "CREATE INDEX authorizations_browser ON authorizations (browser_hash) WHERE browser_hash IS NOT NULL",
    // What the provider sent a browser back with. In a table of its own, for background work reads the consents of all
    // tenants, and such a table holds no sealed bytes.
    r"CREATE TABLE callbacks (
        tenant_id {text} NOT NULL,
        state_hash {bytes} NOT NULL,
        key_version {int} NOT NULL,
        sealed {bytes} NOT NULL CHECK ({octets}(sealed) BETWEEN 164 AND 70000),
        PRIMARY KEY (tenant_id, state_hash),
        FOREIGN KEY (tenant_id, state_hash) REFERENCES authorizations (tenant_id, state_hash) ON DELETE CASCADE,
        FOREIGN KEY (tenant_id, key_version) REFERENCES tenant_keys (tenant_id, version)
    ){strict}",
];
