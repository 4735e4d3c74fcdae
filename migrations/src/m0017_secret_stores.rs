//! Secrets that are kept in external stores.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(
    up,
    "secrets may be where the earlier release does not look: move them into the database first, with credvault secrets move"
);

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    step::add(manager, STATEMENTS, &[("external_payloads", true), ("payload_work", true)]).await
}

const STATEMENTS: &[&str] = &[
    // Where the tenant's secrets are kept; the deployment's choice if it has none.
    "ALTER TABLE tenants ADD COLUMN secret_store {text}",
    // Which payload a record refers to. The record itself says so, sealed; this is for finding what none refers to.
    "ALTER TABLE credential_versions ADD COLUMN payload {uuid}",
    "ALTER TABLE tokens ADD COLUMN payload {uuid}",
    "ALTER TABLE revocations ADD COLUMN payload {uuid}",
    // Where the secret of a version is kept, for people to see; none in the database.
    "ALTER TABLE credential_versions ADD COLUMN store {text}",
    // No foreign key leads to the connection: a payload is removed after its connection.
    r"CREATE TABLE external_payloads (
        tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
        id {uuid} NOT NULL,
        connection_id {uuid} NOT NULL,
        store {text} NOT NULL,
        -- Where it is; none until a record refers to it.
        reference {text},
        create_time {int} NOT NULL,
        -- When it was noticed that no record refers to it any more.
        drop_time {int},
        PRIMARY KEY (tenant_id, id)
    ){strict}",
    "CREATE INDEX external_payloads_connection ON external_payloads (tenant_id, connection_id)",
    "CREATE INDEX external_payloads_reference ON external_payloads (store, reference)",
    // Connections whose payloads are to be looked at.
    r"CREATE TABLE payload_work (
        tenant_id {text} NOT NULL REFERENCES tenants (tenant_id),
        connection_id {uuid} NOT NULL,
        due_time {int} NOT NULL,
        -- How often it was queued: a process that ends its work must not take away what was queued meanwhile.
        times {int} NOT NULL DEFAULT 1,
        -- Until when a process is at it.
        lease_time {int},
        PRIMARY KEY (tenant_id, connection_id)
    ){strict}",
    "CREATE INDEX payload_work_due ON payload_work (due_time)",
];
