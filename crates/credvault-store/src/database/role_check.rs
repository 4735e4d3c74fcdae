//! What PostgreSQL lets our role do: at the start, before the first write, more than it needs is a reason not to serve.

use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, DbErr, Statement};

use crate::OpenError;

/// What the role must not be able to do, in words for the operator, each with the question that finds it. `me` are all
/// roles that the session's own can become: with SET ROLE, a role that inherits nothing becomes those as well.
const FORBIDDEN_RIGHTS: [(&str, &str); 11] = [
    ("is a superuser or can become one", "EXISTS (SELECT 1 FROM me WHERE rolsuper)"),
    ("may bypass row-level security", "EXISTS (SELECT 1 FROM me WHERE rolbypassrls)"),
    (
        "owns the schema, a table or a function of it, or is a member of the role that does",
        "EXISTS (SELECT 1 FROM me WHERE oid IN (
            SELECT nspowner FROM pg_namespace WHERE nspname = current_schema()
            UNION ALL SELECT relowner FROM pg_class WHERE relnamespace = current_schema()::regnamespace
            UNION ALL SELECT proowner FROM pg_proc WHERE pronamespace = current_schema()::regnamespace))",
    ),
    (
        "reads the rows of all tenants for backups, or is a member of the role that does",
        "EXISTS (SELECT 1 FROM me WHERE rolname IN (
            SELECT left(pg_get_userbyid(nspowner)::text, 56) || '_backup' FROM pg_namespace
            WHERE nspname = current_schema()))",
    ),
    ("may create and grant roles (CREATEROLE)", "EXISTS (SELECT 1 FROM me WHERE rolcreaterole)"),
    ("may read all by replication (REPLICATION)", "EXISTS (SELECT 1 FROM me WHERE rolreplication)"),
    (
        "is a member of a predefined role that reaches beyond its own tables, such as pg_execute_server_program",
        "EXISTS (SELECT 1 FROM me WHERE rolname IN ('pg_execute_server_program', 'pg_read_server_files',
            'pg_write_server_files', 'pg_read_all_data', 'pg_write_all_data', 'pg_create_subscription', 'pg_maintain'))",
    ),
    ("may create objects in the schema", "has_schema_privilege(session_user, current_schema(), 'CREATE')"),
    (
        "may change audit records",
        "has_any_column_privilege(session_user, 'audit_events', 'UPDATE')
            OR has_table_privilege(session_user, 'audit_events', 'DELETE')
            OR EXISTS (SELECT 1 FROM unnest(ARRAY['audit_bundles', 'audit_tiles', 'audit_days']) t
                WHERE has_any_column_privilege(session_user, t, 'UPDATE'))
            OR EXISTS (SELECT 1 FROM unnest(ARRAY['id', 'key_number', 'records', 'body']) c
                WHERE has_column_privilege(session_user, 'audit_journal', c, 'UPDATE'))",
    ),
    (
        "may change which key a root key's record is of or whose a key is, or delete that record or tenants",
        "EXISTS (SELECT 1 FROM unnest(ARRAY['root_id', 'kind', 'name', 'kdf', 'create_time']) c
                WHERE has_column_privilege(session_user, 'root_keys', c, 'UPDATE'))
            OR EXISTS (SELECT 1 FROM unnest(ARRAY['tenant_id', 'version', 'create_time']) c
                WHERE has_column_privilege(session_user, 'tenant_keys', c, 'UPDATE'))
            OR EXISTS (SELECT 1 FROM unnest(ARRAY['root_keys', 'tenants']) t
                WHERE has_table_privilege(session_user, t, 'DELETE'))",
    ),
    (
        "may truncate tables or put triggers on them",
        "EXISTS (SELECT 1 FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace
            AND c.relkind IN ('r', 'p') AND has_table_privilege(session_user, c.oid, 'TRUNCATE, TRIGGER'))",
    ),
];

/// What acts with its owner's rights and that our role may use: this program makes nothing of the kind.
const LENT_RIGHTS: &str = "
    SELECT c.relname::text AS name FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('v', 'm')
        AND has_table_privilege(session_user, c.oid, 'SELECT, INSERT, UPDATE, DELETE')
    UNION ALL
    SELECT p.proname::text FROM pg_proc p
    WHERE p.pronamespace = current_schema()::regnamespace AND p.prosecdef
        AND has_function_privilege(session_user, p.oid, 'EXECUTE')
    LIMIT 1";

/// Refuses a role that row-level security does not bind, or that could make it so.
pub(crate) async fn check(db: &DatabaseConnection) -> Result<(), OpenError> {
    let question = |(index, (_, question)): (usize, &(&str, &str))| format!("{question} AS q{index}");
    let questions: Vec<_> = FORBIDDEN_RIGHTS.iter().enumerate().map(question).collect();
    let sql = format!(
        "WITH me AS (SELECT * FROM pg_roles WHERE pg_has_role(session_user, oid, 'MEMBER')) SELECT {}",
        questions.join(", ")
    );
    let row = db.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    let row = row.ok_or_else(|| DbErr::Custom("the server answered no row".to_owned()))?;
    for (index, (what, _)) in FORBIDDEN_RIGHTS.iter().enumerate() {
        if row.try_get::<bool>("", &format!("q{index}"))? {
            return Err(OpenError::Role(what));
        }
    }
    let lent = db.query_one_raw(Statement::from_string(DbBackend::Postgres, LENT_RIGHTS)).await?;
    match lent {
        Some(row) => Err(OpenError::LentRights(row.try_get("", "name")?)),
        None => Ok(()),
    }
}
