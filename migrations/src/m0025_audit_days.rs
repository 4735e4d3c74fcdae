//! Kept counts of the audit log: what the records of a finished day have in common, so that summaries and reports need not
//! open them again.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(up, "the counts are made again from the log: restore a backup of the earlier release instead");

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    step::add(manager, STATEMENTS, &[("audit_days", false)]).await?;
    let of_one_database = if step::is_postgres(manager) { IN_POSTGRES } else { IN_SQLITE };
    step::run(manager, of_one_database.to_vec()).await
}

const STATEMENTS: [&str; 1] = [
    // One row for a tenant and day in UTC. It is never changed: what comes later lies at places from `size` on.
    r"CREATE TABLE audit_days (
        tenant_id {text} NOT NULL,
        -- Days since 1970-01-01.
        day {int} NOT NULL,
        -- The place in the log before which the day's records are counted here.
        size {int} NOT NULL CHECK (size >= 0),
        -- The audit key, and the counts under it. Without them, the row says that no day up to this one needs a row.
        key_number {int},
        sealed {bytes},
        PRIMARY KEY (tenant_id, day),
        CHECK ((key_number IS NULL) = (sealed IS NULL))
    ){strict}",
];

const IN_POSTGRES: &[&str] = &["ALTER TABLE audit_days ALTER COLUMN sealed SET STORAGE EXTERNAL"];

const IN_SQLITE: &[&str] = &["CREATE TRIGGER audit_days_unchanged BEFORE UPDATE ON audit_days
     BEGIN SELECT RAISE(ABORT, 'counts of the audit log are never changed'); END"];
