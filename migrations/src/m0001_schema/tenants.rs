//! Keys, tenants, and what a tenant or the platform has registered at providers.

pub(super) const TABLES: &[&str] = &[
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
        update_time {int} NOT NULL,
        -- Until when none of the tenant's events is given up, although its own time is over: the tenant was suspended.
        delivery_grace_time {int}
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
    // Until when the calls that an app may make at a provider are given away. All rows are the platform's.
    r"CREATE TABLE budgets (
        tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
        provider {text} NOT NULL,
        client_id {text} NOT NULL,
        time {int} NOT NULL,
        PRIMARY KEY (tenant_id, provider, client_id)
    ){strict}",
    // A row is there from the call until the last connection that the user had then is deleted and the events about it are
    // forgotten. What was created after `create_time` stays.
    r"CREATE TABLE user_deletions (
        tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
        user_id {text} NOT NULL,
        create_time {int} NOT NULL,
        PRIMARY KEY (tenant_id, user_id)
    ){strict}",
];
