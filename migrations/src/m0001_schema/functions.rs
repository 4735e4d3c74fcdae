//! The two statements of the hot path on PostgreSQL, one round trip each. The functions run with the caller's rights, so
//! row-level security holds in them; the tenant is set for their own statement's transaction and is gone after it.
//! `credvault-store` has the same statements for SQLite.
//!
//! A released function is never changed: an earlier release that still runs has prepared it, and a prepared statement does
//! not outlive a change of its columns. A later migration makes one of another name.

/// Finds a credential. `p_platform`: the connection is one of the platform's own that the same call has found by provider
/// before, so it is looked for there and nowhere else. `{found}` is [`FOUND`].
pub(super) const FETCH: &str = r"
CREATE FUNCTION fetch_credential(
    p_tenant text, p_user text, p_any_user boolean, p_connection uuid, p_provider text, p_account text,
    p_version bigint, p_platform boolean
) RETURNS TABLE (
    tenant_state text, tenant_id text, id uuid, owner_user text, provider text, account_name text, auth_mode text,
    state text, error_reason text, error_code text, error_time bigint, enabled boolean, config jsonb, labels jsonb,
    external_account_id text, is_default boolean, last_version bigint, current_version bigint, hints jsonb,
    expire_time bigint, last_used_time bigint, revision bigint, create_time bigint, update_time bigint,
    delete_time bigint, purge_time bigint,
    last_refreshed_time bigint, last_verified_time bigint, scopes_asked jsonb, scopes_granted jsonb,
    revocation text, revocation_time bigint, found_account_id text, test_time bigint,
    confirmed_account_id text, confirmed_settings jsonb,
    version bigint, schema bigint, key_version bigint, sealed bytea, version_expire_time bigint, wrapped bytea,
    generation bigint, token_generation bigint, token_expire_time bigint
) LANGUAGE plpgsql VOLATILE SECURITY INVOKER AS $$
#variable_conflict use_column
DECLARE
    asking_state text;
    namespace text;
BEGIN
    FOREACH namespace IN ARRAY CASE WHEN (p_connection IS NULL OR p_platform) AND p_tenant <> ':platform'
        THEN ARRAY[p_tenant, ':platform'] ELSE ARRAY[p_tenant] END
    LOOP
        PERFORM set_config('credvault.tenant', namespace, true);
        IF namespace = p_tenant THEN
            SELECT t.state INTO asking_state FROM tenants t WHERE t.tenant_id = p_tenant;
            EXIT WHEN asking_state IS NULL;
            CONTINUE WHEN p_platform AND p_tenant <> ':platform';
        END IF;
        -- Two statements, so that each has one plan that always fits and is kept.
        IF p_connection IS NOT NULL THEN
            RETURN QUERY {found}
                WHERE c.tenant_id = namespace AND c.delete_time IS NULL AND c.id = p_connection
                    AND (p_any_user OR c.owner_user IN ('', p_user));
        ELSE
            RETURN QUERY {found}
                WHERE c.tenant_id = namespace AND c.delete_time IS NULL AND c.provider = p_provider
                    AND c.owner_user = ANY (ARRAY['', CASE WHEN namespace = p_tenant THEN p_user END])
                    AND ((p_account IS NULL AND c.is_default) OR c.account_name = p_account)
                    AND c.current_version > 0
                ORDER BY c.owner_user DESC
                LIMIT 1;
        END IF;
        IF FOUND THEN
            RETURN;
        END IF;
    END LOOP;
    -- Nothing was found: one row, for the state of the tenant that asked.
    RETURN QUERY SELECT asking_state, p_tenant, NULL::uuid, NULL::text, NULL::text, NULL::text, NULL::text,
        NULL::text, NULL::text, NULL::text, NULL::bigint, NULL::boolean, NULL::jsonb, NULL::jsonb,
        NULL::text, NULL::boolean, NULL::bigint, NULL::bigint, NULL::jsonb,
        NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
        NULL::bigint, NULL::bigint,
        NULL::bigint, NULL::bigint, NULL::jsonb, NULL::jsonb, NULL::text, NULL::bigint, NULL::text, NULL::bigint,
        NULL::text, NULL::jsonb,
        NULL::bigint, NULL::bigint, NULL::bigint, NULL::bytea, NULL::bigint, NULL::bytea,
        NULL::bigint, NULL::bigint, NULL::bigint;
END $$;
";

/// What `fetch_credential` reads of a connection that it has found.
pub(super) const FOUND: &str = r"
            SELECT asking_state, c.tenant_id, c.id, c.owner_user, c.provider, c.account_name, c.auth_mode,
                c.state, c.error_reason, c.error_code, c.error_time, c.enabled, c.config, c.labels,
                c.external_account_id, c.is_default, c.last_version, c.current_version, c.hints,
                c.expire_time, c.last_used_time, c.revision, c.create_time, c.update_time,
                c.delete_time, c.purge_time,
                c.last_refreshed_time, c.last_verified_time, c.scopes_asked, c.scopes_granted,
                c.revocation, c.revocation_time, c.found_account_id, c.test_time,
                c.confirmed_account_id, c.confirmed_settings,
                v.version, COALESCE(t.schema, v.schema), COALESCE(t.key_version, v.key_version),
                COALESCE(t.sealed, v.sealed), v.expire_time, k.wrapped,
                r.generation, t.generation, t.expire_time
            FROM connections c
            LEFT JOIN credential_versions v ON v.tenant_id = c.tenant_id AND v.connection_id = c.id
                AND v.version = COALESCE(p_version, c.current_version)
            LEFT JOIN tokens t ON t.tenant_id = v.tenant_id AND t.connection_id = v.connection_id
                AND t.version = v.version
            LEFT JOIN refreshes r ON r.tenant_id = v.tenant_id AND r.connection_id = v.connection_id
            LEFT JOIN tenant_keys k ON k.tenant_id = v.tenant_id AND k.version = COALESCE(t.key_version, v.key_version)";

/// Appends audit records, and remembers when connections were used.
pub(super) const APPEND: &str = r"
CREATE FUNCTION append_audit_events(p_events jsonb, p_used jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER AS $$
DECLARE
    of_tenant jsonb;
BEGIN
    FOR of_tenant IN SELECT e FROM jsonb_array_elements(p_events) e LOOP
        PERFORM set_config('credvault.tenant', of_tenant ->> 'tenant', true);
        INSERT INTO audit_events (
            tenant_id, id, time, service, user_id, tenant_source, action, connection_id, provider, version, purpose,
            changed, outcome, reason, policies, trace_id, source_address, owner_user, released
        ) SELECT r.* FROM jsonb_to_recordset(of_tenant -> 'rows') AS r (
            tenant_id text, id uuid, time bigint, service text, user_id text, tenant_source text, action text,
            connection_id uuid, provider text, version bigint, purpose text, changed jsonb, outcome text, reason text,
            policies jsonb, trace_id text, source_address text, owner_user text, released jsonb
        );
    END LOOP;
    -- Rows that another transaction holds are skipped: a popular connection must not become a place to queue at.
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
