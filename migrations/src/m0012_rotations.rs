//! Root keys that replace each other, rotations in progress, and how often tenant keys are used.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(
    up,
    "keys may be wrapped by a root key that the earlier release does not know: restore its backup instead"
);

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    step::add(manager, STATEMENTS, &[("rotations", true), ("key_uses", false)]).await?;
    if step::is_postgres(manager) {
        step::run(manager, [KEYS_BELOW, REWRAP_KEYS]).await?;
    }
    Ok(())
}

const STATEMENTS: &[&str] = &[
    "ALTER TABLE root_keys ADD COLUMN name {text} NOT NULL DEFAULT ''",
    // KNOWN: some replica has it, and it has not wrapped anything yet. ACTIVE: it wraps. PREVIOUS: it has wrapped keys that
    // are still to be wrapped anew. RETIRED: nothing is left under it.
    "ALTER TABLE root_keys ADD COLUMN state {text} NOT NULL DEFAULT 'ACTIVE'
        CHECK (state IN ('KNOWN', 'ACTIVE', 'PREVIOUS', 'RETIRED'))",
    "CREATE UNIQUE INDEX root_keys_root ON root_keys (root_id)",
    // When a key that was replaced may be destroyed.
    "ALTER TABLE tenant_keys ADD COLUMN retire_time {int}",
    // The generation of the root keys in which it was wrapped.
    "ALTER TABLE tenant_keys ADD COLUMN generation {int} NOT NULL DEFAULT 1",
    // The latest rotation of each tenant's key, and the latest move of its secrets to another store; the rotation of the root
    // key is the platform's.
    r"CREATE TABLE rotations (
        tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
        kind {text} NOT NULL CHECK (kind IN ('ROOT', 'TENANT', 'SECRETS')),
        -- The generation of root keys, or the version of the tenant's key, that it leads to.
        target {int} NOT NULL,
        running {bool} NOT NULL,
        -- Where it goes on after an interruption.
        position {text} NOT NULL,
        done {int} NOT NULL,
        total {int} NOT NULL,
        -- What does not open, and stays as it is.
        failed {int} NOT NULL,
        records_per_second {int} NOT NULL,
        -- Why it does not get on at the moment.
        trouble {text},
        -- When the next of the keys that were replaced may be destroyed.
        retire_time {int},
        begin_time {int} NOT NULL,
        end_time {int},
        -- Which process is at it, and until when it has said so.
        process_id {uuid},
        lease_time {int},
        PRIMARY KEY (tenant_id, kind)
    ){strict}",
    "CREATE INDEX rotations_running ON rotations (tenant_id, kind) WHERE running",
    // Counted in memory and added once a minute, so that no value that is sealed updates a row.
    r"CREATE TABLE key_uses (
        tenant_id {text} NOT NULL,
        version {int} NOT NULL,
        uses {int} NOT NULL,
        PRIMARY KEY (tenant_id, version),
        FOREIGN KEY (tenant_id, version) REFERENCES tenant_keys (tenant_id, version) ON DELETE CASCADE
    ){strict}",
    // Which root keys each process has, and when it last said so.
    r"CREATE TABLE root_key_holders (
        process_id {uuid} NOT NULL PRIMARY KEY,
        root_ids {json} NOT NULL,
        time {int} NOT NULL
    ){strict}",
];

/// The wrapped keys of many tenants that are of an earlier generation. Each tenant's own are read as that tenant, so
/// row-level security holds for each of them. Those of an erased tenant are zeroes under no root key, which is 0.
const KEYS_BELOW: &str = r"
CREATE FUNCTION keys_below(p_tenants jsonb, p_generation bigint)
RETURNS TABLE (tenant_id text, version bigint, root_id bigint, wrapped bytea)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER AS $$
#variable_conflict use_column
DECLARE
    of_tenant text;
BEGIN
    FOR of_tenant IN SELECT t FROM jsonb_array_elements_text(p_tenants) t LOOP
        PERFORM set_config('credvault.tenant', of_tenant, true);
        RETURN QUERY SELECT k.tenant_id, k.version, k.root_id, k.wrapped FROM tenant_keys k
            WHERE k.tenant_id = of_tenant AND k.generation < p_generation AND k.root_id <> 0;
    END LOOP;
END $$;
";

/// Replaces wrapped keys that are still what they were when they were read, with a row in the feed of each tenant. Gives the
/// number of keys that it has replaced. `before` and `after` are in hexadecimal.
const REWRAP_KEYS: &str = r"
CREATE FUNCTION rewrap_keys(p_keys jsonb, p_root bigint, p_generation bigint, p_time bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY INVOKER AS $$
DECLARE
    one record;
    replaced bigint := 0;
BEGIN
    FOR one IN SELECT r.* FROM jsonb_to_recordset(p_keys) AS r (tenant text, version bigint, before text, after text) LOOP
        PERFORM set_config('credvault.tenant', one.tenant, true);
        UPDATE tenant_keys k SET wrapped = decode(one.after, 'hex'), root_id = p_root, generation = p_generation
            WHERE k.tenant_id = one.tenant AND k.version = one.version AND k.wrapped = decode(one.before, 'hex');
        IF FOUND THEN
            replaced := replaced + 1;
            INSERT INTO changes (tenant_id, kind, time) VALUES (one.tenant, 'UPDATED', p_time);
        END IF;
    END LOOP;
    RETURN replaced;
END $$;
";
