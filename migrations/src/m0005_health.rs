//! The health of connections, how far their resources are synchronised, and what is known of outages of providers.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(up, "the health of connections would be lost: restore a backup of the earlier release instead");

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    step::add(manager, STATEMENTS, TENANT_TABLES).await?;
    let fill = if step::is_postgres(manager) {
        FILL_EACH_TENANT.replace("{fill}", &FILL.replace("{of_tenant}", " WHERE c.tenant_id = one"))
    } else {
        FILL.replace("{of_tenant}", "")
    };
    step::run(manager, [fill.as_str()]).await
}

/// The tables with a tenant, and whether background work may read them across tenants. None of those holds sealed bytes.
const TENANT_TABLES: &[(&str, bool)] = &[
    ("connection_health", true),
    ("sync_states", false),
    ("provider_signals", false),
    ("provider_incidents", false),
];

const STATEMENTS: &[&str] = &[
    // When a connection's grant ends, when its owner is warned, and what went wrong last. Beside `connections`, for a
    // fetch does not need it.
    r"CREATE TABLE connection_health (
        tenant_id {text} NOT NULL,
        connection_id {uuid} NOT NULL,
        renewal {text} CHECK (renewal IN ('RENEWS_ITSELF', 'ENDS', 'NEVER_ENDS')),
        begin_time {int},
        renew_time {int},
        consent_end_time {int},
        named_end_time {int},
        -- What follows from these, for filters and for the search.
        grant_end_time {int},
        ending_time {int},
        warn_time {int},
        error_reason {text},
        -- The provider's own code of a refusal, if it is a plain word.
        error_code {text},
        error_pause {text},
        error_time {int},
        retry_time {int},
        recover_time {int},
        PRIMARY KEY (tenant_id, connection_id),
        FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE,
        CHECK ((error_reason IS NULL) = (error_time IS NULL)),
        CHECK ((renewal IS NULL) = (begin_time IS NULL)),
        CHECK ((renewal IS NULL) = (renew_time IS NULL))
    ){strict}",
    "CREATE INDEX connection_health_warn ON connection_health (warn_time) WHERE warn_time IS NOT NULL",
    r"CREATE INDEX connection_health_end ON connection_health (tenant_id, grant_end_time)
        WHERE grant_end_time IS NOT NULL",
    r"CREATE INDEX connection_health_ending ON connection_health (tenant_id, ending_time)
        WHERE ending_time IS NOT NULL",
    "CREATE INDEX connections_error ON connections (tenant_id, id) WHERE state = 'ERROR'",
    r"CREATE TABLE sync_states (
        tenant_id {text} NOT NULL,
        connection_id {uuid} NOT NULL,
        resource {text} NOT NULL,
        revision {int} NOT NULL,
        position {text} NOT NULL,
        status {text} NOT NULL CHECK (status IN ('RUNNING', 'OK', 'FAILED')),
        items_synced {int} NOT NULL,
        items_failed {int} NOT NULL,
        error {text} NOT NULL,
        start_time {int},
        success_time {int},
        update_time {int} NOT NULL,
        PRIMARY KEY (tenant_id, connection_id, resource),
        FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
    ){strict}",
    // What requests to providers have met, the platform's own rows. A slot is a number from 0 to 255 that several tenants
    // share, so that the table tells of no tenant and stays small.
    r"CREATE TABLE provider_signals (
        tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
        provider {text} NOT NULL,
        slot {int} NOT NULL CHECK (slot BETWEEN 0 AND 255),
        failures {int} NOT NULL,
        failure_time {int},
        success_time {int},
        PRIMARY KEY (tenant_id, provider, slot)
    ){strict}",
    // The last incident of each provider, the platform's own rows. Without an end it is open.
    r"CREATE TABLE provider_incidents (
        tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
        provider {text} NOT NULL,
        open_time {int} NOT NULL,
        close_time {int},
        tenants {int} NOT NULL,
        last_success_time {int},
        PRIMARY KEY (tenant_id, provider)
    ){strict}",
];

/// What is known of connections that an earlier release has stored. Grants learn their end at the next refresh. A key that
/// ends soon is warned of once.
const FILL: &str = "
    INSERT INTO connection_health (tenant_id, connection_id, renewal, begin_time, renew_time, named_end_time,
        grant_end_time, ending_time, warn_time, error_reason, error_code, error_time)
    SELECT c.tenant_id, c.id,
        CASE WHEN c.current_version = 0 THEN NULL
             WHEN c.expire_time IS NOT NULL THEN 'ENDS'
             WHEN EXISTS (SELECT 1 FROM refreshes r WHERE r.tenant_id = c.tenant_id AND r.connection_id = c.id)
                 THEN 'RENEWS_ITSELF'
             ELSE 'NEVER_ENDS' END,
        CASE WHEN c.current_version > 0 THEN c.create_time END,
        CASE WHEN c.current_version > 0 THEN c.create_time END,
        c.expire_time, c.expire_time, c.expire_time - 1209600000000, c.expire_time - 1209600000000,
        c.error_reason, c.error_code, c.error_time
    FROM connections c{of_tenant}";

/// Row-level security holds for the owner, too, so this goes from tenant to tenant.
const FILL_EACH_TENANT: &str = "
    DO $$
    DECLARE
        one text;
    BEGIN
        PERFORM set_config('credvault.background', 'on', true);
        FOR one IN SELECT tenant_id FROM tenants LOOP
            PERFORM set_config('credvault.tenant', one, true);
            {fill};
        END LOOP;
        PERFORM set_config('credvault.tenant', '', true);
        PERFORM set_config('credvault.background', '', true);
    END $$";
