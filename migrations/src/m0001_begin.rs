//! The first schema.
//!
//! Every primary key, unique constraint, foreign key and index leads with the tenant: uniqueness checks and cascades
//! ignore row-level security, so they must not be able to reach across tenants by themselves; and a distributed
//! PostgreSQL can shard by it. Instants are microseconds since the epoch.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

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
        for table in TABLES {
            db.execute_unprepared(&dialect(table, postgres)).await?;
        }
        if postgres {
            for (table, crosses) in TENANT_TABLES {
                db.execute_unprepared(&row_level_security(table, *crosses)).await?;
            }
            db.execute_unprepared(&POSTGRES_FUNCTIONS.replace("{found}", FOUND)).await?;
        } else {
            db.execute_unprepared(SQLITE_TRIGGERS).await?;
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Custom("the first migration cannot be undone: drop the database instead".to_owned()))
    }
}

/// Both dialects' tables. `{…}` are the types that differ; `STRICT` makes SQLite check them.
const TABLES: &[&str] = &[
    r"CREATE TABLE root_keys (
        generation {int} NOT NULL PRIMARY KEY,
        root_id {int} NOT NULL,
        kind {text} NOT NULL,
        kdf {text},
        check_value {bytes} NOT NULL,
        create_time {int} NOT NULL
    ){strict}",
    r"CREATE TABLE tenants (
        tenant_id {text} NOT NULL PRIMARY KEY CHECK (length(tenant_id) BETWEEN 1 AND 64),
        display_name {text} NOT NULL,
        state {text} NOT NULL CHECK (state IN ('ACTIVE', 'SUSPENDED')),
        revision {int} NOT NULL,
        create_time {int} NOT NULL,
        update_time {int} NOT NULL
    ){strict}",
    // Apart from everything else, so that it can be backed up apart: who holds this table and the root key reads all.
    r"CREATE TABLE tenant_keys (
        tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
        version {int} NOT NULL CHECK (version > 0),
        root_id {int} NOT NULL,
        wrapped {bytes} NOT NULL CHECK ({octets}(wrapped) BETWEEN 164 AND 4096),
        create_time {int} NOT NULL,
        PRIMARY KEY (tenant_id, version)
    ){strict}",
    // No sealed bytes here: background work may look for due purges across tenants.
    r"CREATE TABLE connections (
        tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
        id {uuid} NOT NULL,
        owner_user {text} NOT NULL DEFAULT '',
        provider {text} NOT NULL,
        account_name {text} NOT NULL,
        auth_mode {text} NOT NULL,
        state {text} NOT NULL CHECK (state IN ('DISCONNECTED', 'CONNECTING', 'CONNECTED', 'ERROR')),
        error_reason {text},
        error_time {int},
        enabled {bool} NOT NULL,
        config {json} NOT NULL,
        labels {json} NOT NULL,
        external_account_id {text},
        is_default {bool} NOT NULL,
        last_version {int} NOT NULL,
        current_version {int} NOT NULL,
        hints {json} NOT NULL,
        expire_time {int},
        last_used_time {int},
        revision {int} NOT NULL,
        create_time {int} NOT NULL,
        update_time {int} NOT NULL,
        delete_time {int},
        purge_time {int},
        PRIMARY KEY (tenant_id, id),
        CHECK (current_version BETWEEN 0 AND last_version),
        CHECK ((state = 'ERROR') = (error_reason IS NOT NULL)),
        CHECK ((delete_time IS NULL) = (purge_time IS NULL))
    ){strict}",
    r"CREATE UNIQUE INDEX connections_account ON connections (tenant_id, owner_user, provider, account_name)
        WHERE delete_time IS NULL",
    r"CREATE UNIQUE INDEX connections_default ON connections (tenant_id, owner_user, provider)
        WHERE is_default AND delete_time IS NULL",
    r"CREATE INDEX connections_purge ON connections (purge_time) WHERE purge_time IS NOT NULL",
    r"CREATE TABLE credential_versions (
        tenant_id {text} NOT NULL,
        connection_id {uuid} NOT NULL,
        version {int} NOT NULL CHECK (version > 0),
        schema {int} NOT NULL,
        key_version {int} NOT NULL,
        sealed {bytes} CHECK ({octets}(sealed) BETWEEN 164 AND 70000),
        hints {json} NOT NULL,
        create_time {int} NOT NULL,
        expire_time {int},
        destroy_time {int},
        rolled_back_from {int},
        PRIMARY KEY (tenant_id, connection_id, version),
        FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE,
        FOREIGN KEY (tenant_id, key_version) REFERENCES tenant_keys (tenant_id, version),
        CHECK ((sealed IS NULL) = (destroy_time IS NOT NULL))
    ){strict}",
    // What a repeated request is recognised by. The fingerprint is keyed, so it gives nothing away about a secret.
    r"CREATE TABLE requests (
        tenant_id {text} NOT NULL,
        service {text} NOT NULL,
        request_id {uuid} NOT NULL,
        fingerprint {bytes} NOT NULL,
        connection_id {uuid},
        version {int},
        create_time {int} NOT NULL,
        PRIMARY KEY (tenant_id, service, request_id)
    ){strict}",
    r"CREATE INDEX requests_age ON requests (create_time)",
    // No foreign key: a record outlives what it is about, and a refused call may name a tenant that does not exist.
    r"CREATE TABLE audit_events (
        tenant_id {text} NOT NULL,
        id {uuid} NOT NULL,
        time {int} NOT NULL,
        service {text},
        user_id {text},
        tenant_source {text} NOT NULL,
        action {text} NOT NULL,
        connection_id {uuid},
        provider {text},
        version {int},
        purpose {text},
        changed {json} NOT NULL,
        outcome {text} NOT NULL CHECK (outcome IN ('OK', 'DENIED', 'FAILED')),
        reason {text},
        policies {json} NOT NULL,
        trace_id {text} NOT NULL,
        source {text},
        PRIMARY KEY (tenant_id, id),
        CHECK ((outcome = 'OK') = (reason IS NULL))
    ){strict}",
    r"CREATE INDEX audit_events_connection ON audit_events (tenant_id, connection_id, id) WHERE connection_id IS NOT NULL",
    // What changed, in order, for watchers, caches and replicas. Written in the transaction of the change.
    r"CREATE TABLE changes (
        {serial},
        tenant_id {text} NOT NULL,
        connection_id {uuid},
        kind {text} NOT NULL,
        version {int},
        time {int} NOT NULL{serial_key}
    ){strict}",
    r"CREATE INDEX changes_age ON changes (time)",
];

