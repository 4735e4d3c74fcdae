//! `fetch_credential_3`, the one statement of a fetch on PostgreSQL. `credvault-store`'s fetch.rs has the same for SQLite.
//! A column that comes to `connections` before the next release is added here; afterwards it takes a new name.
//!
//! `p_platform`: the connection is one of the platform's own that the same call has found by provider before, so it is
//! looked for there and nowhere else.

/// The hot path, with all columns of a connection. Under a name of its own: an earlier release that still runs has
/// prepared the one before, and a prepared statement does not outlive a change of its columns.
pub(crate) const FETCH_FUNCTION: &str = r"
CREATE FUNCTION fetch_credential_3(
    p_tenant text, p_user text, p_any_user boolean, p_connection uuid, p_provider text, p_account text,
    p_version bigint, p_platform boolean
) RETURNS TABLE (
    tenant_state text, tenant_id text, id uuid, owner_user text, provider text, account_name text, auth_mode text,
    state text, error_reason text, error_code text, error_time bigint, enabled boolean, config jsonb, labels jsonb,
    external_account_id text, is_default boolean, last_version bigint, current_version bigint, hints jsonb,
    expire_time bigint, last_used_time bigint, revision bigint, create_time bigint, update_time bigint,
    delete_time bigint, purge_time bigint,
    last_refreshed_time bigint, last_verified_time bigint, scopes_asked jsonb, scopes_granted jsonb,
    revocation text, revocation_time bigint, found_account_id text, verify_time bigint,
    confirmed_account_id text, confirmed_settings jsonb,
    version bigint, schema bigint, key_version bigint, sealed bytea, version_expire_time bigint, wrapped bytea,
    generation bigint, refresh_state text, token_generation bigint, token_expire_time bigint
) LANGUAGE plpgsql VOLATILE SECURITY INVOKER AS $$
#variable_conflict use_column
DECLARE
    asking_state text;
    space text;
BEGIN
    FOREACH space IN ARRAY CASE WHEN (p_connection IS NULL OR p_platform) AND p_tenant <> ':platform'
        THEN ARRAY[p_tenant, ':platform'] ELSE ARRAY[p_tenant] END
    LOOP
        PERFORM set_config('credvault.tenant', space, true);
        IF space = p_tenant THEN
            SELECT t.state INTO asking_state FROM tenants t WHERE t.tenant_id = p_tenant;
            EXIT WHEN asking_state IS NULL;
            CONTINUE WHEN p_platform AND p_tenant <> ':platform';
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
        NULL::bigint, NULL::text, NULL::bigint, NULL::bigint;
END $$;
";

pub(crate) const FOUND: &str = r"
            SELECT asking_state, c.tenant_id, c.id, c.owner_user, c.provider, c.account_name, c.auth_mode,
                c.state, c.error_reason, c.error_code, c.error_time, c.enabled, c.config, c.labels,
                c.external_account_id, c.is_default, c.last_version, c.current_version, c.hints,
                c.expire_time, c.last_used_time, c.revision, c.create_time, c.update_time,
                c.delete_time, c.purge_time,
                c.last_refreshed_time, c.last_verified_time, c.scopes_asked, c.scopes_granted,
                c.revocation, c.revocation_time, c.found_account_id, c.verify_time,
                c.confirmed_account_id, c.confirmed_settings,
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
