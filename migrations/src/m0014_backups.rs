//! When the vault was backed up. With it, the role of backups reads the tables of all earlier migrations.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(up, "the times of backups would be lost: restore a backup of the earlier release instead");

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    step::add(manager, [TABLE], &[("backups", false)]).await
}

/// One row for each backup that was written to its end, in the platform's namespace.
const TABLE: &str = r"CREATE TABLE backups (
    tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
    id {uuid} NOT NULL,
    -- The moment whose data the backup has.
    time {int} NOT NULL,
    -- FILE if the vault itself has seen the backup reach its disk, STREAM if another program took it.
    kind {text} NOT NULL CHECK (kind IN ('FILE', 'STREAM')),
    -- SHA-256 of the manifest.
    manifest {bytes} NOT NULL CHECK ({octets}(manifest) = 32),
    byte_count {int} NOT NULL,
    row_count {int} NOT NULL,
    PRIMARY KEY (tenant_id, id)
){strict}";
