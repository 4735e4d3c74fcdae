//! What accompanies a change: the memory of its request, its audit record, its row in the change feed.

pub(super) const TABLES: &[&str] = &[
    // What a repeated request is recognised by. A request id is one of a service's user; without a user it is one of the
    // service. The fingerprint is keyed, so it gives nothing away about a secret.
    r"CREATE TABLE requests (
        tenant_id {text} NOT NULL,
        service {text} NOT NULL,
        user_id {text} NOT NULL DEFAULT '',
        request_id {uuid} NOT NULL,
        fingerprint {bytes} NOT NULL,
        -- The connection, endpoint or event that the request was about.
        subject_id {uuid},
        version {int},
        create_time {int} NOT NULL,
        PRIMARY KEY (tenant_id, service, user_id, request_id)
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
        source_address {text},
        -- The user who owns the connection that a record is about: a call that does not reach that user does not see it.
        owner_user {text},
        released {json},
        PRIMARY KEY (tenant_id, id),
        CHECK ((outcome = 'OK') = (reason IS NULL))
    ){strict}",
    r"CREATE INDEX audit_events_connection ON audit_events (tenant_id, connection_id, id) WHERE connection_id IS NOT NULL",
    // What changed, in the order of transactions, for watchers, caches and replicas. Written in the transaction of the
    // change.
    r"CREATE TABLE changes (
        {serial},
        tenant_id {text} NOT NULL,
        txid {int} NOT NULL DEFAULT {transaction},
        connection_id {uuid},
        provider {text},
        endpoint_id {uuid},
        kind {text} NOT NULL,
        version {int},
        time {int} NOT NULL{serial_key}
    ){strict}",
    "CREATE INDEX changes_order ON changes (tenant_id, txid, seq)",
    "CREATE INDEX changes_age ON changes (time)",
];

/// SQLite has no roles, so the log defends itself against the program.
pub(super) const SQLITE_TRIGGERS: &str = r"
CREATE TRIGGER audit_events_unchanged BEFORE UPDATE ON audit_events
BEGIN SELECT RAISE(ABORT, 'audit records are never changed'); END;
CREATE TRIGGER audit_events_kept BEFORE DELETE ON audit_events
BEGIN SELECT RAISE(ABORT, 'audit records are never deleted'); END;
";
