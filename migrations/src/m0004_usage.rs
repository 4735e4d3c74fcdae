//! Usage of connections, counted by day: what services reported, and the vault's own counts of fetches and refreshes.
//!
//! `usage_days` has a row for each connection, day, endpoint, service and user. `usage_users` and `usage_totals` hold the
//! same counts without the connection, and `usage_totals` without the user, too: questions about many connections read
//! few rows. Their rows exist once for each `shard`, a part of the replicas, so that replicas do not wait for each other.
//! None has a foreign key to connections: counts outlive a purged connection.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(up, "counts would be lost: restore a backup of the earlier release instead");

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let statements: Vec<_> =
        STATEMENTS.iter().map(|statement| statement.replace("{counts}", COUNTS)).collect();
    step::add(manager, statements, &TABLES).await?;
    if step::is_postgres(manager) {
        // Counts change in place: room in each page keeps the new version of a row beside the old one.
        for table in ["usage_days", "usage_users", "usage_totals"] {
            step::run(manager, [format!("ALTER TABLE {table} SET (fillfactor = 80)").as_str()]).await?;
        }
    }
    Ok(())
}

/// The tables with a tenant, and whether background work may read them across tenants: to find the tenants with old
/// counts, the smallest table is enough, for it has a row for every day that another has.
const TABLES: [(&str, bool); 5] = [
    ("usage_connections", false),
    ("usage_days", false),
    ("usage_users", false),
    ("usage_totals", true),
    ("usage_erasures", true),
];

const COUNTS: &str = "calls {int} NOT NULL, errors {int} NOT NULL, rate_limit_hits {int} NOT NULL,
        fetches {int} NOT NULL, refreshes {int} NOT NULL";

const STATEMENTS: &[&str] = &[
    // Whose connections are counted. `owner_user` is empty for the tenant's, two blanks for the platform's, and one blank
    // once the user was deleted; no user's id is a blank.
    r"CREATE TABLE usage_connections (
        tenant_id {text} NOT NULL,
        connection_id {uuid} NOT NULL,
        provider {text} NOT NULL,
        owner_user {text} NOT NULL,
        last_day {int} NOT NULL,
        PRIMARY KEY (tenant_id, connection_id)
    ){strict}",
    r"CREATE INDEX usage_connections_owner ON usage_connections (tenant_id, owner_user)",
    r"CREATE INDEX usage_connections_age ON usage_connections (tenant_id, last_day)",
    // The endpoint is empty where the vault itself counted.
    r"CREATE TABLE usage_days (
        tenant_id {text} NOT NULL,
        connection_id {uuid} NOT NULL,
        day {int} NOT NULL,
        endpoint {text} NOT NULL,
        service {text} NOT NULL,
        user_id {text} NOT NULL,
        {counts},
        PRIMARY KEY (tenant_id, connection_id, day, endpoint, service, user_id)
    ){strict}",
    r"CREATE INDEX usage_days_user ON usage_days (tenant_id, user_id) WHERE user_id <> ''",
    r"CREATE INDEX usage_days_age ON usage_days (tenant_id, day)",
    r"CREATE TABLE usage_users (
        tenant_id {text} NOT NULL,
        user_id {text} NOT NULL,
        day {int} NOT NULL,
        provider {text} NOT NULL,
        endpoint {text} NOT NULL,
        service {text} NOT NULL,
        shared {bool} NOT NULL,
        shard {int} NOT NULL,
        {counts},
        PRIMARY KEY (tenant_id, user_id, day, provider, endpoint, service, shared, shard)
    ){strict}",
    r"CREATE INDEX usage_users_age ON usage_users (tenant_id, day)",
    r"CREATE TABLE usage_totals (
        tenant_id {text} NOT NULL,
        day {int} NOT NULL,
        provider {text} NOT NULL,
        endpoint {text} NOT NULL,
        service {text} NOT NULL,
        shared {bool} NOT NULL,
        shard {int} NOT NULL,
        {counts},
        PRIMARY KEY (tenant_id, day, provider, endpoint, service, shared, shard)
    ){strict}",
    r"CREATE INDEX usage_totals_age ON usage_totals (day)",
    // Users whose identity has to go. A row stays for an hour, for other replicas may still hold counts in memory.
    r"CREATE TABLE usage_erasures (
        tenant_id {text} NOT NULL,
        user_id {text} NOT NULL,
        create_time {int} NOT NULL,
        PRIMARY KEY (tenant_id, user_id)
    ){strict}",
];
