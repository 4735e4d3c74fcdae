//! Authorizations in progress, keys that providers deliver for them, and webhooks that were seen.

pub(super) const TABLES: &[&str] = &[
    // Authorizations in progress, found by the hash of their state: a browser that brings a state has no tenant yet. What
    // binds the code to it (the PKCE verifier) is derived from the state and the tenant's key, and stored nowhere.
    r"CREATE TABLE authorizations (
        tenant_id {text} NOT NULL,
        state_hash {bytes} NOT NULL,
        connection_id {uuid} NOT NULL,
        -- The tenant's key that session_hash and the PKCE verifier are made with.
        key_version {int} NOT NULL,
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
        -- The circumstances in which it began: policy is asked about them again when a browser completes it.
        tenant_source {text},
        source_address {text},
        PRIMARY KEY (tenant_id, state_hash),
        FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE,
        FOREIGN KEY (tenant_id, key_version) REFERENCES tenant_keys (tenant_id, version)
    ){strict}",
    r"CREATE INDEX authorizations_state ON authorizations (state_hash)",
    r"CREATE INDEX authorizations_age ON authorizations (expire_time)",
    // A connection that is purged takes its authorizations along.
    "CREATE INDEX authorizations_connection ON authorizations (tenant_id, connection_id)",
    // Keys that a provider has delivered, until the authorization is completed or over.
    r"CREATE TABLE delivered_keys (
        tenant_id {text} NOT NULL,
        state_hash {bytes} NOT NULL,
        schema {int} NOT NULL,
        key_version {int} NOT NULL,
        sealed {bytes} NOT NULL CHECK ({octets}(sealed) BETWEEN 164 AND 70000),
        PRIMARY KEY (tenant_id, state_hash),
        FOREIGN KEY (tenant_id, state_hash) REFERENCES authorizations (tenant_id, state_hash) ON DELETE CASCADE,
        FOREIGN KEY (tenant_id, key_version) REFERENCES tenant_keys (tenant_id, version)
    ){strict}",
    // Webhooks that were found valid, by a hash of what makes them unique: a second one is a repetition.
    r"CREATE TABLE webhook_replays (
        tenant_id {text} NOT NULL,
        connection_id {uuid} NOT NULL,
        replay_key {bytes} NOT NULL,
        expire_time {int} NOT NULL,
        PRIMARY KEY (tenant_id, connection_id, replay_key),
        FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
    ){strict}",
    r"CREATE INDEX webhook_replays_age ON webhook_replays (expire_time)",
    // The same for webhooks that an app's key signs: each counts once for the app, whatever connections it is shown to. The
    // tenant is the one whose app it is: the platform's, for most.
    r"CREATE TABLE app_webhook_replays (
        tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
        provider {text} NOT NULL,
        replay_key {bytes} NOT NULL,
        expire_time {int} NOT NULL,
        PRIMARY KEY (tenant_id, provider, replay_key)
    ){strict}",
    r"CREATE INDEX app_webhook_replays_age ON app_webhook_replays (expire_time)",
];
