//! Erasures of tenants: what was asked for and what was done; and the key by which the vault signs statements about them.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(
    up,
    "statements about erased tenants would be lost: restore a backup of the earlier release instead"
);

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    step::add(manager, STATEMENTS, TENANT_TABLES).await
}

/// The tables with a tenant, and whether background work may read them across tenants. None of those holds sealed bytes.
const TENANT_TABLES: &[(&str, bool)] =
    &[("erasure_requests", false), ("erasures", true), ("signing_keys", false)];

const STATEMENTS: &[&str] = &[
    // Asked for and not confirmed yet: the newest request of each tenant. Of the token only its hash is here.
    r"CREATE TABLE erasure_requests (
        tenant_id {text} NOT NULL PRIMARY KEY REFERENCES tenants (tenant_id),
        token_hash {bytes} NOT NULL,
        service {text} NOT NULL,
        -- The tenant's revision then: the token is of no use once the tenant has changed.
        revision {int} NOT NULL,
        create_time {int} NOT NULL,
        expire_time {int} NOT NULL
    ){strict}",
    // A row is there from the moment in which the tenant's keys are destroyed, and stays for ever. The row in `tenants`
    // stays, too, without its name, so that no release gives the id away again.
    r"CREATE TABLE erasures (
        tenant_id {text} NOT NULL PRIMARY KEY REFERENCES tenants (tenant_id),
        state {text} NOT NULL CHECK (state IN ('ERASING', 'ERASED')),
        service {text} NOT NULL,
        -- Tells that a token was used from one that never was.
        token_hash {bytes} NOT NULL,
        request_time {int} NOT NULL,
        confirm_time {int} NOT NULL,
        finish_time {int},
        -- JSON: the numbers of what was there, and the destroyed keys with the root keys that wrapped them.
        content {text} NOT NULL,
        keys {text} NOT NULL,
        -- Byte for byte as it was signed: not json, which a database writes in its own way.
        statement {text},
        signature {bytes},
        signing_key {text},
        CHECK ((state = 'ERASED') = (finish_time IS NOT NULL AND statement IS NOT NULL
            AND signature IS NOT NULL AND signing_key IS NOT NULL))
    ){strict}",
    // The vault's signing key, the platform's own rows. The newest generation signs.
    r"CREATE TABLE signing_keys (
        tenant_id {text} NOT NULL,
        generation {int} NOT NULL,
        id {text} NOT NULL,
        public_key {bytes} NOT NULL CHECK ({octets}(public_key) = 32),
        key_version {int} NOT NULL,
        sealed {bytes} NOT NULL CHECK ({octets}(sealed) BETWEEN 164 AND 70000),
        create_time {int} NOT NULL,
        PRIMARY KEY (tenant_id, generation),
        FOREIGN KEY (tenant_id, key_version) REFERENCES tenant_keys (tenant_id, version)
    ){strict}",
];
