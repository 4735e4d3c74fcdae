//! When the grant of a credential ends, as catalog and answer say it.

use credvault_catalog::{Mode, Rotation};
use credvault_domain::{Grant, Renewal, SecretFields, Timestamp};

/// The grant of a credential that was got, or refreshed, at `sent`. `expires` is the end of its access token or key,
/// `refresh_expires` the end of the refresh token that the answer names.
pub fn grant(
    mode: &Mode,
    fields: &SecretFields,
    expires: Option<Timestamp>,
    refresh_expires: Option<Timestamp>,
    sent: Timestamp,
) -> Grant {
    let Some(refresh) = mode.refresh().filter(|_| !mode.lacks_refresh_token(fields)) else {
        return Grant::fixed(expires);
    };
    let policy = refresh.policy;
    let idle = policy.idle.map(|idle| sent.after(idle));
    let grant = if mode.refresh_sends("refresh_token") {
        match (policy.rotates, refresh_expires) {
            // A refresh gives no other refresh token, so what the answer names is the end.
            (Rotation::No, Some(end)) => Grant::fixed(Some(end)),
            (_, named) => Grant::renewed(named.into_iter().chain(idle).min()),
        }
    } else if mode.refresh_sends("access_token") {
        // The token itself is exchanged for a newer one while it works.
        Grant::renewed(expires.into_iter().chain(idle).min())
    } else {
        // A key that does not end gives tokens.
        Grant { renewal: Renewal::RenewsItself, end: None, lifetime: None }
    };
    Grant { lifetime: policy.consent, ..grant }
}
