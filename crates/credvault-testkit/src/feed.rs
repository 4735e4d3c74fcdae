//! A guard of the change feed: PostgreSQL refuses a commit of the service that has changed what a fetch depends on and has
//! no row in the feed for it.

use crate::PostgresDatabase;

impl PostgresDatabase {
    /// From now on, commits without their rows in the feed fail. Call it after the migration. What a superuser changes by
    /// hand, as tests do to alter rows, is not looked at.
    pub fn require_feed_rows(&self) {
        let service = self.service_role();
        let function = FUNCTION.replace("{service}", &service);
        let triggers = TRIGGERS.replace("{tenant}", TENANT);
        self.psql(&format!("SET search_path = credvault; {function} {triggers}"));
    }
}

/// `TG_ARGV[0]` is the condition that a row of the feed, `c`, is about the changed row, `$1` as JSON.
/// It sees the rows of all tenants: a transaction may have changed several, one after the other.
const FUNCTION: &str = r"
CREATE SCHEMA IF NOT EXISTS guard; CREATE FUNCTION guard.require_feed_row() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    changed jsonb := to_jsonb(COALESCE(NEW, OLD));
    told boolean;
BEGIN
    -- The rows of the platform itself are written when the database is first opened, before there is a reader.
    IF session_user <> '{service}' OR (changed ->> 'tenant_id' = ':platform' AND TG_TABLE_NAME IN ('tenants', 'tenant_keys'))
    THEN
        RETURN NULL;
    END IF;
    EXECUTE 'SELECT EXISTS (SELECT 1 FROM credvault.changes c WHERE c.tenant_id = $1 ->> ''tenant_id''
        AND c.txid = pg_current_xact_id()::text::bigint AND ' || TG_ARGV[0] || ')' INTO told USING changed;
    IF NOT told THEN
        RAISE EXCEPTION 'a row of % was changed without a row in the feed', TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
";

/// A row of the feed about the tenant itself: enough for values that were sealed anew under another of its keys.
const TENANT: &str = "c.connection_id IS NULL AND c.provider IS NULL AND c.endpoint_id IS NULL";

const TRIGGERS: &str = r"
CREATE CONSTRAINT TRIGGER fed_always AFTER INSERT OR DELETE ON connections DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    EXECUTE FUNCTION guard.require_feed_row('c.connection_id = ($1 ->> ''id'')::uuid');
CREATE CONSTRAINT TRIGGER fed AFTER UPDATE ON connections DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((OLD.owner_user, OLD.provider, OLD.account_name, OLD.auth_mode, OLD.state, OLD.error_reason, OLD.enabled,
            OLD.config, OLD.labels, OLD.external_account_id, OLD.is_default, OLD.current_version, OLD.hints,
            OLD.expire_time, OLD.delete_time, OLD.revision, OLD.update_time)
        IS DISTINCT FROM (NEW.owner_user, NEW.provider, NEW.account_name, NEW.auth_mode, NEW.state, NEW.error_reason,
            NEW.enabled, NEW.config, NEW.labels, NEW.external_account_id, NEW.is_default, NEW.current_version, NEW.hints,
            NEW.expire_time, NEW.delete_time, NEW.revision, NEW.update_time))
    EXECUTE FUNCTION guard.require_feed_row('c.connection_id = ($1 ->> ''id'')::uuid');
CREATE CONSTRAINT TRIGGER fed_always AFTER INSERT OR DELETE ON credential_versions DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION guard.require_feed_row('c.connection_id = ($1 ->> ''connection_id'')::uuid');
CREATE CONSTRAINT TRIGGER fed AFTER UPDATE ON credential_versions DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.key_version = NEW.key_version)
    EXECUTE FUNCTION guard.require_feed_row('c.connection_id = ($1 ->> ''connection_id'')::uuid');
CREATE CONSTRAINT TRIGGER resealed AFTER UPDATE ON credential_versions DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.key_version <> NEW.key_version)
    EXECUTE FUNCTION guard.require_feed_row('(c.connection_id = ($1 ->> ''connection_id'')::uuid OR {tenant})');
CREATE CONSTRAINT TRIGGER fed_always AFTER INSERT OR DELETE ON tokens DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION guard.require_feed_row('c.connection_id = ($1 ->> ''connection_id'')::uuid');
CREATE CONSTRAINT TRIGGER fed AFTER UPDATE ON tokens DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.generation <> NEW.generation OR OLD.key_version = NEW.key_version)
    EXECUTE FUNCTION guard.require_feed_row('c.connection_id = ($1 ->> ''connection_id'')::uuid');
CREATE CONSTRAINT TRIGGER resealed AFTER UPDATE ON tokens DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.generation = NEW.generation AND OLD.key_version <> NEW.key_version)
    EXECUTE FUNCTION guard.require_feed_row('(c.connection_id = ($1 ->> ''connection_id'')::uuid OR {tenant})');
CREATE CONSTRAINT TRIGGER fed_always AFTER INSERT OR DELETE ON oauth_apps DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION guard.require_feed_row('c.provider = split_part($1 ->> ''provider'', '' '', 1)');
CREATE CONSTRAINT TRIGGER fed AFTER UPDATE ON oauth_apps DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.generation <> NEW.generation OR OLD.key_version = NEW.key_version)
    EXECUTE FUNCTION guard.require_feed_row('c.provider = split_part($1 ->> ''provider'', '' '', 1)');
CREATE CONSTRAINT TRIGGER resealed AFTER UPDATE ON oauth_apps DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.generation = NEW.generation AND OLD.key_version <> NEW.key_version)
    EXECUTE FUNCTION guard.require_feed_row('(c.provider = split_part($1 ->> ''provider'', '' '', 1) OR {tenant})');
CREATE CONSTRAINT TRIGGER fed AFTER INSERT OR UPDATE ON tenants DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION guard.require_feed_row('c.connection_id IS NULL AND c.provider IS NULL AND c.endpoint_id IS NULL');
CREATE CONSTRAINT TRIGGER fed AFTER INSERT OR UPDATE OR DELETE ON tenant_keys DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION guard.require_feed_row('c.connection_id IS NULL AND c.provider IS NULL AND c.endpoint_id IS NULL');
CREATE CONSTRAINT TRIGGER fed AFTER INSERT OR UPDATE ON tenant_rules DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION guard.require_feed_row('c.connection_id IS NULL AND c.provider IS NULL AND c.endpoint_id IS NULL');
CREATE CONSTRAINT TRIGGER fed_always AFTER INSERT ON event_endpoints DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION guard.require_feed_row('c.endpoint_id = ($1 ->> ''id'')::uuid');
CREATE CONSTRAINT TRIGGER fed AFTER UPDATE ON event_endpoints DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((OLD.url, OLD.types, OLD.enabled, OLD.generation) IS DISTINCT FROM (NEW.url, NEW.types, NEW.enabled, NEW.generation))
    EXECUTE FUNCTION guard.require_feed_row('c.endpoint_id = ($1 ->> ''id'')::uuid');
CREATE CONSTRAINT TRIGGER fed AFTER INSERT OR UPDATE OR DELETE ON service_configs DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION guard.require_feed_row('c.service_config_id = ($1 ->> ''id'')::uuid');
CREATE CONSTRAINT TRIGGER fed AFTER INSERT OR UPDATE OR DELETE ON service_mappings DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION guard.require_feed_row('c.service_config_id = ($1 ->> ''config_id'')::uuid');
CREATE CONSTRAINT TRIGGER fed AFTER INSERT OR UPDATE OR DELETE ON tools DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION guard.require_feed_row('c.tool = $1 ->> ''name''');
";
