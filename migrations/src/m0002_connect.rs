//! Connections to providers: tokens and their refresh, the platform's apps, authorisations in progress.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

use crate::m0001_begin::{dialect, row_level_security};

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
            db.execute_unprepared(&FETCH_FUNCTION.replace("{found}", FOUND)).await?;
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Custom("tokens would be lost: restore a backup of the earlier release instead".to_owned()))
    }
}

const TABLES: &[&str] = &[
    "ALTER TABLE connections ADD COLUMN last_refreshed_time {int}",
    "ALTER TABLE connections ADD COLUMN last_verified_time {int}",
    "ALTER TABLE connections ADD COLUMN scopes_asked {json}",
    "ALTER TABLE connections ADD COLUMN scopes_granted {json}",
    "ALTER TABLE connections ADD COLUMN revocation {text}",
    "ALTER TABLE connections ADD COLUMN revocation_time {int}",
    "ALTER TABLE connections ADD COLUMN found_account_id {text}",
    "ALTER TABLE connections ADD COLUMN verify_time {int}",
    "CREATE INDEX connections_verify ON connections (verify_time) WHERE current_version > 0 AND delete_time IS NULL",
    "CREATE INDEX connections_revocation ON connections (revocation_time) WHERE revocation_time IS NOT NULL",
    // The newest tokens of a connection, together with all other fields of the version that they belong to: a fetch
    // opens one sealed value. No row: the version's own fields are the newest.
    r"CREATE TABLE tokens (
        tenant_id {text} NOT NULL,
        connection_id {uuid} NOT NULL,
        version {int} NOT NULL,
        generation {int} NOT NULL,
        schema {int} NOT NULL,
        key_version {int} NOT NULL,
        sealed {bytes} NOT NULL CHECK ({octets}(sealed) BETWEEN 164 AND 70000),
        expire_time {int},
        PRIMARY KEY (tenant_id, connection_id),
        FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE,
        FOREIGN KEY (tenant_id, key_version) REFERENCES tenant_keys (tenant_id, version)
    ){strict}",
    // How the refresh of a connection stands. The generation is the fence: whatever changes the credential raises it.
    // No sealed bytes here: background work may look for what is due across tenants.
    r"CREATE TABLE refreshes (
        tenant_id {text} NOT NULL,
        connection_id {uuid} NOT NULL,
        generation {int} NOT NULL,
        state {text} NOT NULL CHECK (state IN ('IDLE', 'IN_FLIGHT', 'UNCERTAIN')),
        due_time {int},
        retry_time {int},
        failures {int} NOT NULL,
        marked {bool} NOT NULL,
        intent_id {uuid},
        instance {uuid},
        lease_time {int},
        provider {text} NOT NULL,
        client_id {text},
        doubted {bool} NOT NULL,
        PRIMARY KEY (tenant_id, connection_id),
        FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE,
        CHECK ((state = 'IN_FLIGHT') = (instance IS NOT NULL))
    ){strict}",
    r"CREATE INDEX refreshes_due ON refreshes (due_time) WHERE due_time IS NOT NULL",
    // Until when the calls that an app may make at a provider are given away. All rows are the platform's.
    r"CREATE TABLE budgets (
        tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
        provider {text} NOT NULL,
        client_id {text} NOT NULL,
        time {int} NOT NULL,
        PRIMARY KEY (tenant_id, provider, client_id)
    ){strict}",
    // The app that the platform, or one tenant, has registered at a provider.
    r"CREATE TABLE oauth_apps (
        tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
        provider {text} NOT NULL,
        id {uuid} NOT NULL,
        client_id {text} NOT NULL,
        redirect_uri {text} NOT NULL,
        scopes {json} NOT NULL,
        settings {json} NOT NULL,
        generation {int} NOT NULL,
        schema {int} NOT NULL,
        key_version {int} NOT NULL,
        sealed {bytes} NOT NULL CHECK ({octets}(sealed) BETWEEN 164 AND 70000),
        hints {json} NOT NULL,
        create_time {int} NOT NULL,
        update_time {int} NOT NULL,
        PRIMARY KEY (tenant_id, provider),
        FOREIGN KEY (tenant_id, key_version) REFERENCES tenant_keys (tenant_id, version)
    ){strict}",
    // Authorisations in progress, found by the hash of their state: whoever brings a state has no tenant yet. What
    // binds the code to it (the PKCE verifier) is derived from the state and the tenant's key, and stored nowhere.
    r"CREATE TABLE authorizations (
        tenant_id {text} NOT NULL,
        state_hash {bytes} NOT NULL,
        connection_id {uuid} NOT NULL,
        user_id {text},
        service {text} NOT NULL,
        session_hash {bytes},
        browser_hash {bytes},
        public {bool} NOT NULL,
        return_origin {text},
        redirect_uri {text} NOT NULL,
        exchange_url {text},
        client_id {text} NOT NULL,
        scopes {json} NOT NULL,
        create_time {int} NOT NULL,
        expire_time {int} NOT NULL,
        return_time {int},
        consume_time {int},
        PRIMARY KEY (tenant_id, state_hash),
        FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
    ){strict}",
    r"CREATE INDEX authorizations_state ON authorizations (state_hash)",
    r"CREATE INDEX authorizations_age ON authorizations (expire_time)",
    // Keys that a provider has handed over, until the consent is completed or over.
    r"CREATE TABLE handoffs (
        tenant_id {text} NOT NULL,
        state_hash {bytes} NOT NULL,
        schema {int} NOT NULL,
        key_version {int} NOT NULL,
        sealed {bytes} NOT NULL CHECK ({octets}(sealed) BETWEEN 164 AND 70000),
        PRIMARY KEY (tenant_id, state_hash),
        FOREIGN KEY (tenant_id, state_hash) REFERENCES authorizations (tenant_id, state_hash) ON DELETE CASCADE,
        FOREIGN KEY (tenant_id, key_version) REFERENCES tenant_keys (tenant_id, version)
    ){strict}",
    // What a disconnected connection's provider still has to be told, until it was told.
    r"CREATE TABLE revocations (
        tenant_id {text} NOT NULL,
        connection_id {uuid} NOT NULL,
        generation {int} NOT NULL,
        attempts {int} NOT NULL,
        schema {int} NOT NULL,
        key_version {int} NOT NULL,
        sealed {bytes} NOT NULL CHECK ({octets}(sealed) BETWEEN 164 AND 70000),
        PRIMARY KEY (tenant_id, connection_id),
        FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE,
        FOREIGN KEY (tenant_id, key_version) REFERENCES tenant_keys (tenant_id, version)
    ){strict}",
    // Deliveries that were found valid, by a hash of what makes them unique: a second one is a repetition.
    r"CREATE TABLE webhook_deliveries (
        tenant_id {text} NOT NULL,
        connection_id {uuid} NOT NULL,
        replay_key {bytes} NOT NULL,
        expire_time {int} NOT NULL,
        PRIMARY KEY (tenant_id, connection_id, replay_key),
        FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
    ){strict}",
    r"CREATE INDEX webhook_deliveries_age ON webhook_deliveries (expire_time)",
];

