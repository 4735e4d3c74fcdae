//! Who still depends on the platform's shared credentials: counts by tenant, user, service and provider.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(up, "the counts would be lost: restore a backup of the earlier release instead");

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    // The report is of all tenants.
    step::add(manager, [TABLE], &[("platform_dependants", true)]).await
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
