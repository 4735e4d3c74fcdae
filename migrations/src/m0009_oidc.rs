//! Who registers an app at a server that the tenant has none at: one replica at a time.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(up, "registrations in progress would be lost: restore a backup instead");

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    step::add(manager, [TABLE], &[("client_registrations", false)]).await
}

/// A row stands for a registration in progress, until `expire_time` at most. `place` is what `oauth_apps.provider` will
/// have.
const TABLE: &str = r"CREATE TABLE client_registrations (
    tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
    place {text} NOT NULL,
    expire_time {int} NOT NULL,
    PRIMARY KEY (tenant_id, place)
){strict}";
