//! The database's schema, migration by migration, for PostgreSQL (15 or later) and SQLite, and PostgreSQL's roles.
//!
//! Migrations only expand: the previous release runs against the new schema. What a release stops using goes in a
//! later one. A migration that has been released is never edited.

mod dialect;
mod step;

mod m0001_schema;
mod m0002_callbacks;
mod m0003_service_configs;
mod m0004_usage;
mod m0005_health;
mod m0006_limits;
mod m0007_rejections;
mod m0008_dependants;
mod m0009_oidc;
mod m0010_oversight;
mod m0011_imports;
mod m0012_rotations;
mod m0013_erasures;
mod m0014_backups;
mod m0015_revoking_deletions;
mod m0016_credential_rotation;
mod m0017_secret_stores;
mod m0018_lost_stores;
mod m0019_rotation_requests;
mod m0020_rotation_pauses;
mod m0021_connect_sessions;
mod m0022_ended_tokens;
mod m0023_audit_journal;
mod m0024_audit_checkpoints;
mod m0025_audit_days;

mod roles;

use sea_orm_migration::prelude::*;

pub use roles::{ROLE_NAME_RULE, RolesError, SCHEMA, backup_role, grant, is_role_name, prepare};

/// Applies migrations in order.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_schema::Migration),
            Box::new(m0002_callbacks::Migration),
            Box::new(m0003_service_configs::Migration),
            Box::new(m0004_usage::Migration),
            Box::new(m0005_health::Migration),
            Box::new(m0006_limits::Migration),
            Box::new(m0007_rejections::Migration),
            Box::new(m0008_dependants::Migration),
            Box::new(m0009_oidc::Migration),
            Box::new(m0010_oversight::Migration),
            Box::new(m0011_imports::Migration),
            Box::new(m0012_rotations::Migration),
            Box::new(m0013_erasures::Migration),
            Box::new(m0014_backups::Migration),
            Box::new(m0015_revoking_deletions::Migration),
            Box::new(m0016_credential_rotation::Migration),
            Box::new(m0017_secret_stores::Migration),
            Box::new(m0018_lost_stores::Migration),
            Box::new(m0019_rotation_requests::Migration),
            Box::new(m0020_rotation_pauses::Migration),
            Box::new(m0021_connect_sessions::Migration),
            Box::new(m0022_ended_tokens::Migration),
            Box::new(m0023_audit_journal::Migration),
            Box::new(m0024_audit_checkpoints::Migration),
            Box::new(m0025_audit_days::Migration),
        ]
    }

    fn migration_table_name() -> DynIden {
        Alias::new("schema_migrations").into_iden()
    }
}

/// The names of all migrations of this release, oldest first.
pub fn names() -> Vec<String> {
    Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect()
}
