//! The times of one attempt to refresh tokens. They are here together because their sum must stay below the lease of a
//! claim (45 s, `credvault-store`), after which another replica may take the claim over.

use std::time::Duration;

/// How long after its claim a request may be sent. Later, another replica may already have taken the claim over.
pub(crate) const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the answer is awaited that cannot be requested a second time.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(35);
/// The longest time that an attempt takes, from its claim to the end of the provider's answer.
pub const MAX_ATTEMPT_TIME: Duration = Duration::from_secs(SEND_TIMEOUT.as_secs() + ANSWER_TIMEOUT.as_secs());
