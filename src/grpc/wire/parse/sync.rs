//! Reports of synchronisations into domain types.

use credvault_domain::{
    MAX_CURSOR_BYTES, MAX_SYNC_ERROR_BYTES, SyncCounts, SyncResource, SyncStatus, Violations, sanitised,
};
use credvault_operations::Parsed;
use credvault_store::SyncReport;

use super::required;
use credvault_proto::v1;

pub(crate) fn sync_report(request: v1::ReportSyncRequest) -> Parsed<SyncReport> {
    let mut violations = Violations::default();
    let resource = violations.collect(required("resource", &request.resource, SyncResource::parse));
    let status = violations.collect(status(request.status));
    let counts = violations.collect(SyncCounts::parse(request.items_synced, request.items_failed));
    for (field, cursor) in [("cursor", &request.cursor), ("expected_cursor", &request.expected_cursor)] {
        if cursor.as_ref().is_some_and(|cursor| cursor.len() > MAX_CURSOR_BYTES || cursor.contains('\0')) {
            violations.add(field, "must be at most 4,096 bytes without NUL");
        }
    }
    if request.expected_revision.is_some_and(|revision| revision < 0) {
        violations.add("expected_revision", "must not be negative; 0 means that nothing was reported yet");
    }
    if request.error.len() > MAX_SYNC_ERROR_BYTES {
        violations.add("error", "must be at most 1,024 bytes");
    }
    let (Some(resource), Some(status), Some(counts), true) =
        (resource, status, counts, violations.is_empty())
    else {
        return Err(violations);
    };
    Ok(SyncReport {
        resource,
        expected_revision: request.expected_revision,
        expected_cursor: request.expected_cursor,
        cursor: request.cursor,
        status,
        counts,
        error: sanitised(&request.error),
    })
}

fn status(status: i32) -> Result<SyncStatus, Violations> {
    let rule =
        || Violations::of("status", "must be SYNC_STATUS_RUNNING, SYNC_STATUS_OK or SYNC_STATUS_FAILED");
    match v1::SyncStatus::try_from(status).map_err(|_| rule())? {
        v1::SyncStatus::Unspecified => Err(rule()),
        v1::SyncStatus::Running => Ok(SyncStatus::Running),
        v1::SyncStatus::Ok => Ok(SyncStatus::Ok),
        v1::SyncStatus::Failed => Ok(SyncStatus::Failed),
    }
}
