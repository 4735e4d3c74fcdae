//! The provable audit log: the journal that calls wait for, and the tenants' logs that a sequencer makes of it.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(
    up,
    "the earlier release would not see the audit records written since: restore a backup of it instead"
);

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    step::add(manager, STATEMENTS, TABLES).await?;
    let of_one_database = if step::is_postgres(manager) { IN_POSTGRES } else { IN_SQLITE };
    step::run(manager, of_one_database.to_vec()).await
}

const TABLES: &[(&str, bool)] = &[
    ("audit_keys", false),
    ("audit_bundles", false),
    ("audit_tiles", false),
    ("audit_sequencer", false),
    ("audit_moves", true),
];

const STATEMENTS: &[&str] = &[
    // The keys that a tenant's log is sealed under. A key's number is the version of the tenant's key when it was made.
    r"CREATE TABLE audit_keys (
        tenant_id {text} NOT NULL,
        number {int} NOT NULL,
        key_version {int} NOT NULL,
        sealed {bytes} NOT NULL,
        create_time {int} NOT NULL,
        PRIMARY KEY (tenant_id, number),
        FOREIGN KEY (tenant_id, key_version) REFERENCES tenant_keys (tenant_id, version)
    ){strict}",
    // What calls wait for. A row has the records of one commit, of any tenants, so it has no tenant itself; all of it is sealed
    // under an audit key of the platform.
    r"CREATE TABLE audit_journal (
        -- A UUIDv7, which says when it was written.
        id {uuid} NOT NULL PRIMARY KEY,
        key_number {int} NOT NULL,
        -- From when on it may be sequenced: 0 for at once, the largest number for a row that does not open.
        due_time {int} NOT NULL DEFAULT 0,
        records {int} NOT NULL,
        body {bytes} NOT NULL
    ){strict}",
    // Neighbouring records of a tenant's log. Fewer than 256 are a piece, and pieces of one bundle are joined when it is
    // complete.
    r"CREATE TABLE audit_bundles (
        tenant_id {text} NOT NULL,
        -- The index of the first record in the log.
        start {int} NOT NULL CHECK (start >= 0),
        records {int} NOT NULL CHECK (records BETWEEN 1 AND 256),
        -- The audit key; none where the content is gone, because the tenant was erased.
        key_number {int},
        sealed {bytes},
        -- The leaf hashes of a piece. Those of a whole bundle are a tile.
        leaves {bytes},
        -- In the newest row of a log: all rows before this place are whole bundles.
        settled {int} NOT NULL DEFAULT 0,
        -- The frontier of the tree after the last record: always there in the newest row of a log, which resumes from it.
        frontier {bytes},
        -- Of a whole bundle: the lowest and the highest id of its records, the time of the earliest one, and what a filter may
        -- find in it. A record's id is made at its commit, so it may be ahead of its time.
        first_id {uuid},
        last_id {uuid},
        first_time {int},
        words {bytes},
        PRIMARY KEY (tenant_id, start),
        CHECK ((key_number IS NULL) = (sealed IS NULL)),
        CHECK ((first_id IS NULL) = (last_id IS NULL))
    ){strict}",
    "CREATE INDEX audit_bundles_order ON audit_bundles (tenant_id, last_id, start) WHERE last_id IS NOT NULL",
    // Full tiles of the tree, each with its root, which is a hash of the tile above.
    r"CREATE TABLE audit_tiles (
        tenant_id {text} NOT NULL,
        level {int} NOT NULL,
        number {int} NOT NULL,
        hashes {bytes} NOT NULL CHECK ({octets}(hashes) = 8192),
        root {bytes} NOT NULL CHECK ({octets}(root) = 32),
        PRIMARY KEY (tenant_id, level, number)
    ){strict}",
    // The platform's one row: which process sequences, and until when it has said so. Each new holder gets a new epoch.
    r"CREATE TABLE audit_sequencer (
        tenant_id {text} NOT NULL PRIMARY KEY,
        epoch {int} NOT NULL,
        process_id {uuid} NOT NULL,
        lease_time {int} NOT NULL
    ){strict}",
    // Up to which id the records of audit_events were moved in, and when that was looked at last.
    r"CREATE TABLE audit_moves (
        tenant_id {text} NOT NULL PRIMARY KEY,
        position {uuid} NOT NULL,
        time {int} NOT NULL
    ){strict}",
];

// What is sealed does not compress: PostgreSQL need not try. The journal's rows live for a second, so it is cleaned often.
// The sequencer inserts for many tenants by one statement; it reads and deletes as one tenant at a time.
const IN_POSTGRES: &[&str] = &[
    "ALTER TABLE audit_journal ALTER COLUMN body SET STORAGE EXTERNAL",
    "ALTER TABLE audit_bundles ALTER COLUMN sealed SET STORAGE EXTERNAL",
    "ALTER TABLE audit_bundles ALTER COLUMN leaves SET STORAGE EXTERNAL",
    "ALTER TABLE audit_tiles ALTER COLUMN hashes SET STORAGE EXTERNAL",
    "ALTER TABLE audit_journal SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 100000)",
    "ALTER POLICY tenant_insert ON audit_bundles WITH CHECK (
        tenant_id = NULLIF(current_setting('credvault.tenant', true), '')
        OR current_setting('credvault.sequencing', true) = 'on')",
    "ALTER POLICY tenant_insert ON audit_tiles WITH CHECK (
        tenant_id = NULLIF(current_setting('credvault.tenant', true), '')
        OR current_setting('credvault.sequencing', true) = 'on')",
];

// SQLite has no roles, so the log defends itself against the program.
const IN_SQLITE: &[&str] = &[
    "CREATE TRIGGER audit_bundles_unchanged BEFORE UPDATE ON audit_bundles
     BEGIN SELECT RAISE(ABORT, 'audit records are never changed'); END",
    "CREATE TRIGGER audit_tiles_unchanged BEFORE UPDATE ON audit_tiles
     BEGIN SELECT RAISE(ABORT, 'hashes of the audit log are never changed'); END",
    "CREATE TRIGGER audit_journal_unchanged BEFORE UPDATE OF id, key_number, records, body ON audit_journal
     BEGIN SELECT RAISE(ABORT, 'audit records are never changed'); END",
];
