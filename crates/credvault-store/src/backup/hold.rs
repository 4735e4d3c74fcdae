//! The mark of a restored database, whose vault removes nothing from external stores (`secrets/held.rs`).

use credvault_domain::{Random, TenantId, Timestamp};

use super::error::BackupError;
use super::row::{MadeRows, put};
use crate::secrets::held::NEVER;

/// The columns of [`hold`].
pub(super) const HOLD_COLUMNS: [&str; 4] = ["tenant_id", "connection_id", "due_time", "times"];

/// The mark as a row of `payload_work`. The backup may have one already, so it has an id of its own.
pub(super) fn hold(now: Timestamp, random: &dyn Random) -> Result<MadeRows, BackupError> {
    let mut id = [0; 10];
    random.fill(&mut id).map_err(|error| BackupError::RootKey(error.into()))?;
    let id = uuid::Builder::from_unix_timestamp_millis(now.millis(), &id).into_uuid();
    let mut row = Vec::new();
    put(&mut row, Some(TenantId::PLATFORM.as_bytes()))?;
    put(&mut row, Some(id.as_bytes()))?;
    for number in [NEVER, 1] {
        put(&mut row, Some(&number.to_be_bytes()))?;
    }
    Ok(MadeRows::new(vec![row]))
}
