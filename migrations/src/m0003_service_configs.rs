//! Configs of internal services with the connections that they use, and what tools require.

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
            for table in ["service_configs", "service_mappings", "tools"] {
                db.execute_unprepared(&row_level_security(table, false)).await?;
            }
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Custom(
            "configs of services would be lost: restore a backup of the earlier release instead".to_owned(),
        ))
    }
}

const STATEMENTS: &[&str] = &[
    r"CREATE TABLE service_configs (
        tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
        id {uuid} NOT NULL,
        owner_user {text} NOT NULL DEFAULT '',
        service {text} NOT NULL,
        enabled {bool} NOT NULL,
        revision {int} NOT NULL,
        create_time {int} NOT NULL,
        update_time {int} NOT NULL,
        PRIMARY KEY (tenant_id, id)
    ){strict}",
    "CREATE UNIQUE INDEX service_configs_service ON service_configs (tenant_id, owner_user, service)",
    // No foreign key to the connection: a purged one leaves the settings, which may have cost work, to their owner.
    r"CREATE TABLE service_mappings (
        tenant_id {text} NOT NULL,
        config_id {uuid} NOT NULL,
        name {text} NOT NULL,
        connection_id {uuid} NOT NULL,
        provider {text} NOT NULL,
        settings {json} NOT NULL,
        PRIMARY KEY (tenant_id, config_id, name),
        FOREIGN KEY (tenant_id, config_id) REFERENCES service_configs (tenant_id, id) ON DELETE CASCADE
    ){strict}",
    // Which services a connection breaks that is deleted, disconnected or disabled.
    "CREATE INDEX service_mappings_connection ON service_mappings (tenant_id, connection_id)",
    // Rows of the platform's own namespace only; a tenant of its own, as every table has.
    r"CREATE TABLE tools (
        tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
        name {text} NOT NULL,
        description {text} NOT NULL,
        requirements {json} NOT NULL,
        revision {int} NOT NULL,
        create_time {int} NOT NULL,
        update_time {int} NOT NULL,
        PRIMARY KEY (tenant_id, name)
    ){strict}",
    "ALTER TABLE changes ADD COLUMN service_config_id {uuid}",
    "ALTER TABLE changes ADD COLUMN tool {text}",
];
