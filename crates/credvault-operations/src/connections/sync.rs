//! `ReportSync`: how far a service has synchronised a resource of a connection.

use credvault_domain::{ConnectionId, SyncState};
use credvault_store::{Recorded, SyncReport};

use crate::{Call, Parsed, Refusal, Repeat};

/// `ReportSync`.
///
/// # Errors
/// Policy does not permit it, the connection is deleted or has too many resources, or the state is another than the report
/// demands.
pub async fn report_sync(
    call: &mut Call,
    id: ConnectionId,
    report: Parsed<SyncReport>,
    repeat: Parsed<Option<Repeat>>,
) -> Result<Recorded<SyncState>, Refusal> {
    let scope = call.scope()?;
    let (permit, _) = call.connection(id).await?;
    let report = report?;
    let write = call.write(&permit, repeat)?.changing([report.resource.as_str().to_owned()]);
    Ok(call.context.store.syncs().report(&scope, id, &report, &write).await?)
}
