//! What the vault found out about credentials that callers report as rejected by their provider.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(up, "the earlier release runs beside this table; restore a backup to be rid of it");

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    step::add(manager, [TABLE], &[("rejections", false)]).await
}

/// One row for each connection of which a credential was reported: the credential that was asked about last. No finding
/// means that a process is at it.
const TABLE: &str = r"CREATE TABLE rejections (
        tenant_id {text} NOT NULL,
        connection_id {uuid} NOT NULL,
        version {int} NOT NULL,
        generation {int} NOT NULL,
        finding {text} CHECK (finding IN ('RENEWED', 'ACCEPTED', 'REFUSED', 'UNAVAILABLE', 'THROTTLED', 'UNKNOWN')),
        process_id {uuid},
        lease_time {int},
        -- When the finding was made, or the question was claimed.
        time {int} NOT NULL,
        -- No report causes another call to the provider before this time.
        next_time {int} NOT NULL,
        -- The tenant and the service whose report caused the last call, and how many calls they have caused in a row.
        service {text} NOT NULL,
        calls {int} NOT NULL,
        PRIMARY KEY (tenant_id, connection_id),
        FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE,
        CHECK ((finding IS NULL) = (process_id IS NOT NULL))
    ){strict}";
