//! Whether a user's deletion also revokes the grants of the user's connections.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(
    up,
    "deletions under way would revoke nothing more: restore a backup of the earlier release instead"
);

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    step::add(manager, [REVOKES], &[]).await
}

const REVOKES: &str = "ALTER TABLE user_deletions ADD COLUMN revokes {bool} NOT NULL DEFAULT FALSE";
