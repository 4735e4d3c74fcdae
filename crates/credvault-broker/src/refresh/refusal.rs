//! What a refusal means for the connection: whether the provider may have refreshed nevertheless, and what helps.

use std::time::Duration;

use credvault_catalog::RefusalKind;
use credvault_store::{AppFault, AppRevision, Claimed, RepeatRisk};

use super::backoff::pause_after_refusal;
use super::failed::Failed;
use super::worker::Worker;
use crate::http::client::Answer;

impl Worker {
    /// The failure of an attempt that the provider has refused, or that something between has answered.
    pub(super) fn refused(
        &self,
        claimed: &Claimed,
        kind: RefusalKind,
        code: Option<String>,
        answer: &Answer,
        retry: Duration,
        app: AppRevision,
    ) -> Failed {
        let provider = claimed.connection.provider.as_str();
        let (now, detail) = (self.parts.clock.now(), format!("status {}", answer.status));
        if may_be_at_work(kind, answer.status) {
            return Failed::at_work(retry, now, detail);
        }
        if may_have_worked(kind, answer.status) {
            return Failed::uncertain(retry, now, detail);
        }
        match kind {
            // A provider that is out of order refuses what lives, too: it is asked again until the incident is over.
            RefusalKind::InvalidGrant if claimed.spared && self.may_repeat(claimed) => {
                Failed::held(retry, now, detail)
            }
            RefusalKind::InvalidGrant => Failed::dead(code, detail),
            RefusalKind::InvalidClient => {
                tracing::error!(
                    provider,
                    "the provider does not accept the platform's app; PutOAuthApp stores its current id and secret"
                );
                Failed::app(AppFault::Refused, app, now, detail)
            }
            RefusalKind::RateLimited => Failed::throttled(retry, now, detail),
            RefusalKind::ClockSkew => {
                tracing::error!(
                    provider,
                    "the provider rejects the times in an assertion; compare the vault's clock with a time server"
                );
                Failed::clock(retry, now, detail)
            }
            RefusalKind::Outage | RefusalKind::ConcurrentRequest => {
                Failed::answered(retry, answer.status, now, detail)
            }
            RefusalKind::Unknown => {
                let own = self.refused_backoff(claimed.failures);
                Failed::refused(pause_after_refusal(kind, answer.retry_after, own), code, now, detail)
            }
        }
    }

    /// Whether a refused token may be sent again: not where the provider ends other consents for it.
    fn may_repeat(&self, claimed: &Claimed) -> bool {
        let connection = &claimed.connection;
        self.repeat_risk(&connection.provider, &connection.auth_mode) != RepeatRisk::OtherConsents
    }
}

/// Whether a gateway has answered that did not wait for the provider. 524 is Cloudflare's, 598 and 599 are other proxies'.
pub(crate) fn may_be_at_work(kind: RefusalKind, status: u16) -> bool {
    matches!((kind, status), (RefusalKind::Outage, 408 | 504 | 524 | 598 | 599))
}

/// Whether the provider may have refreshed: a success that cannot be read, or a gateway that has lost the connection to
/// the provider, for which Cloudflare answers 520.
pub(crate) fn may_have_worked(kind: RefusalKind, status: u16) -> bool {
    matches!(
        (kind, status),
        (RefusalKind::Unknown | RefusalKind::Outage, 200..300) | (RefusalKind::Outage, 502 | 520)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateways_status_says_whether_the_provider_may_have_worked_or_still_be_at_work() {
        for status in [200, 204, 502, 520] {
            assert!(may_have_worked(RefusalKind::Outage, status), "{status}");
            assert!(!may_be_at_work(RefusalKind::Outage, status), "{status}");
        }
        for status in [408, 504, 524, 598, 599] {
            assert!(may_be_at_work(RefusalKind::Outage, status), "{status}");
        }
        for status in [301, 403, 404, 425, 500, 503, 521, 525, 530] {
            let open =
                may_have_worked(RefusalKind::Outage, status) || may_be_at_work(RefusalKind::Outage, status);
            assert!(!open, "{status}: it was not done");
        }
        // The provider's own words, whatever the status.
        for kind in [
            RefusalKind::InvalidGrant,
            RefusalKind::InvalidClient,
            RefusalKind::RateLimited,
            RefusalKind::ConcurrentRequest,
        ] {
            for status in 200..600 {
                assert!(!may_have_worked(kind, status) && !may_be_at_work(kind, status), "{kind:?} {status}");
            }
        }
    }
}
