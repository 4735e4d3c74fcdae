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

use crate::step::{self, migration};

migration!(up, "the first migration cannot be undone: drop the database instead");

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let rooms =
        [tenants::TABLES, connections::TABLES, authorizations::TABLES, events::TABLES, records::TABLES];
    step::add(manager, rooms.into_iter().flatten(), TENANT_TABLES).await?;
    if step::is_postgres(manager) {
        let fetch = functions::FETCH.replace("{found}", functions::FOUND);
        step::run(manager, [fetch.as_str(), functions::APPEND]).await
    } else {
        step::run(manager, [records::SQLITE_TRIGGERS]).await
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
