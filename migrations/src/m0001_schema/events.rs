//! Events: the endpoints that they are sent to, and the outbox.

pub(super) const TABLES: &[&str] = &[
    // Where a tenant, or the platform, wants events. `types` is empty for all, or the types with a blank around each.
    r"CREATE TABLE event_endpoints (
        tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
        id {uuid} NOT NULL,
        url {text} NOT NULL,
        types {text} NOT NULL,
        description {text} NOT NULL,
        enabled {bool} NOT NULL,
        generation {int} NOT NULL,
        schema {int} NOT NULL,
        key_version {int} NOT NULL,
        sealed {bytes} NOT NULL CHECK ({octets}(sealed) BETWEEN 164 AND 70000),
        previous_expire_time {int},
        failures {int} NOT NULL,
        success_time {int},
        failure_time {int},
        failure {text},
        create_time {int} NOT NULL,
        update_time {int} NOT NULL,
        PRIMARY KEY (tenant_id, id),
        FOREIGN KEY (tenant_id, key_version) REFERENCES tenant_keys (tenant_id, version)
    ){strict}",
    // What is to be sent to an endpoint, in its namespace, also if it is about another tenant: only the platform's endpoints
    // have such. Written in the transaction of the change that it tells of. No sealed bytes here: background work may
    // look for what is due across tenants. At its `expire_time` a pending one is given up, and any other forgotten: at
    // once if the user whom it is about, a user of `about_tenant`, was deleted.
    r"CREATE TABLE event_deliveries (
        tenant_id {text} NOT NULL,
        endpoint_id {uuid} NOT NULL,
        event_id {uuid} NOT NULL,
        type {text} NOT NULL,
        body {text} NOT NULL,
        state {text} NOT NULL CHECK (state IN ('PENDING', 'DELIVERED', 'DEAD')),
        attempts {int} NOT NULL,
        due_time {int},
        attempt_time {int},
        failure {text},
        expire_time {int} NOT NULL,
        create_time {int} NOT NULL,
        about_tenant {text} NOT NULL,
        about_user {text},
        user_deleted {bool} NOT NULL,
        PRIMARY KEY (tenant_id, endpoint_id, event_id),
        FOREIGN KEY (tenant_id, endpoint_id) REFERENCES event_endpoints (tenant_id, id) ON DELETE CASCADE,
        CHECK ((state = 'PENDING') = (due_time IS NOT NULL))
    ){strict}",
    r"CREATE INDEX event_deliveries_due ON event_deliveries (due_time, tenant_id, endpoint_id) WHERE due_time IS NOT NULL",
    r"CREATE INDEX event_deliveries_next ON event_deliveries (tenant_id, endpoint_id, due_time) WHERE due_time IS NOT NULL",
    r"CREATE INDEX event_deliveries_newest ON event_deliveries (tenant_id, event_id, endpoint_id)",
    r"CREATE INDEX event_deliveries_user ON event_deliveries (tenant_id, about_tenant, about_user) WHERE about_user IS NOT NULL",
    r"CREATE INDEX event_deliveries_age ON event_deliveries (expire_time)",
    // A row is there from the call until the endpoint's last delivery is deleted, and goes with the endpoint.
    r"CREATE TABLE endpoint_deletions (
        tenant_id {text} NOT NULL,
        endpoint_id {uuid} NOT NULL,
        create_time {int} NOT NULL,
        PRIMARY KEY (tenant_id, endpoint_id),
        FOREIGN KEY (tenant_id, endpoint_id) REFERENCES event_endpoints (tenant_id, id) ON DELETE CASCADE
    ){strict}",
];
