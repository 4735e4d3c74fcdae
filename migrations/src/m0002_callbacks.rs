//! What browsers bring back from providers, kept until the authorization is completed, and where they go then.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(up, "consents in progress would be lost: restore a backup of the earlier release instead");

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    step::add(manager, STATEMENTS, &[("callbacks", false)]).await
}

const STATEMENTS: &[&str] = &[
    // Where the browser goes if the page that opened the window cannot receive a message.
    "ALTER TABLE authorizations ADD COLUMN return_url {text}",
    // A callback without a state is recognised by the browser that brings it.
    "CREATE INDEX authorizations_browser ON authorizations (browser_hash) WHERE browser_hash IS NOT NULL",
    // What the provider sent a browser back with. In a table of its own, for background work reads the consents of all
    // tenants, and such a table holds no sealed bytes.
    r"CREATE TABLE callbacks (
        tenant_id {text} NOT NULL,
        state_hash {bytes} NOT NULL,
        key_version {int} NOT NULL,
        sealed {bytes} NOT NULL CHECK ({octets}(sealed) BETWEEN 164 AND 70000),
        PRIMARY KEY (tenant_id, state_hash),
        FOREIGN KEY (tenant_id, state_hash) REFERENCES authorizations (tenant_id, state_hash) ON DELETE CASCADE,
        FOREIGN KEY (tenant_id, key_version) REFERENCES tenant_keys (tenant_id, version)
    ){strict}",
];