pub(crate) fn dialect(sql: &str, postgres: bool) -> String {
    let types: [(&str, &str, &str); 10] = [
        ("{int}", "bigint", "INTEGER"),
        ("{text}", "text", "TEXT"),
        ("{bytes}", "bytea", "BLOB"),
        ("{uuid}", "uuid", "BLOB"),
        ("{json}", "jsonb", "TEXT"),
        ("{bool}", "boolean", "INTEGER"),
        ("{octets}", "octet_length", "length"),
        ("{strict}", "", " STRICT"),
        ("{serial}", "seq bigint GENERATED ALWAYS AS IDENTITY", "seq INTEGER PRIMARY KEY AUTOINCREMENT"),
        ("{serial_key}", ", PRIMARY KEY (tenant_id, seq)", ""),
    ];
    types.iter().fold(sql.to_owned(), |sql, (name, in_postgres, in_sqlite)| {
        sql.replace(name, if postgres { in_postgres } else { in_sqlite })
    })
}

/// The tables with a tenant, and whether background work may read them across tenants. None of those holds sealed bytes.
const TENANT_TABLES: &[(&str, bool)] = &[
    ("tenants", true),
    ("tenant_keys", false),
    ("connections", true),
    ("credential_versions", false),
    ("requests", true),
    ("audit_events", false),
    ("changes", true),
];

/// Row-level security for a table: without a tenant set in the transaction there are no rows, for the owner too.
///
/// The tenant's policies are restrictive, so that a permissive one added later cannot widen them. A setting that was
/// once set reads as the empty string afterwards, not as NULL: hence `NULLIF`.
pub(crate) fn row_level_security(table: &str, crosses: bool) -> String {
    let own = "tenant_id = NULLIF(current_setting('credvault.tenant', true), '')";
    let seen = if crosses {
        format!("{own} OR current_setting('credvault.background', true) = 'on'")
    } else {
        own.to_owned()
    };
    format!(
        "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
         ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
         CREATE POLICY granted ON {table} USING (true) WITH CHECK (true);
         CREATE POLICY tenant_select ON {table} AS RESTRICTIVE FOR SELECT USING ({seen});
         CREATE POLICY tenant_insert ON {table} AS RESTRICTIVE FOR INSERT WITH CHECK ({own});
         CREATE POLICY tenant_update ON {table} AS RESTRICTIVE FOR UPDATE USING ({own}) WITH CHECK ({own});
         CREATE POLICY tenant_delete ON {table} AS RESTRICTIVE FOR DELETE USING ({own});"
    )
}

/// The hot paths, one round trip each. The functions run with the caller's rights, so row-level security holds in
/// them; the tenant is set for their own statement's transaction and is gone after it.
const POSTGRES_FUNCTIONS: &str = r"
CREATE FUNCTION fetch_credential(
    p_tenant text, p_user text, p_any_user boolean, p_connection uuid, p_provider text, p_account text, p_version bigint
) RETURNS TABLE (
    tenant_state text, tenant_id text, id uuid, owner_user text, provider text, account_name text, auth_mode text,
    state text, error_reason text, error_time bigint, enabled boolean, config jsonb, labels jsonb,
    external_account_id text, is_default boolean, last_version bigint, current_version bigint, hints jsonb,
    expire_time bigint, last_used_time bigint, revision bigint, create_time bigint, update_time bigint,
    delete_time bigint, purge_time bigint,
    version bigint, schema bigint, key_version bigint, sealed bytea, version_expire_time bigint, wrapped bytea
) LANGUAGE plpgsql VOLATILE SECURITY INVOKER AS $$
#variable_conflict use_column
DECLARE
    asking_state text;
    space text;
