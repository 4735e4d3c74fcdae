//! Which tables a backup has, and why it lacks the others. A test fails for a table that is in neither list.

/// The tables of a backup, in an order in which each refers to earlier ones only.
pub const BACKED_UP_TABLES: &[&str] = &[
    "root_keys",
    "tenants",
    "tenant_keys",
    "key_uses",
    "rotations",
    "erasures",
    "signing_keys",
    "tenant_rules",
    "user_deletions",
    "user_sightings",
    "oauth_apps",
    "connections",
    "credential_versions",
    "tokens",
    "refreshes",
    "revocations",
    "credential_rotations",
    "rotated_keys",
    "connection_health",
    "external_payloads",
    "payload_work",
    "sync_states",
    "imports",
    "webhook_replays",
    "app_webhook_replays",
    "event_endpoints",
    "event_deliveries",
    "endpoint_deletions",
    "service_configs",
    "service_mappings",
    "tools",
    "requests",
    "usage_connections",
    "usage_days",
    "usage_users",
    "usage_totals",
    "usage_erasures",
    "platform_dependants",
    "provider_outcomes",
    "audit_events",
    "audit_moves",
    "audit_keys",
    // Records that were not sequenced yet.
    "audit_journal",
    "audit_bundles",
    "audit_tiles",
    "audit_signers",
    "audit_checkpoints",
    "audit_cosignatures",
];

/// The tables that a backup lacks, each with the reason.
pub const LEFT_OUT_TABLES: &[(&str, &str)] = &[
    ("schema_migrations", "the restore makes the schema itself, of the migrations that the manifest names"),
    ("backups", "it tells of backups of this database, and a restored one is another"),
    (
        "changes",
        "it is ordered by this server's transactions, and its readers begin anew with another database",
    ),
    ("authorizations", "a consent in progress lives for ten minutes, in the browser of one person"),
    (
        "connect_sessions",
        "a session of the connect page lives for half an hour, in the browser of one person",
    ),
    ("delivered_keys", "it belongs to a consent in progress"),
    ("callbacks", "it belongs to a consent in progress"),
    ("erasure_requests", "a request that is not confirmed lives for ten minutes"),
    ("root_key_holders", "it says which root keys the processes have that serve this database"),
    ("audit_sequencer", "it says which process sequences the audit log at this moment"),
    ("client_registrations", "it is a replica's claim on work in progress"),
    ("rejections", "it is a replica's claim on work in progress, or a finding that is minutes old"),
    ("budgets", "it says which calls to providers are given away at this moment"),
    ("rate_budgets", "it says which calls of tenants are given away at this moment"),
    ("provider_signals", "it says what requests to providers have met in the last minutes"),
    ("provider_incidents", "an outage that lasts is found again within minutes"),
];

/// Columns that a restore writes as 0, whatever they were: numbers of transactions of the earlier database.
pub(super) const RESET_COLUMNS: &[(&str, &str)] = &[("tenant_rules", "txid")];

/// The columns that name the tenant whom a row is about.
pub(super) const TENANT_COLUMNS: &[&str] = &["tenant_id", "about_tenant"];

/// The tables whose rows stay although their tenant was erased: the erasures themselves, and the log of what was done, whose
/// bundles nothing opens any more and whose hashes still prove. The
/// row in `tenants` stays, too, without its name, so that the id is never given away again.
pub(super) const KEPT_OF_ERASED: &[&str] = &[
    "erasures",
    "audit_events",
    "audit_moves",
    "audit_bundles",
    "audit_tiles",
    "audit_checkpoints",
    "audit_cosignatures",
];
