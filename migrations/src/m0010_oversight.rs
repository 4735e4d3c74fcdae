//! What administrators see of a tenant beside its connections: when its users were seen, and what came of the vault's work
//! at each provider.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(up, "counts would be lost: restore a backup of the earlier release instead");

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    // Upkeep forgets old counts of all tenants.
    step::add(manager, STATEMENTS, &[("user_sightings", false), ("provider_outcomes", true)]).await
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
