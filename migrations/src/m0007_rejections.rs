//! What the vault found out about credentials that callers report as rejected by their provider.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

use crate::dialect::{dialect, row_level_security};

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
        db.execute_unprepared(&dialect(TABLE, postgres)).await?;
        if postgres {
            db.execute_unprepared(&row_level_security("rejections", false)).await?;
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Custom(
            "the earlier release runs beside this table; restore a backup to be rid of it".to_owned(),
        ))
    }
}

/// One row for each connection of which a credential was reported: the credential that was asked about last. No finding
/// means that a process is at it.
const TABLE: &str = r"CREATE TABLE rejections (
        tenant_id {text} NOT NULL,
        connection_id {uuid} NOT NULL,
        version {int} NOT NULL,
        generation {int} NOT NULL,
        finding {text} CHECK (finding IN ('RENEWED', 'ACCEPTED', 'REFUSED', 'UNAVAILABLE', 'THROTTLED', 'UNKNOWN')),
        process_id {uuid},
        lease_time {int},
        -- When the finding was made, or the question was claimed.
        time {int} NOT NULL,
        -- No report causes another call to the provider before this time.
        next_time {int} NOT NULL,
        -- How many calls reports have caused in a row.
        calls {int} NOT NULL,
        PRIMARY KEY (tenant_id, connection_id),
        FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE,
        CHECK ((finding IS NULL) = (process_id IS NOT NULL))
    ){strict}";
