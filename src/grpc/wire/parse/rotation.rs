//! Requests about the rotation of credentials into domain types.

use std::time::Duration;

use credvault_domain::Violations;
use credvault_operations::rotations::Rotate;
use prost_types::Duration as WireDuration;

use super::{connection_id, etag, repeat};
use credvault_proto::v1;

/// The seconds of a day.
const DAY_SECONDS: u64 = 24 * 3600;
/// The longest period, in days.
const MAX_DAYS: u64 = 730;

pub(crate) fn rotate_credential(request: &v1::RotateCredentialRequest) -> Result<Rotate, Violations> {
    Ok(Rotate {
        connection: connection_id(&request.connection_id)?,
        etag: etag("etag", &request.etag)?,
        repeat: repeat(&request.request_id, request),
        revoke_now: request.revoke_now,
    })
}

/// How often a credential is to be replaced: whole days.
pub(super) fn rotation_period(
    field: &str,
    period: Option<WireDuration>,
) -> Result<Option<Duration>, Violations> {
    let Some(period) = period else { return Ok(None) };
    let wrong = || Violations::of(field, "must be whole days, 1 to 730, or left out for never");
    let period = Duration::try_from(period).map_err(|_| wrong())?;
    let (days, rest) = (period.as_secs() / DAY_SECONDS, period.as_secs() % DAY_SECONDS);
    let is_whole = rest == 0 && period.subsec_nanos() == 0;
    if is_whole && (1..=MAX_DAYS).contains(&days) { Ok(Some(period)) } else { Err(wrong()) }
}
