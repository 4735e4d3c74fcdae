//! PostgreSQL's roles: one that owns the schema and cannot log in, one that the service runs as and that owns nothing.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend, Statement};

/// The schema that holds all tables and functions.
pub const SCHEMA: &str = "credvault";

/// Why roles could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum RolesError {
    /// A role's name is not one that needs no quoting.
    #[error("the role name {0} must be 1 to 63 characters of a-z 0-9 _ and begin with a letter or _")]
    Name(String),
    /// Owner and runtime role are one.
    #[error("the service must not run as the role that owns the schema: name another user in store.url")]
    SameRole,
    /// The runtime role must be created, and there is no usable password for it.
    #[error(
        "the role {0} does not exist and store.url has no ASCII password to create it with: add one, or create the role \
         with LOGIN yourself"
    )]
    Password(String),
    /// The database refused.
    #[error(transparent)]
    Database(#[from] DbErr),
}

fn checked(name: &str) -> Result<&str, RolesError> {
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let in_alphabet = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if name.len() <= 63 && starts && in_alphabet { Ok(name) } else { Err(RolesError::Name(name.to_owned())) }
}

/// Creates both roles and the schema where they are missing. `verifier` is the SCRAM verifier of the runtime role's
/// password, so that the password itself never travels in a statement, which servers may log.
///
/// # Errors
/// A name is unusable, or the database refuses.
pub async fn prepare<C: ConnectionTrait>(
    db: &C,
    owner: &str,
    runtime: &str,
    verifier: Option<&str>,
) -> Result<(), RolesError> {
    let (owner, runtime) = (checked(owner)?, checked(runtime)?);
    if owner == runtime {
        return Err(RolesError::SameRole);
    }
    if !role_exists(db, owner).await? {
        db.execute_unprepared(&format!("CREATE ROLE \"{owner}\" NOLOGIN NOBYPASSRLS")).await?;
    }
    if !role_exists(db, runtime).await? {
        let verifier = verifier
            .filter(|text| !text.contains('\''))
            .ok_or_else(|| RolesError::Password(runtime.to_owned()))?;
        let create = format!("CREATE ROLE \"{runtime}\" LOGIN NOBYPASSRLS NOINHERIT PASSWORD '{verifier}'");
        db.execute_unprepared(&create).await?;
    }
    db.execute_unprepared(&format!("GRANT \"{owner}\" TO CURRENT_USER")).await?;
    db.execute_unprepared(&format!("CREATE SCHEMA IF NOT EXISTS {SCHEMA} AUTHORIZATION \"{owner}\"")).await?;
    Ok(())
}

async fn role_exists<C: ConnectionTrait>(db: &C, name: &str) -> Result<bool, DbErr> {
    let sql = "SELECT 1 FROM pg_roles WHERE rolname = $1";
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, [name.into()]);
    Ok(db.query_one_raw(statement).await?.is_some())
}

/// Grants the runtime role what the service needs and nothing else. In particular, audit records can be inserted and
/// read, not changed; a tenant or a key is never deleted by the service.
///
/// # Errors
/// The name is unusable, or the database refuses.
pub async fn grant<C: ConnectionTrait>(db: &C, runtime: &str) -> Result<(), RolesError> {
    let runtime = checked(runtime)?;
    let grants = [
        ("SELECT", "schema_migrations"),
        ("SELECT, INSERT", "root_keys"),
        ("SELECT, INSERT, UPDATE", "tenants"),
        ("SELECT, INSERT", "tenant_keys"),
        ("SELECT, INSERT, UPDATE, DELETE", "connections"),
        ("SELECT, INSERT, UPDATE, DELETE", "credential_versions"),
        ("SELECT, INSERT, DELETE", "requests"),
        ("SELECT, INSERT", "audit_events"),
        ("SELECT, INSERT, DELETE", "changes"),
        ("SELECT, INSERT, UPDATE, DELETE", "tokens"),
        ("SELECT, INSERT, UPDATE", "refreshes"),
        ("SELECT, INSERT, UPDATE", "budgets"),
        ("SELECT, INSERT, UPDATE, DELETE", "oauth_apps"),
        ("SELECT, INSERT, UPDATE, DELETE", "authorizations"),
        ("SELECT, INSERT, DELETE", "handoffs"),
        ("SELECT, INSERT, DELETE", "callbacks"),
        ("SELECT, INSERT, DELETE", "webhook_deliveries"),
        ("SELECT, INSERT, DELETE", "app_deliveries"),
        ("SELECT, INSERT, UPDATE, DELETE", "revocations"),
        ("SELECT, INSERT, UPDATE, DELETE", "event_endpoints"),
        ("SELECT, INSERT, UPDATE, DELETE", "event_deliveries"),
    ];
    db.execute_unprepared(&format!("GRANT USAGE ON SCHEMA {SCHEMA} TO \"{runtime}\"")).await?;
    db.execute_unprepared(&format!("REVOKE ALL ON ALL TABLES IN SCHEMA {SCHEMA} FROM \"{runtime}\"")).await?;
    for (privileges, table) in grants {
        db.execute_unprepared(&format!("GRANT {privileges} ON {SCHEMA}.{table} TO \"{runtime}\"")).await?;
    }
    db.execute_unprepared(&format!("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {SCHEMA} FROM PUBLIC")).await?;
    db.execute_unprepared(&format!("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {SCHEMA} TO \"{runtime}\""))
        .await?;
    Ok(())
}
