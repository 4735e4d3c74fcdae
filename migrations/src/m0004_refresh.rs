//! Refreshes that outlive outages: since when an outcome is unclear, and whether the provider itself has refused, and how.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

use crate::fetch_function::{FETCH_FUNCTION, FOUND};
use crate::m0001_begin::dialect;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let postgres = db.get_database_backend() == DbBackend::Postgres;
        for change in CHANGES {
            db.execute_unprepared(&dialect(change, postgres)).await?;
        }
        if postgres {
            db.execute_unprepared(&FETCH_FUNCTION.replace("{found}", FOUND)).await?;
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Custom("what is known of refreshes would be lost: restore a backup instead".to_owned()))
    }
}

const CHANGES: &[&str] = &[
    // Since when no attempt has ended with tokens or with a refusal that the vault understands.
    "ALTER TABLE refreshes ADD COLUMN unclear_time {int}",
    // The provider itself has said that the refresh token is dead.
    "ALTER TABLE refreshes ADD COLUMN refused {bool} NOT NULL DEFAULT FALSE",
    // How often it has refused, since it gave tokens last, in words that its file does not know.
    "ALTER TABLE refreshes ADD COLUMN refusals {int} NOT NULL DEFAULT 0",
    // The provider's own code of a refusal, if it is a plain word.
    "ALTER TABLE connections ADD COLUMN error_code {text}",
];