/// The tables with a tenant, and whether background work may read them across tenants. None of those holds sealed bytes.
const TENANT_TABLES: &[(&str, bool)] = &[
    ("tokens", false),
    ("refreshes", true),
    ("budgets", false),
    ("oauth_apps", false),
    ("authorizations", true),
    ("handoffs", false),
    ("webhook_deliveries", true),
    ("revocations", false),
];

/// The hot path again, now with tokens. Under a name of its own: an earlier release that still runs has prepared the
/// one before, and a prepared statement does not outlive a change of its columns.
const FETCH_FUNCTION: &str = r"
CREATE FUNCTION fetch_credential_2(
    p_tenant text, p_user text, p_any_user boolean, p_connection uuid, p_provider text, p_account text, p_version bigint
) RETURNS TABLE (
    tenant_state text, tenant_id text, id uuid, owner_user text, provider text, account_name text, auth_mode text,
    state text, error_reason text, error_time bigint, enabled boolean, config jsonb, labels jsonb,
    external_account_id text, is_default boolean, last_version bigint, current_version bigint, hints jsonb,
    expire_time bigint, last_used_time bigint, revision bigint, create_time bigint, update_time bigint,
    delete_time bigint, purge_time bigint,
    last_refreshed_time bigint, last_verified_time bigint, scopes_asked jsonb, scopes_granted jsonb,
    revocation text, revocation_time bigint, found_account_id text, verify_time bigint,
    version bigint, schema bigint, key_version bigint, sealed bytea, version_expire_time bigint, wrapped bytea,
    generation bigint, refresh_state text, token_generation bigint, token_expire_time bigint
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
        NULL::bigint, NULL::bigint, NULL::jsonb, NULL::jsonb, NULL::text, NULL::bigint, NULL::text, NULL::bigint,
        NULL::bigint, NULL::bigint, NULL::bigint, NULL::bytea, NULL::bigint, NULL::bytea,
        NULL::bigint, NULL::text, NULL::bigint, NULL::bigint;
END $$;
";

const FOUND: &str = r"
            SELECT asking_state, c.tenant_id, c.id, c.owner_user, c.provider, c.account_name, c.auth_mode,
                c.state, c.error_reason, c.error_time, c.enabled, c.config, c.labels,
                c.external_account_id, c.is_default, c.last_version, c.current_version, c.hints,
                c.expire_time, c.last_used_time, c.revision, c.create_time, c.update_time,
                c.delete_time, c.purge_time,
                c.last_refreshed_time, c.last_verified_time, c.scopes_asked, c.scopes_granted,
                c.revocation, c.revocation_time, c.found_account_id, c.verify_time,
                v.version, COALESCE(t.schema, v.schema), COALESCE(t.key_version, v.key_version),
                COALESCE(t.sealed, v.sealed), v.expire_time, k.wrapped,
                r.generation, r.state, t.generation, t.expire_time
            FROM connections c
            LEFT JOIN credential_versions v ON v.tenant_id = c.tenant_id AND v.connection_id = c.id
                AND v.version = COALESCE(p_version, c.current_version)
            LEFT JOIN tokens t ON t.tenant_id = v.tenant_id AND t.connection_id = v.connection_id
                AND t.version = v.version
            LEFT JOIN refreshes r ON r.tenant_id = v.tenant_id AND r.connection_id = v.connection_id
            LEFT JOIN tenant_keys k ON k.tenant_id = v.tenant_id AND k.version = COALESCE(t.key_version, v.key_version)";
