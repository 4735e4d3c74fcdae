//! The frame of a migration: one transaction, statements in the words of the database, row-level security for each table
//! with a tenant, and no way back that would lose data.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

use crate::dialect::{dialect, row_level_security};

/// Makes the migration of the file in which it stands, whose name is the migration's. `up` is an
/// `async fn(&SchemaManager<'_>) -> Result<(), DbErr>`; `no_way_back` says why it is not undone.
macro_rules! migration {
    ($up:path, $no_way_back:literal) => {
        #[derive(sea_orm_migration::prelude::DeriveMigrationName)]
        pub(crate) struct Migration;

        #[async_trait::async_trait]
        impl sea_orm_migration::prelude::MigrationTrait for Migration {
            fn use_transaction(&self) -> Option<bool> {
                Some(true)
            }

            async fn up(
                &self,
                manager: &sea_orm_migration::prelude::SchemaManager,
            ) -> Result<(), sea_orm_migration::prelude::DbErr> {
                $up(manager).await
            }

            async fn down(
                &self,
                _: &sea_orm_migration::prelude::SchemaManager,
            ) -> Result<(), sea_orm_migration::prelude::DbErr> {
                Err(sea_orm_migration::prelude::DbErr::Custom($no_way_back.to_owned()))
            }
        }
    };
}
pub(crate) use migration;

/// Runs statements, then gives row-level security to the `tables` with a tenant: with each stands whether background work
/// may read it across tenants, which no table with sealed bytes permits.
pub(crate) async fn add(
    manager: &SchemaManager<'_>,
    statements: impl IntoIterator<Item = impl AsRef<str>>,
    tables: &[(&str, bool)],
) -> Result<(), DbErr> {
    let (db, postgres) = (manager.get_connection(), is_postgres(manager));
    for statement in statements {
        db.execute_unprepared(&dialect(statement.as_ref(), postgres)).await?;
    }
    for (table, crosses) in tables.iter().filter(|_| postgres) {
        db.execute_unprepared(&row_level_security(table, *crosses)).await?;
    }
    if postgres {
        db.execute_unprepared(READ_BY_BACKUPS).await?;
    }
    Ok(())
}

/// Lets the role of backups read every table with a tenant, whole: policies that bind all roles bind that one too, so each
/// of them has to name it. Tables of migrations that an earlier release has applied get the same with the next migration.
const READ_BY_BACKUPS: &str = "
    DO $$
    DECLARE
        policy record;
    BEGIN
        FOR policy IN SELECT p.tablename, p.qual FROM pg_policies p
            WHERE p.schemaname = current_schema() AND p.policyname = 'tenant_select' AND p.qual NOT LIKE '%CURRENT_USER%'
        LOOP
            EXECUTE format('ALTER POLICY tenant_select ON %I USING (%s OR CURRENT_USER = %L)', policy.tablename, policy.qual,
                left(current_user::text, 56) || '_backup');
        END LOOP;
    END $$";

/// Runs statements as they are.
pub(crate) async fn run<'a>(
    manager: &SchemaManager<'_>,
    statements: impl IntoIterator<Item = &'a str>,
) -> Result<(), DbErr> {
    for statement in statements {
        manager.get_connection().execute_unprepared(statement).await?;
    }
    Ok(())
}

/// Whether the database is PostgreSQL; SQLite otherwise.
pub(crate) fn is_postgres(manager: &SchemaManager<'_>) -> bool {
    manager.get_connection().get_database_backend() == DbBackend::Postgres
}
