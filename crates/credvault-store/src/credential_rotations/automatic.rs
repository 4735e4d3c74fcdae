//! Whether the vault replaces a connection's credential by itself when that is due, or reminds of it.

use std::collections::HashSet;

use sea_orm::{ColumnTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _, QuerySelect as _};
use uuid::Uuid;

use crate::Error;
use crate::entity::credential_rotation::Model;
use crate::entity::{connection, credential_version};

/// After how many failures in a row the vault waits until it is asked: about a day and a half.
const MAX_FAILURES: i64 = 16;
/// How many of these may be such as pass by themselves: by then an attempt is made every six hours.
const MAX_PASSING: i64 = 10;
/// After how many keys that were made in vain, for none of them ends by itself.
const MAX_IN_VAIN: i64 = 2;

/// How many failures there are in a row after another one. An outage alone, however long, does not end the attempts.
pub(crate) fn failures_after(failures: i64, lasting: bool) -> i64 {
    if lasting { failures + 1 } else { failures.max((failures + 1).min(MAX_PASSING)) }
}

/// Whether the vault has given up to replace the credential by itself, until it is asked or the settings change.
pub(crate) fn is_paused(row: &Model) -> bool {
    row.failures >= MAX_FAILURES || row.in_vain >= MAX_IN_VAIN
}

/// Whether the vault replaces the credential that a connection has now by itself when that is due.
///
/// # Errors
/// The database fails.
pub(crate) async fn is_automatic(
    tx: &DatabaseTransaction,
    model: &connection::Model,
    row: &Model,
) -> Result<bool, Error> {
    if !row.mints || is_paused(row) {
        return Ok(false);
    }
    let adopted = adopted(tx, &model.tenant_id, [model.id]).await?;
    Ok(!adopted.contains(&(model.id, model.current_version)))
}

/// The versions of these connections whose secret others keep, so that the vault only reads it.
///
/// # Errors
/// The database fails.
pub(crate) async fn adopted(
    tx: &DatabaseTransaction,
    tenant: &str,
    connections: impl IntoIterator<Item = Uuid>,
) -> Result<HashSet<(Uuid, i64)>, Error> {
    use credential_version::Column;
    let versions: Vec<(Uuid, i64)> = credential_version::Entity::find()
        .filter(Column::TenantId.eq(tenant))
        .filter(Column::ConnectionId.is_in(connections))
        .filter(Column::Sealed.is_not_null())
        .filter(Column::Store.is_not_null())
        .filter(Column::Payload.is_null())
        .select_only()
        .columns([Column::ConnectionId, Column::Version])
        .into_tuple()
        .all(tx)
        .await?;
    Ok(versions.into_iter().collect())
}
