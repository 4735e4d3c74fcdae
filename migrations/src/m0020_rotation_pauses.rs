//! When the vault stops rotating a credential by itself, how many keys it has left, and which reminders were sent.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(up, "the vault would make keys in vain again: restore a backup of the earlier release instead");

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    step::add(manager, STATEMENTS, &[]).await
}

const STATEMENTS: [&str; 3] = [
    // How many keys were made, or may have been, that do not serve, since a version was stored.
    "ALTER TABLE credential_rotations ADD COLUMN in_vain {int} NOT NULL DEFAULT 0",
    // How many keys were left at the provider since a person has looked for them.
    "ALTER TABLE credential_rotations ADD COLUMN left_keys {int} NOT NULL DEFAULT 0",
    // Reminders of an earlier time than this one are not sent.
    "ALTER TABLE credential_rotations ADD COLUMN reminded_time {int}",
];
