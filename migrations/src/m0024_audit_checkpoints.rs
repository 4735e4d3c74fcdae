//! Checkpoints of the provable audit log: what signs them, the newest one of each log, and what witnesses have cosigned.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(
    up,
    "the earlier release would not know which checkpoints were signed: restore a backup of it instead"
);

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    step::add(manager, STATEMENTS, TABLES).await
}

const TABLES: &[(&str, bool)] =
    &[("audit_signers", false), ("audit_checkpoints", false), ("audit_cosignatures", false)];

const STATEMENTS: &[&str] = &[
    // The keys that sign checkpoints, the platform's own rows. The newest signs, and those before it until they retire. Each is
    // sealed under an audit key of the platform.
    r"CREATE TABLE audit_signers (
        tenant_id {text} NOT NULL,
        number {int} NOT NULL,
        -- The vault's name in the origins of logs, while this signer is the newest.
        name {text} NOT NULL,
        public_key {bytes} NOT NULL CHECK ({octets}(public_key) = 32),
        key_number {int} NOT NULL,
        sealed {bytes} NOT NULL,
        create_time {int} NOT NULL,
        retire_time {int},
        PRIMARY KEY (tenant_id, number)
    ){strict}",
    // The newest state of each log that was signed: no later one is signed that does not continue it.
    r"CREATE TABLE audit_checkpoints (
        tenant_id {text} NOT NULL PRIMARY KEY,
        size {int} NOT NULL CHECK (size >= 0),
        root {bytes} NOT NULL CHECK ({octets}(root) = 32),
        time {int} NOT NULL
    ){strict}",
    // The newest checkpoint of each log that a witness has cosigned, as a note with the log's signatures and the witness's.
    r"CREATE TABLE audit_cosignatures (
        tenant_id {text} NOT NULL,
        witness {text} NOT NULL,
        size {int} NOT NULL,
        note {text} NOT NULL,
        time {int} NOT NULL,
        PRIMARY KEY (tenant_id, witness)
    ){strict}",
];
