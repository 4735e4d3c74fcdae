//! Connections, their credentials and tokens, and how the refresh of each stands.

pub(super) const TABLES: &[&str] = &[
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
        -- The provider's own code of a refusal, if it is a plain word.
        error_code {text},
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
        last_refreshed_time {int},
        last_verified_time {int},
        scopes_asked {json},
        scopes_granted {json},
        revocation {text},
        revocation_time {int},
        found_account_id {text},
        test_time {int},
        -- The account, and settings that name it, that the provider itself has confirmed, apart from what callers write.
        confirmed_account_id {text},
        confirmed_settings {json} NOT NULL DEFAULT '{}',
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
    "CREATE INDEX connections_test ON connections (test_time) WHERE current_version > 0 AND delete_time IS NULL",
    "CREATE INDEX connections_revocation ON connections (revocation_time) WHERE revocation_time IS NOT NULL",
    // Quotas count a user's connections, and a deletion of the user looks for the newest. The tenant is not its first
    // column: until PostgreSQL has statistics, it would use such an index in place of the key, and read all of a tenant.
    "CREATE INDEX connections_owner ON connections (owner_user, tenant_id, create_time)",
    // Connections that wait for consent are looked for every minute.
    "CREATE INDEX connections_connecting ON connections (tenant_id) WHERE state = 'CONNECTING'",
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
        claim_id {uuid},
        process_id {uuid},
        lease_time {int},
        provider {text} NOT NULL,
        client_id {text},
        doubted {bool} NOT NULL,
        -- Since when no attempt has ended with tokens or with a refusal that the vault understands.
        unsettled_time {int},
        -- The provider itself has said that the refresh token is dead.
        refused {bool} NOT NULL DEFAULT FALSE,
        -- How often it has refused, since it gave tokens last, in words that its file does not know.
        refusals {int} NOT NULL DEFAULT 0,
        -- Why nothing is sent before `retry_time`, and, where the app is why, the revision of the app that was at fault.
        pause {text},
        pause_app {text},
        PRIMARY KEY (tenant_id, connection_id),
        FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE,
        CHECK ((state = 'IN_FLIGHT') = (process_id IS NOT NULL))
    ){strict}",
    r"CREATE INDEX refreshes_due ON refreshes (due_time) WHERE due_time IS NOT NULL",
    // The search goes from tenant to tenant, and takes a few of each: what is due in one must not hide the others'.
    r"CREATE INDEX refreshes_due_of_tenant ON refreshes (tenant_id, due_time) WHERE due_time IS NOT NULL",
    // What waits for an app, to be woken when that is stored.
    r"CREATE INDEX refreshes_pause_app ON refreshes (tenant_id, connection_id) WHERE pause_app IS NOT NULL",
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
];
