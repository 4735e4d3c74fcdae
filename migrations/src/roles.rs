//! PostgreSQL's roles: one that owns the schema and cannot log in, one that the service runs as and that owns nothing, and
//! one that backups are read as, which cannot log in either.

use std::collections::BTreeSet;

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend, Statement};

/// The schema that holds all tables and functions.
pub const SCHEMA: &str = "credvault";

/// Why roles could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum RolesError {
    /// The role that this setting names has a name that would need quotes.
    #[error("{0} {rule}", rule = ROLE_NAME_RULE)]
    Name(&'static str),
    /// Owner and runtime role are one.
    #[error("the service must not run as the role that owns the schema: name another user in store.url")]
    SameRole,
    /// The runtime role must be created, and there is no usable password for it.
    #[error(
        "the role {0} does not exist and store.url has no ASCII password to create it with: add one, or create the role \
         with LOGIN yourself"
    )]
    Password(String),
    /// The database refused a statement.
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// The rule of a role's name, as the end of a sentence. A name that keeps it needs no quotes in SQL.
pub const ROLE_NAME_RULE: &str = "must be 1 to 63 characters of a-z 0-9 _ and begin with a letter or _";

/// Whether a role's name keeps [`ROLE_NAME_RULE`].
pub fn is_role_name(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let in_alphabet = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    name.len() <= 63 && starts && in_alphabet
}

/// Where the runtime role is named.
const RUNTIME: &str = "the user of store.url";

fn checked<'a>(setting: &'static str, name: &'a str) -> Result<&'a str, RolesError> {
    if is_role_name(name) { Ok(name) } else { Err(RolesError::Name(setting)) }
}

/// The role that backups are read as: it sees the rows of all tenants, and changes nothing. Its name follows from that of
/// the owner, of which it takes the first 56 characters.
pub fn backup_role(owner: &str) -> String {
    let owner: String = owner.chars().take(56).collect();
    format!("{owner}_backup")
}

/// Creates the roles and the schema where they are missing. `verifier` is the SCRAM verifier of the runtime role's
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
    let (owner, runtime) = (checked("store.owner_role", owner)?, checked(RUNTIME, runtime)?);
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
    let backup = backup_role(owner);
    if !role_exists(db, &backup).await? {
        db.execute_unprepared(&format!("CREATE ROLE \"{backup}\" NOLOGIN NOBYPASSRLS")).await?;
    }
    // Since 16 a member may be one that cannot become the role.
    let becomes =
        "SELECT pg_has_role($1::name, CASE WHEN current_setting('server_version_num')::int >= 160000
        THEN 'SET' ELSE 'MEMBER' END) AS held";
    for role in [owner, backup.as_str()] {
        if !held(db, becomes, [role]).await? {
            db.execute_unprepared(&format!("GRANT \"{role}\" TO CURRENT_USER")).await?;
        }
    }
    if !held(db, "SELECT to_regnamespace($1) IS NOT NULL AS held", [SCHEMA]).await? {
        db.execute_unprepared(&format!("CREATE SCHEMA {SCHEMA} AUTHORIZATION \"{owner}\"")).await?;
    }
    Ok(())
}

/// The one answer, in the column `held`, to a question about `names`.
async fn held<C: ConnectionTrait, const N: usize>(
    db: &C,
    sql: &str,
    names: [&str; N],
) -> Result<bool, DbErr> {
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, names.map(Into::into));
    let row = db.query_one_raw(statement).await?;
    row.ok_or_else(|| DbErr::Custom("the server answered no row".to_owned()))?.try_get("", "held")
}

async fn role_exists<C: ConnectionTrait>(db: &C, name: &str) -> Result<bool, DbErr> {
    let sql = "SELECT 1 FROM pg_roles WHERE rolname = $1";
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, [name.into()]);
    Ok(db.query_one_raw(statement).await?.is_some())
}

