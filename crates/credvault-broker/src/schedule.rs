//! When tokens are refreshed ahead of need. The catalog says whether they are refreshed at all.

use std::time::Duration;

use credvault_catalog::{Mode, Rotation};
use credvault_domain::{Random, Timestamp, jitter};

/// The least time before the end of an access token at which it is refreshed, before jitter.
const MIN_MARGIN: Duration = Duration::from_secs(300);

/// When to refresh the tokens of a new credential, which came at `sent`: at once where the provider's first token is to be
/// replaced by one that lives longer, and otherwise as [`due_time`] says.
pub fn first_due_time(
    mode: &Mode,
    expires: Option<Timestamp>,
    refresh_expires: Option<Timestamp>,
    sent: Timestamp,
    random: &dyn Random,
) -> Option<Timestamp> {
    if mode.refresh()?.policy.refresh_immediately {
        return Some(sent);
    }
    due_time(mode, expires, refresh_expires, sent, random)
}

/// When to refresh tokens that were requested at `sent`: five minutes, or a tenth of the access token's life, before its
/// end, give or take a fifth, and never in the first half of its life. If an unused refresh token expires, and a refresh
/// gives another one, then no later than at about half of the refresh token's life. `None` if nothing expires.
pub fn due_time(
    mode: &Mode,
    expires: Option<Timestamp>,
    refresh_expires: Option<Timestamp>,
    sent: Timestamp,
    random: &dyn Random,
) -> Option<Timestamp> {
    let policy = mode.refresh()?.policy;
    let spread = jitter(random, 0.8..=1.2);
    let told = refresh_expires.filter(|_| policy.rotates != Rotation::No).map(|end| sent.until(end));
    let idle = told.into_iter().chain(policy.idle).min();
    let keep_alive = idle.map(|idle| sent.after((idle / 2).mul_f64(spread)));
    let ahead = expires.map(|expires| {
        let life = sent.until(expires);
        let margin = MIN_MARGIN.max(life / 10).mul_f64(spread);
        expires.before(margin.min(life / 2))
    });
    match (ahead, keep_alive) {
        (Some(ahead), Some(keep_alive)) => Some(ahead.min(keep_alive)),
        (ahead, keep_alive) => ahead.or(keep_alive),
    }
}
