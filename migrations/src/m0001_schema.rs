//! The schema.
//!
//! Every primary key, unique constraint, foreign key and index leads with the tenant: uniqueness checks and cascades
//! ignore row-level security, so they must not be able to reach across tenants by themselves; and a distributed
//! PostgreSQL can shard by it. Instants are microseconds since the epoch.

mod authorizations;
mod connections;
mod events;
mod functions;
mod records;
mod tenants;

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
        let rooms =
            [tenants::TABLES, connections::TABLES, authorizations::TABLES, events::TABLES, records::TABLES];
        for table in rooms.into_iter().flatten() {
            db.execute_unprepared(&dialect(table, postgres)).await?;
        }
        if postgres {
            for (table, crosses) in TENANT_TABLES {
                db.execute_unprepared(&row_level_security(table, *crosses)).await?;
            }
            db.execute_unprepared(&functions::FETCH.replace("{found}", functions::FOUND)).await?;
            db.execute_unprepared(functions::APPEND).await?;
        } else {
            db.execute_unprepared(records::SQLITE_TRIGGERS).await?;
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Custom("the first migration cannot be undone: drop the database instead".to_owned()))
    }
}

/// The tables with a tenant, and whether background work may read them across tenants. None of those holds sealed bytes.
const TENANT_TABLES: &[(&str, bool)] = &[
    ("tenants", true),
    ("tenant_keys", false),
    ("oauth_apps", false),
    ("budgets", false),
    ("user_deletions", true),
    ("connections", true),
    ("credential_versions", false),
    ("tokens", false),
    ("refreshes", true),
    ("revocations", false),
    ("authorizations", true),
    ("delivered_keys", false),
    ("webhook_replays", true),
    ("app_webhook_replays", true),
    ("event_endpoints", false),
    ("event_deliveries", true),
    ("endpoint_deletions", true),
    ("requests", true),
    ("audit_events", false),
    ("changes", true),
];