/// Grants the runtime role what the service needs and nothing else, of the tables that exist. In particular, audit
/// records can be inserted and read, not changed; a tenant is never deleted by the service, and of a key it changes only
/// by what it is wrapped. The role of backups reads all tables and does nothing else.
///
/// Only what differs is granted or revoked: where nothing does, nothing is written, and a service that runs meanwhile
/// has its rights at every moment. Call it in the transaction of the migration that makes or replaces what it is about.
///
/// # Errors
/// A name is unusable, or the database refuses.
pub async fn grant<C: ConnectionTrait>(db: &C, owner: &str, runtime: &str) -> Result<(), RolesError> {
    let (owner, runtime) = (checked("store.owner_role", owner)?, checked(RUNTIME, runtime)?);
    let backup = backup_role(owner);
    let reads: Vec<_> = GRANTS.iter().map(|(_, table)| ("SELECT", *table)).collect();
    let mut statements = Vec::new();
    for (role, grants) in [(runtime, GRANTS), (backup.as_str(), reads.as_slice())] {
        if !held(db, "SELECT has_schema_privilege($1::name, $2, 'USAGE') AS held", [role, SCHEMA]).await? {
            statements.push(format!("GRANT USAGE ON SCHEMA {SCHEMA} TO \"{role}\""));
        }
        statements.extend(on_tables(db, role, grants).await?);
    }
    statements.extend(on_functions(db, runtime).await?);
    for statement in statements {
        db.execute_unprepared(&statement).await?;
    }
    Ok(())
}

