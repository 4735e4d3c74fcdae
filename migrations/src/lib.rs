//! The database's schema, migration by migration, for PostgreSQL (15 or later) and SQLite, and PostgreSQL's roles.
//!
//! Migrations only expand: the previous release runs against the new schema. What a release stops using goes in a
//! later one. A migration that has been released is never edited.

mod fetch_function;
mod m0001_begin;

mod m0002_connect;

mod m0003_events;
mod m0004_refresh;

mod m0005_fair;
mod m0006_binding;

mod m0007_quotas;

mod m0008_pieces;

mod m0009_scope;

mod m0010_deliveries;

mod m0011_callbacks;

mod m0012_feed;

mod roles;

use sea_orm_migration::prelude::*;

pub use roles::{RolesError, SCHEMA, grant, prepare};

/// Applies migrations in order.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_begin::Migration),
            Box::new(m0002_connect::Migration),
            Box::new(m0003_events::Migration),
            Box::new(m0004_refresh::Migration),
            Box::new(m0005_fair::Migration),
            Box::new(m0006_binding::Migration),
            Box::new(m0007_quotas::Migration),
            Box::new(m0008_pieces::Migration),
            Box::new(m0009_scope::Migration),
            Box::new(m0010_deliveries::Migration),
            Box::new(m0011_callbacks::Migration),
            Box::new(m0012_feed::Migration),
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
