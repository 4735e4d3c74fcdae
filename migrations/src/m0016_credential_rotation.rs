//! The rotation of credentials at their providers: how often, how it stands, and the keys that are still to end.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(
    up,
    "keys at providers that are still to be revoked would be lost: restore a backup of the earlier release instead"
);

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    step::add(manager, STATEMENTS, &[("credential_rotations", true), ("rotated_keys", false)]).await
}

const STATEMENTS: &[&str] = &[
    // How often the credential is to be replaced, and when that is due; without an index, for the search has a table of
    // its own.
    "ALTER TABLE connections ADD COLUMN rotation_days {int}",
    "ALTER TABLE connections ADD COLUMN rotation_due_time {int}",
    // Since when, or from when on, the provider does not accept the version's key because another one has replaced it.
    "ALTER TABLE credential_versions ADD COLUMN key_revoke_time {int}",
    // How the rotation of a connection's credential stands. No sealed bytes here: background work looks for what is due
    // across tenants.
    r"CREATE TABLE credential_rotations (
        tenant_id {text} NOT NULL,
        connection_id {uuid} NOT NULL,
        -- MINTING: a call that makes a key may be on its way. MINTED: a new key is in `rotated_keys`, to be tested.
        state {text} NOT NULL CHECK (state IN ('IDLE', 'MINTING', 'MINTED')),
        -- Whether the vault replaces the credential when that is due, or reminds of it.
        mints {bool} NOT NULL,
        -- The version whose key is being replaced.
        version {int},
        search_time {int},
        warn_time {int},
        retry_time {int},
        failures {int} NOT NULL,
        -- The reason of the last failure, until a new version is stored.
        trouble {text},
        -- When a key was last left at the provider that nothing will revoke, and its id if that is known.
        left_time {int},
        left_key_id {text},
        last_number {int} NOT NULL,
        claim_id {uuid},
        process_id {uuid},
        lease_time {int},
        PRIMARY KEY (tenant_id, connection_id),
        FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE,
        CHECK ((claim_id IS NULL) = (process_id IS NULL)),
        CHECK ((claim_id IS NULL) = (lease_time IS NULL)),
        CHECK (state <> 'MINTING' OR claim_id IS NOT NULL)
    ){strict}",
    "CREATE INDEX credential_rotations_search ON credential_rotations (search_time) WHERE search_time IS NOT NULL",
    "CREATE INDEX credential_rotations_warn ON credential_rotations (warn_time) WHERE warn_time IS NOT NULL",
    // Keys that rotations have made or replaced, until they serve or have ended.
    r"CREATE TABLE rotated_keys (
        tenant_id {text} NOT NULL,
        connection_id {uuid} NOT NULL,
        number {int} NOT NULL,
        -- MINTED: to be tested and served. UNUSED: made in vain. REPLACED: another key serves in its place.
        role {text} NOT NULL CHECK (role IN ('MINTED', 'UNUSED', 'REPLACED')),
        -- The version that it replaces, or whose key it was.
        version {int} NOT NULL,
        -- Its id at the provider, for people; calls take the one among the sealed fields.
        key_id {text},
        expire_time {int},
        create_time {int} NOT NULL,
        -- When it is to be tested or revoked.
        due_time {int} NOT NULL,
        attempts {int} NOT NULL,
        schema {int} NOT NULL,
        key_version {int} NOT NULL,
        sealed {bytes} NOT NULL CHECK ({octets}(sealed) BETWEEN 164 AND 70000),
        PRIMARY KEY (tenant_id, connection_id, number),
        FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE,
        FOREIGN KEY (tenant_id, key_version) REFERENCES tenant_keys (tenant_id, version)
    ){strict}",
];