/// What the service needs of each table.
const GRANTS: &[(&str, &str)] = &[
    ("SELECT", "schema_migrations"),
    ("SELECT, INSERT, UPDATE (generation), UPDATE (state), UPDATE (check_value)", "root_keys"),
    ("SELECT, INSERT, UPDATE", "tenants"),
    // A rotation wraps anew and retires; the wrapped bytes of an erased tenant are overwritten at once, and its rows deleted.
    (
        "SELECT, INSERT, UPDATE (root_id), UPDATE (generation), UPDATE (wrapped), UPDATE (retire_time), DELETE",
        "tenant_keys",
    ),
    ("SELECT, INSERT, UPDATE, DELETE", "connections"),
    ("SELECT, INSERT, UPDATE, DELETE", "credential_versions"),
    ("SELECT, INSERT, DELETE", "requests"),
    ("SELECT, INSERT", "audit_events"),
    ("SELECT, INSERT, DELETE", "changes"),
    ("SELECT, INSERT, UPDATE, DELETE", "tokens"),
    ("SELECT, INSERT, UPDATE", "refreshes"),
    ("SELECT, INSERT, UPDATE", "rejections"),
    ("SELECT, INSERT, UPDATE", "budgets"),
    ("SELECT, INSERT, UPDATE, DELETE", "oauth_apps"),
    ("SELECT, INSERT, DELETE", "client_registrations"),
    ("SELECT, INSERT, UPDATE, DELETE", "authorizations"),
    ("SELECT, INSERT, UPDATE (key_version), UPDATE (sealed), DELETE", "delivered_keys"),
    ("SELECT, INSERT, UPDATE (key_version), UPDATE (sealed), DELETE", "callbacks"),
    ("SELECT, INSERT, UPDATE (browser_hash), UPDATE (open_time), UPDATE (proof), DELETE", "connect_sessions"),
    ("SELECT, INSERT, DELETE", "webhook_replays"),
    ("SELECT, INSERT, DELETE", "app_webhook_replays"),
    ("SELECT, INSERT, UPDATE, DELETE", "revocations"),
    ("SELECT, INSERT, UPDATE, DELETE", "event_endpoints"),
    ("SELECT, INSERT, UPDATE, DELETE", "event_deliveries"),
    ("SELECT, INSERT, UPDATE, DELETE", "user_deletions"),
    ("SELECT, INSERT, DELETE", "endpoint_deletions"),
    ("SELECT, INSERT, UPDATE, DELETE", "user_sightings"),
    ("SELECT, INSERT, UPDATE, DELETE", "provider_outcomes"),
    ("SELECT, INSERT, UPDATE, DELETE", "service_configs"),
    ("SELECT, INSERT, UPDATE, DELETE", "service_mappings"),
    ("SELECT, INSERT, UPDATE, DELETE", "tools"),
    ("SELECT, INSERT, UPDATE, DELETE", "usage_connections"),
    ("SELECT, INSERT, UPDATE, DELETE", "usage_days"),
    ("SELECT, INSERT, UPDATE, DELETE", "usage_users"),
    ("SELECT, INSERT, UPDATE, DELETE", "usage_totals"),
    ("SELECT, INSERT, UPDATE, DELETE", "usage_erasures"),
    ("SELECT, INSERT, UPDATE", "tenant_rules"),
    ("SELECT, INSERT, UPDATE, DELETE", "rate_budgets"),
    ("SELECT, INSERT, UPDATE", "connection_health"),
    ("SELECT, INSERT, UPDATE", "sync_states"),
    ("SELECT, INSERT, UPDATE, DELETE", "provider_signals"),
    ("SELECT, INSERT, UPDATE", "provider_incidents"),
    ("SELECT, INSERT, UPDATE, DELETE", "platform_dependants"),
    ("SELECT, INSERT, UPDATE", "imports"),
    ("SELECT, INSERT, UPDATE, DELETE", "rotations"),
    ("SELECT, INSERT, UPDATE, DELETE", "key_uses"),
    ("SELECT, INSERT, UPDATE, DELETE", "root_key_holders"),
    ("SELECT, INSERT, DELETE", "erasure_requests"),
    ("SELECT, INSERT, UPDATE", "erasures"),
    ("SELECT, INSERT, UPDATE (key_version), UPDATE (sealed)", "signing_keys"),
    ("SELECT, INSERT", "backups"),
    ("SELECT, INSERT, UPDATE, DELETE", "external_payloads"),
    ("SELECT, INSERT, UPDATE, DELETE", "payload_work"),
    ("SELECT, INSERT, UPDATE", "credential_rotations"),
    (
        "SELECT, INSERT, UPDATE (role), UPDATE (due_time), UPDATE (attempts), UPDATE (schema), UPDATE (key_version), \
         UPDATE (sealed), DELETE",
        "rotated_keys",
    ),
    ("SELECT, INSERT, UPDATE (key_version), UPDATE (sealed), DELETE", "audit_keys"),
    // A row goes when its records are in their logs, and pieces of a bundle when they are joined. None is changed.
    ("SELECT, INSERT, UPDATE (due_time), DELETE", "audit_journal"),
    ("SELECT, INSERT, DELETE", "audit_bundles"),
    ("SELECT, INSERT, DELETE", "audit_tiles"),
    ("SELECT, INSERT, UPDATE", "audit_sequencer"),
    ("SELECT, INSERT, UPDATE", "audit_moves"),
    ("SELECT, INSERT, UPDATE (retire_time)", "audit_signers"),
    ("SELECT, INSERT, UPDATE (size), UPDATE (root), UPDATE (time)", "audit_checkpoints"),
    ("SELECT, INSERT, UPDATE (size), UPDATE (note), UPDATE (time)", "audit_cosignatures"),
];

/// What a role has of each table now; a table without any is there, too. A right to a column is written as
/// PostgreSQL does, `SELECT ("name")`.
const TABLE_RIGHTS: &str = r#"
    WITH tables AS (
        SELECT c.oid, c.relname::text AS name, c.relacl FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    ), role AS (SELECT oid FROM pg_roles WHERE rolname = $2)
    SELECT t.name, NULL AS privilege, false AS grantable FROM tables t
    UNION ALL
    SELECT t.name, a.privilege_type, a.is_grantable
    FROM tables t, role r, aclexplode(t.relacl) a WHERE a.grantee = r.oid
    UNION ALL
    SELECT t.name, a.privilege_type || ' (' || quote_ident(c.attname) || ')', a.is_grantable
    FROM tables t JOIN pg_attribute c ON c.attrelid = t.oid, role r, aclexplode(c.attacl) a WHERE a.grantee = r.oid"#;

