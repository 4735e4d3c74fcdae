//! Users and event endpoints that are being deleted: what keeps a deletion of any size from being forgotten half-way. And
//! what keeps the search for such work from going through all rows.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

use crate::m0001_begin::{dialect, row_level_security};

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
            for table in ["user_deletions", "endpoint_deletions"] {
                db.execute_unprepared(&row_level_security(table, true)).await?;
            }
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Custom("deletions under way would be forgotten: let them end first".to_owned()))
    }
}

const STATEMENTS: &[&str] = &[
    // A row is there from the call until the last connection that the user had then is deleted and the events about it are
    // forgotten. What was created after `create_time` stays.
    r"CREATE TABLE user_deletions (
        tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
        user_id {text} NOT NULL,
        create_time {int} NOT NULL,
        PRIMARY KEY (tenant_id, user_id)
    ){strict}",
    // A row is there from the call until the endpoint's last delivery is deleted, and goes with the endpoint.
    r"CREATE TABLE endpoint_deletions (
        tenant_id {text} NOT NULL,
        endpoint_id {uuid} NOT NULL,
        create_time {int} NOT NULL,
        PRIMARY KEY (tenant_id, endpoint_id),
        FOREIGN KEY (tenant_id, endpoint_id) REFERENCES event_endpoints (tenant_id, id) ON DELETE CASCADE
    ){strict}",
    // Until when none of the tenant's events is given up, although its own time is over: the tenant was suspended.
    "ALTER TABLE tenants ADD COLUMN patience_time {int}",
    // A connection that goes takes its consents along, and one that waits for a consent is looked for every minute.
    "CREATE INDEX authorizations_connection ON authorizations (tenant_id, connection_id)",
    "CREATE INDEX connections_connecting ON connections (tenant_id) WHERE state = 'CONNECTING'",
];
