//! Limits and source rules of tenants, and the rates that hold over all replicas.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(
    up,
    "limits and source rules of tenants would be lost: restore a backup of the earlier release instead"
);

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    step::add(manager, TABLES, &[("tenant_rules", true), ("rate_budgets", true)]).await?;
    if step::is_postgres(manager) {
        step::run(manager, [RULES_SINCE, RESERVE_RATE]).await?;
    }
    Ok(())
}

const TABLES: &[&str] = &[
    // What administrators have set for a tenant. Every replica knows all rows: it asks twice a second for those that
    // transactions from a certain one on have written. No sealed bytes here.
    r"CREATE TABLE tenant_rules (
        tenant_id {text} NOT NULL PRIMARY KEY REFERENCES tenants (tenant_id),
        -- Limits by their names, in place of the deployment's defaults.
        limits {json} NOT NULL,
        limits_time {int},
        -- A list of allowed ranges of addresses, with a service or null.
        sources {json} NOT NULL,
        sources_time {int},
        -- The transaction that wrote the row; in SQLite, which has one writer at a time, a number that grows.
        txid {int} NOT NULL
    ){strict}",
    "CREATE INDEX tenant_rules_order ON tenant_rules (txid)",
    // Until when the calls of a tenant, of a user of it or of a service for it are given away. Written beside no fetch.
    r"CREATE TABLE rate_budgets (
        tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
        kind {text} NOT NULL,
        subject {text} NOT NULL,
        time {int} NOT NULL,
        PRIMARY KEY (tenant_id, kind, subject)
    ){strict}",
    "CREATE INDEX rate_budgets_age ON rate_budgets (time)",
];

/// The rules that were written by transactions from `p_txid` on, in one round trip, with the oldest transaction that is
/// still in progress: whatever commits later has that number or a greater one. There is a row without a tenant if no rules
/// were written.
const RULES_SINCE: &str = r"
CREATE FUNCTION tenant_rules_since(p_txid bigint) RETURNS TABLE (
    horizon bigint, tenant_id text, limits jsonb, limits_time bigint, sources jsonb, sources_time bigint
) LANGUAGE plpgsql VOLATILE SECURITY INVOKER AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('credvault.background', 'on', true);
    RETURN QUERY SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, r.tenant_id, r.limits, r.limits_time,
            r.sources, r.sources_time
        FROM (SELECT 1) one LEFT JOIN tenant_rules r ON r.txid >= p_txid;
END $$;
";

/// Takes one call from each of the budgets in `p_layers`, or from none: a list of subjects and of what a call costs them,
/// in microseconds. A budget holds `p_period`. Returns the place of the budget that is spent, and how long until it has a
/// call again; no row if a call was taken. This is the generic cell rate algorithm (ITU-T I.371), by the database's clock. The
/// budgets need not survive a crash of the server, so the commit waits for no disk.
const RESERVE_RATE: &str = r"
CREATE FUNCTION reserve_rate(p_tenant text, p_kind text, p_layers jsonb, p_period bigint)
RETURNS TABLE (layer bigint, wait bigint) LANGUAGE plpgsql VOLATILE SECURITY INVOKER AS $$
#variable_conflict use_column
DECLARE
    budget record;
    now_at bigint;
    taken bigint;
    times bigint[] := '{}';
BEGIN
    PERFORM set_config('credvault.tenant', p_tenant, true), set_config('synchronous_commit', 'off', true);
    FOR budget IN
        SELECT l.place - 1 AS place, l.layer ->> 0 AS subject, (l.layer ->> 1)::bigint AS cost
        FROM jsonb_array_elements(p_layers) WITH ORDINALITY AS l (layer, place) ORDER BY l.place
    LOOP
        INSERT INTO rate_budgets (tenant_id, kind, subject, time) VALUES (p_tenant, p_kind, budget.subject, 0)
            ON CONFLICT DO NOTHING;
        SELECT b.time INTO taken FROM rate_budgets b
            WHERE b.tenant_id = p_tenant AND b.kind = p_kind AND b.subject = budget.subject FOR UPDATE;
        -- After the wait for the lock. A time that is further ahead than a period comes from a clock that was wrong.
        now_at := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
        taken := CASE WHEN taken BETWEEN now_at AND now_at + p_period THEN taken ELSE now_at END + budget.cost;
        IF taken > now_at + p_period THEN
            RETURN QUERY SELECT budget.place, taken - now_at - p_period;
            RETURN;
        END IF;
        times := times || taken;
    END LOOP;
    UPDATE rate_budgets b SET time = times[l.place]
        FROM jsonb_array_elements(p_layers) WITH ORDINALITY AS l (layer, place)
        WHERE b.tenant_id = p_tenant AND b.kind = p_kind AND b.subject = l.layer ->> 0;
END $$;
";
