//! Configs of internal services with the connections that they use, and what tools require.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(up, "configs of services would be lost: restore a backup of the earlier release instead");

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    step::add(
        manager,
        STATEMENTS,
        &[("service_configs", false), ("service_mappings", false), ("tools", false)],
    )
    .await
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
