//! What administrators see of a tenant beside its connections: when its users were seen, and what came of the vault's work
//! at each provider.

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
        for statement in STATEMENTS {
            db.execute_unprepared(&dialect(statement, postgres)).await?;
        }
        if postgres {
            db.execute_unprepared(&row_level_security("user_sightings", false)).await?;
            // Upkeep forgets old counts of all tenants, and no secret is here.
            db.execute_unprepared(&row_level_security("provider_outcomes", true)).await?;
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Custom("counts would be lost: restore a backup of the earlier release instead".to_owned()))
    }
}

const STATEMENTS: &[&str] = &[
    // Each replica writes what it has seen every few seconds; no call waits for that.
    r"CREATE TABLE user_sightings (
        tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
        user_id {text} NOT NULL,
        first_time {int} NOT NULL,
        last_time {int} NOT NULL,
        PRIMARY KEY (tenant_id, user_id)
    ){strict}",
    // How often the vault's work at a provider had which outcome on a day, counted in days since 1970 in UTC. The
    // platform's rows are the sums over all tenants.
    r"CREATE TABLE provider_outcomes (
        tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
        day {int} NOT NULL,
        provider {text} NOT NULL,
        outcome {text} NOT NULL,
        count {int} NOT NULL,
        PRIMARY KEY (tenant_id, day, provider, outcome)
    ){strict}",
    "CREATE INDEX provider_outcomes_age ON provider_outcomes (day)",
];