/// The statements that give a role the rights in `grants`, and take others.
async fn on_tables<C: ConnectionTrait>(
    db: &C,
    role: &str,
    grants: &[(&str, &str)],
) -> Result<Vec<String>, DbErr> {
    let (mut tables, mut present) = (BTreeSet::new(), BTreeSet::new());
    let mut statements = Vec::new();
    let asked = [SCHEMA.into(), role.into()];
    for row in
        db.query_all_raw(Statement::from_sql_and_values(DbBackend::Postgres, TABLE_RIGHTS, asked)).await?
    {
        let table: String = row.try_get("", "name")?;
        if let Some(privilege) = row.try_get::<Option<String>>("", "privilege")? {
            if row.try_get("", "grantable")? {
                statements.push(format!(
                    "REVOKE GRANT OPTION FOR {privilege} ON {SCHEMA}.\"{table}\" FROM \"{role}\""
                ));
            }
            present.insert((table.clone(), privilege));
        }
        tables.insert(table);
    }
    let columns = columns(db).await?;
    // Between two migrations a table lacks the columns of the later one.
    let is_there = |(table, privilege): &(String, String)| match privilege.split_once(" (") {
        Some((_, column)) => columns.contains(&(table.clone(), column.trim_end_matches(')').to_owned())),
        None => tables.contains(table),
    };
    let wanted: BTreeSet<_> = grants
        .iter()
        .flat_map(|(privileges, table)| {
            privileges.split(", ").map(|one| ((*table).to_owned(), one.to_owned()))
        })
        .filter(is_there)
        .collect();
    let missing = wanted.difference(&present);
    statements.extend(
        missing.map(|(table, privilege)| format!("GRANT {privilege} ON {SCHEMA}.\"{table}\" TO \"{role}\"")),
    );
    let excess = present.difference(&wanted);
    statements.extend(
        excess
            .map(|(table, privilege)| format!("REVOKE {privilege} ON {SCHEMA}.\"{table}\" FROM \"{role}\"")),
    );
    Ok(statements)
}

/// Every column, with its table.
async fn columns<C: ConnectionTrait>(db: &C) -> Result<BTreeSet<(String, String)>, DbErr> {
    let sql = "SELECT c.relname::text AS name, a.attname::text AS column FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE n.nspname = $1 AND a.attnum > 0 AND NOT a.attisdropped";
    let rows =
        db.query_all_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, [SCHEMA.into()])).await?;
    rows.iter().map(|row| Ok((row.try_get("", "name")?, row.try_get("", "column")?))).collect()
}

/// Each function, whether all roles may run it, and whether the runtime role may by a right of its own.
const FUNCTION_RIGHTS: &str = "
    SELECT p.oid::regprocedure::text AS name, bool_or(a.grantee = 0) AS by_all,
        bool_or(a.grantee = (SELECT oid FROM pg_roles WHERE rolname = $2)) AS by_runtime
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace,
        aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) a
    WHERE n.nspname = $1 GROUP BY p.oid";

/// The statements that let the runtime role run every function, and no other role.
async fn on_functions<C: ConnectionTrait>(db: &C, runtime: &str) -> Result<Vec<String>, DbErr> {
    let mut statements = Vec::new();
    let asked = [SCHEMA.into(), runtime.into()];
    for row in
        db.query_all_raw(Statement::from_sql_and_values(DbBackend::Postgres, FUNCTION_RIGHTS, asked)).await?
    {
        let name: String = row.try_get("", "name")?;
        if !row.try_get::<bool>("", "by_runtime")? {
            statements.push(format!("GRANT EXECUTE ON ROUTINE {name} TO \"{runtime}\""));
        }
        if row.try_get::<bool>("", "by_all")? {
            statements.push(format!("REVOKE ALL ON ROUTINE {name} FROM PUBLIC"));
        }
    }
    Ok(statements)
}