BEGIN
    FOREACH space IN ARRAY CASE WHEN p_connection IS NULL AND p_tenant <> ':platform'
        THEN ARRAY[p_tenant, ':platform'] ELSE ARRAY[p_tenant] END
    LOOP
        PERFORM set_config('credvault.tenant', space, true);
        IF space = p_tenant THEN
            SELECT t.state INTO asking_state FROM tenants t WHERE t.tenant_id = p_tenant;
        END IF;
        -- Two statements, so that each has one plan that always fits and is kept.
        IF p_connection IS NOT NULL THEN
            RETURN QUERY {found}
                WHERE c.tenant_id = space AND c.delete_time IS NULL AND c.id = p_connection
                    AND (p_any_user OR c.owner_user IN ('', p_user));
        ELSE
            RETURN QUERY {found}
                WHERE c.tenant_id = space AND c.delete_time IS NULL AND c.provider = p_provider
                    AND c.owner_user = ANY (ARRAY['', CASE WHEN space = p_tenant THEN p_user END])
                    AND ((p_account IS NULL AND c.is_default) OR c.account_name = p_account)
                    AND c.current_version > 0
                ORDER BY c.owner_user DESC
                LIMIT 1;
        END IF;
        IF FOUND THEN
            RETURN;
        END IF;
        EXIT WHEN asking_state IS NULL;
    END LOOP;
    -- Nothing was found: one row, for the state of the tenant that asked.
    RETURN QUERY SELECT asking_state, p_tenant, NULL::uuid, NULL::text, NULL::text, NULL::text, NULL::text,
        NULL::text, NULL::text, NULL::bigint, NULL::boolean, NULL::jsonb, NULL::jsonb,
        NULL::text, NULL::boolean, NULL::bigint, NULL::bigint, NULL::jsonb,
        NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
        NULL::bigint, NULL::bigint,
        NULL::bigint, NULL::bigint, NULL::bigint, NULL::bytea, NULL::bigint, NULL::bytea;
END $$;

CREATE FUNCTION append_audit_events(p_events jsonb, p_used jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER AS $$
DECLARE
    of_tenant jsonb;
BEGIN
    FOR of_tenant IN SELECT e FROM jsonb_array_elements(p_events) e LOOP
        PERFORM set_config('credvault.tenant', of_tenant ->> 'tenant', true);
        INSERT INTO audit_events SELECT r.* FROM jsonb_to_recordset(of_tenant -> 'rows') AS r (
            tenant_id text, id uuid, time bigint, service text, user_id text, tenant_source text, action text,
            connection_id uuid, provider text, version bigint, purpose text, changed jsonb, outcome text, reason text,
            policies jsonb, trace_id text, source text
        );
    END LOOP;
    -- Rows that somebody holds are skipped: a popular connection must not become a place to queue at.
    FOR of_tenant IN SELECT e FROM jsonb_array_elements(p_used) e LOOP
        PERFORM set_config('credvault.tenant', of_tenant ->> 'tenant', true);
        UPDATE connections c SET last_used_time = u.time
        FROM (
            SELECT r.id, max(r.time) AS time
            FROM jsonb_to_recordset(of_tenant -> 'rows') AS r (id uuid, time bigint) GROUP BY r.id
        ) u
        WHERE c.tenant_id = of_tenant ->> 'tenant' AND c.id = u.id AND c.id IN (
            SELECT l.id FROM connections l
            WHERE l.tenant_id = of_tenant ->> 'tenant' AND l.id = u.id
                AND (l.last_used_time IS NULL OR l.last_used_time < u.time - 60000000)
            FOR NO KEY UPDATE SKIP LOCKED
        );
    END LOOP;
END $$;
";

/// What `fetch_credential` reads of a connection that it has found.
const FOUND: &str = r"
            SELECT asking_state, c.tenant_id, c.id, c.owner_user, c.provider, c.account_name, c.auth_mode,
                c.state, c.error_reason, c.error_time, c.enabled, c.config, c.labels,
                c.external_account_id, c.is_default, c.last_version, c.current_version, c.hints,
                c.expire_time, c.last_used_time, c.revision, c.create_time, c.update_time,
                c.delete_time, c.purge_time,
                v.version, v.schema, v.key_version, v.sealed, v.expire_time, k.wrapped
            FROM connections c
            LEFT JOIN credential_versions v ON v.tenant_id = c.tenant_id AND v.connection_id = c.id
                AND v.version = COALESCE(p_version, c.current_version)
            LEFT JOIN tenant_keys k ON k.tenant_id = v.tenant_id AND k.version = v.key_version";

/// SQLite has no roles, so the log defends itself against the program.
const SQLITE_TRIGGERS: &str = r"
CREATE TRIGGER audit_events_unchanged BEFORE UPDATE ON audit_events
BEGIN SELECT RAISE(ABORT, 'audit records are never changed'); END;
CREATE TRIGGER audit_events_kept BEFORE DELETE ON audit_events
BEGIN SELECT RAISE(ABORT, 'audit records are never deleted'); END;
";
