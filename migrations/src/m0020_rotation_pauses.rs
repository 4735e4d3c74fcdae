//! When the vault stops rotating a credential by itself, how many keys it has left, and which reminders were sent.

use sea_orm_migration::prelude::*;

use crate::step::{self, is_postgres, migration};

migration!(up, "the vault would make keys in vain again: restore a backup of the earlier release instead");

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    step::add(manager, STATEMENTS, &[]).await?;
    step::run(manager, if is_postgres(manager) { NOTED_IN_POSTGRES } else { NOTED_IN_SQLITE }).await
}

const STATEMENTS: [&str; 2] = [
    // How many keys were made, or may have been, that do not serve, since a version was stored.
    "ALTER TABLE credential_rotations ADD COLUMN in_vain {int} NOT NULL DEFAULT 0",
    // How many keys were left at the provider since a person has looked for them.
    "ALTER TABLE credential_rotations ADD COLUMN left_keys {int} NOT NULL DEFAULT 0",
];

// Reminders of an earlier time than `reminded_time` are not sent. What is there has had its reminders until now, which the
// release before did not note. Row-level security hides the rows of tenants from an UPDATE, so PostgreSQL gives them the time
// as the default of the moment.
const NOTED_IN_POSTGRES: [&str; 2] = [
    "ALTER TABLE credential_rotations
        ADD COLUMN reminded_time bigint DEFAULT (extract(epoch FROM now()) * 1000000)::bigint",
    "ALTER TABLE credential_rotations ALTER COLUMN reminded_time DROP DEFAULT",
];

const NOTED_IN_SQLITE: [&str; 2] = [
    "ALTER TABLE credential_rotations ADD COLUMN reminded_time INTEGER",
    "UPDATE credential_rotations SET reminded_time = CAST(strftime('%s', 'now') AS INTEGER) * 1000000",
];
