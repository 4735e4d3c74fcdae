//! What a rotation in progress was asked for, so that another process ends it in the same way.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(
    up,
    "rotations in progress would forget what was asked for: restore a backup of the earlier release instead"
);

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    step::add(manager, STATEMENTS, &[]).await
}

const STATEMENTS: &[&str] = &[
    // Whether the keys before are revoked as soon as the new one serves.
    "ALTER TABLE credential_rotations ADD COLUMN revoke_now {bool} NOT NULL DEFAULT FALSE",
    // After how many microseconds the provider ends the key before by itself, noted when the call for another one is about to be
    // sent; none if it does not.
    "ALTER TABLE credential_rotations ADD COLUMN old_key_life {int}",
    // The request that asked for the new key, until the key serves: a repeated one is to find the version then.
    "ALTER TABLE credential_rotations ADD COLUMN request {text}",
];
