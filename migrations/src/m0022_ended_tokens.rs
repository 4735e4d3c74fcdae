//! Connections that serve nothing while their refresh fails: found without opening a token, and with the status that the
//! provider has answered.

use sea_orm_migration::prelude::*;

use crate::step::{self, migration};

migration!(
    up,
    "connections without an access token would seem well: restore a backup of the earlier release instead"
);

async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    step::add(manager, STATEMENTS, &[]).await
}

const STATEMENTS: [&str; 3] = [
    // Since when, or from when on, there is no access token to give out, while `retry_time` says that a refresh is tried
    // again.
    "ALTER TABLE connection_health ADD COLUMN down_time {int}",
    // The status of the provider's answer, if it has answered.
    "ALTER TABLE connection_health ADD COLUMN error_status {int}",
    r"CREATE INDEX connection_health_down ON connection_health (tenant_id, down_time)
        WHERE down_time IS NOT NULL",
];
