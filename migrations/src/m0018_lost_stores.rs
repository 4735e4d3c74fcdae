//! External stores that are lost: what they had is given up, and what an erasure has removed from each is counted. And the
//! queue of a tenant is found without reading that of others.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(
    up,
    "what was given up in lost stores would be asked for again: restore a backup of the earlier release instead"
);

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    step::add(manager, STATEMENTS, &[]).await
}

const STATEMENTS: &[&str] = &[
    // When an operator gave up what a lost store has. The row stays until its tenant is erased, whose statement counts it.
    "ALTER TABLE external_payloads ADD COLUMN write_off_time {int}",
    // How many payloads each store has removed, or was left with, in JSON.
    "ALTER TABLE erasures ADD COLUMN stores {text}",
    // A share of what is due is found of each tenant, however many others have queued.
    "CREATE INDEX payload_work_tenant ON payload_work (tenant_id, due_time)",
];
