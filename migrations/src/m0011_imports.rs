//! Which connection each row of another system has become, and what the row held then.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(up, "rows would be imported anew: restore a backup of the earlier release instead");

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    step::add(manager, STATEMENTS, &[("imports", false)]).await
}

const STATEMENTS: &[&str] = &[
    r"CREATE TABLE imports (
        tenant_id {text} NOT NULL,
        source {text} NOT NULL,
        connection_id {uuid} NOT NULL,
        -- An HMAC of what the row held when it was last imported, under this key of the tenant.
        fingerprint {bytes} NOT NULL,
        key_version {int} NOT NULL,
        -- The connection's version then: 0 if the row had no credential.
        version {int} NOT NULL,
        time {int} NOT NULL,
        PRIMARY KEY (tenant_id, source),
        FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
    ){strict}",
    "CREATE INDEX imports_connection ON imports (connection_id, tenant_id)",
];
