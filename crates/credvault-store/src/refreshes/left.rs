//! What a failed attempt leaves behind.

use credvault_domain::{Reason, Timestamp};

use crate::refreshes::claim::Claimed;
use crate::refreshes::failure::RefreshFailure;

/// How often the provider must have refused since it gave tokens last, and the access token have ended, before refusals
/// that the vault does not understand are shown as the demand for consent. Outages between them do not count.
const REFUSALS_BEFORE_CONSENT: i64 = 3;

/// What a failure leaves behind.
pub(super) struct Left {
    /// Whether an attempt may have worked at the provider.
    pub(super) uncertain: bool,
    /// Whether the provider has still to say what the state of the grant is.
    pub(super) unsettled: bool,
    /// Whether the pause counts for how long that is looked into: not if nothing was sent, or the provider asks for it.
    counts: bool,
    /// When the next attempt is made, if there is to be one.
    pub(super) retry_time: Option<Timestamp>,
    /// Since when, or from when on, there is no access token to give out.
    pub(super) down_time: Option<Timestamp>,
    /// What the connection shows, if it does not stay as it is.
    pub(super) reason: Option<Reason>,
    /// How often the provider has refused in words that the vault does not understand.
    pub(super) refusals: i64,
}

impl Left {
    pub(super) fn of(
        failure: &RefreshFailure,
        claimed: &Claimed,
        refusals_before: i64,
        now: Timestamp,
    ) -> Self {
        let absent = claimed.fields.get("access_token").is_none();
        let ended = absent || claimed.expire_time.is_some_and(|end| end <= now);
        // An unknown outcome still shows, whichever attempt has left it so.
        let shown = claimed.uncertain.then_some(Reason::ProviderUnavailable);
        let settled = Self::settled(if absent { Some(now) } else { claimed.expire_time });
        match *failure {
            RefreshFailure::Temporary { retry_time, .. } | RefreshFailure::Outage { retry_time, .. } => {
                Self {
                    uncertain: claimed.uncertain,
                    unsettled: claimed.uncertain,
                    retry_time: Some(retry_time),
                    reason: shown,
                    refusals: refusals_before,
                    ..settled
                }
            }
            RefreshFailure::Uncertain { retry_time, .. } => Self {
                uncertain: true,
                unsettled: true,
                counts: !claimed.spared,
                retry_time: Some(retry_time),
                reason: Some(Reason::ProviderUnavailable),
                refusals: refusals_before,
                ..settled
            },
            RefreshFailure::Refused { retry_time, .. } => {
                // What is said during an incident asks for no consent.
                let refusals = refusals_before + i64::from(!claimed.spared);
                let asks_consent = ended && !claimed.spared && refusals >= REFUSALS_BEFORE_CONSENT;
                // The next attempt is right after the end of the access token, and not long after it.
                let end = claimed.expire_time.filter(|_| !ended);
                Self {
                    uncertain: claimed.uncertain,
                    unsettled: true,
                    counts: !claimed.spared,
                    retry_time: Some(end.map_or(retry_time, |end| retry_time.min(end))),
                    reason: if asks_consent { Some(Reason::ReauthorizationRequired) } else { shown },
                    refusals,
                    ..settled
                }
            }
            RefreshFailure::Nothing => Self {
                retry_time: claimed.expire_time.filter(|_| !ended),
                reason: ended.then_some(Reason::ReauthorizationRequired),
                ..settled
            },
            RefreshFailure::Dead { .. } => settled,
        }
    }

    /// What is left where only a new consent helps.
    fn settled(down_time: Option<Timestamp>) -> Self {
        Self {
            uncertain: false,
            unsettled: false,
            counts: false,
            retry_time: None,
            down_time,
            reason: Some(Reason::ReauthorizationRequired),
            refusals: 0,
        }
    }

    /// How much of the pause does not count, in microseconds.
    pub(super) fn uncounted(&self, now: Timestamp) -> i64 {
        let pause = self.retry_time.filter(|_| !self.counts).map(|retry| now.until(retry));
        pause.map_or(0, |pause| i64::try_from(pause.as_micros()).unwrap_or(i64::MAX))
    }
}
