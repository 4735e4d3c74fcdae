//! Asks a provider about a credential that callers report as rejected, once for all of them on all replicas. It continues if
//! no caller waits any more.

use std::sync::Arc;
use std::time::Duration;

use credvault_broker::{Need, RefreshError, TestError};
use credvault_catalog::Verdict;
use credvault_domain::{LimitKind, Reason, UserId};
use credvault_store::{ClaimedInquiry, ConnectionKey, Error as StoreError, Finding, GivenOut, Inquiry};
use tokio::time::Instant;

use crate::inquiries::{Payer, Settled, Spent};
use crate::limits::Counted;
use crate::tokens::test_by_vault;
use crate::{Class, Context, Refusal};

/// The pause after the first call that a report of a service has caused. Doubled with each in a row.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// The longest pause after such a call, and so the greatest age of a finding.
const MAX_PAUSE: Duration = Duration::from_secs(300);
/// The pause after a test that the provider did not answer. Doubled with each in a row.
const FIRST_OUTAGE_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause after an outage.
const MAX_OUTAGE_PAUSE: Duration = Duration::from_secs(60);
/// How often the claim of another replica is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How long the claim of another replica is awaited.
const CLAIM_WAIT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a renewal is awaited. It ends earlier by itself.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(100);

/// How the provider is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// The tokens are renewed.
    Renew,
    /// The stored key is tested.
    Test,
}

/// What is asked, and for whom.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) key: ConnectionKey,
    pub(super) given_out: GivenOut,
    pub(super) owner_user: Option<UserId>,
    pub(super) way: Way,
    pub(super) payer: Payer,
}

/// Asks, or waits for the replica that asks.
pub(super) async fn ask(context: Arc<Context>, question: Question) -> Settled {
    let deadline = Instant::now() + CLAIM_WAIT_TIMEOUT;
    let (key, given_out, reporter) = (&question.key, question.given_out, &question.payer.reporter);
    loop {
        match context.store.rejections().claim(key, given_out, reporter).await {
            Ok(Inquiry::Ours(claimed)) => return put(&context, &question, claimed).await,
            Ok(Inquiry::Standing(standing)) => {
                return Settled::of(standing, context.now()).unwrap_or(Settled::Changed);
            }
            Ok(Inquiry::Changed) => return Settled::Changed,
            Ok(Inquiry::Busy) if Instant::now() < deadline => tokio::time::sleep(POLL_INTERVAL).await,
            Ok(Inquiry::Busy) => return Settled::Failed(RefreshError::Unavailable { retry: POLL_INTERVAL }),
            Err(error) => return failed(&error),
        }
    }
}

/// Puts the question that this process has claimed, and writes down what came of it.
async fn put(context: &Arc<Context>, question: &Question, claimed: ClaimedInquiry) -> Settled {
    let rejections = context.store.rejections();
    if let Err(settled) = count(context, question).await {
        return rejections.release(&claimed).await.map_or_else(|error| failed(&error), |()| settled);
    }
    let (settled, finding, pause) = match question.way {
        Way::Renew => renew(context, question, claimed.calls).await,
        Way::Test => test(context, question, claimed.calls).await,
    };
    if let Err(error) = rejections.end(&claimed, finding, pause).await {
        // The next report finds the claim of this very process, and asks again.
        tracing::warn!(%error, "what came of a rejected credential could not be stored");
    }
    settled
}

/// Counts the call to the provider against those whose report causes it: on this replica for the connection, and then over
/// all replicas like a refresh or a test that they ask for by themselves.
async fn count(context: &Context, question: &Question) -> Result<(), Settled> {
    let Question { key, way, payer, .. } = question;
    let Payer { reporter, user, scope, limits } = payer;
    let spent = |spent| Settled::Spent(Box::new(payer.clone()), spent);
    let here = context.limits.count_inquiry(&reporter.service, &reporter.tenant, key.connection());
    here.map_err(|wait| spent(Spent::Reports(wait)))?;
    let kind = match way {
        Way::Renew => LimitKind::RefreshesPerMinute,
        Way::Test => LimitKind::TestsPerMinute,
    };
    let counted = Counted { tenant: &reporter.tenant, user: user.as_ref(), service: &reporter.service };
    match context.limits.count_everywhere(&context.store, scope, limits, kind, counted).await {
        Ok(()) => Ok(()),
        Err(Refusal::RateLimited(exceeded)) => Err(spent(Spent::Rate(exceeded))),
        Err(refusal) => {
            tracing::warn!(error = %refusal, "a call because of a rejected credential could not be counted");
            Err(Settled::Failed(RefreshError::Store))
        }
    }
}

async fn renew(context: &Context, question: &Question, calls: u32) -> (Settled, Finding, Duration) {
    let until = Instant::now() + RENEWAL_TIMEOUT;
    let (key, (_, generation)) = (question.key.clone(), question.given_out);
    match context.broker.refreshed_by(until, key, generation, Need::Now).await {
        Ok(()) => (Settled::Renewed, Finding::Renewed, pause(calls)),
        Err(RefreshError::Reauthorize) => (Settled::Refused, Finding::Refused, pause(calls)),
        Err(error) => {
            let (finding, pause) = match error {
                RefreshError::Unavailable { retry }
                | RefreshError::Answered { retry, .. }
                | RefreshError::Incident { retry }
                | RefreshError::Refused { retry } => (Finding::Unavailable, retry.min(MAX_OUTAGE_PAUSE)),
                RefreshError::Throttled { retry } => (Finding::Throttled, retry.min(MAX_OUTAGE_PAUSE)),
                // The refresher itself remembers these, and a cause that is gone must count at once.
                RefreshError::Reauthorize
                | RefreshError::Crowded { .. }
                | RefreshError::Incomplete
                | RefreshError::App { .. }
                | RefreshError::Clock { .. }
                | RefreshError::Nothing
                | RefreshError::Uncatalogued
                | RefreshError::Integrity
                | RefreshError::Store => (Finding::Unknown, Duration::ZERO),
            };
            (Settled::Failed(error), finding, pause)
        }
    }
}

async fn test(context: &Arc<Context>, question: &Question, calls: u32) -> (Settled, Finding, Duration) {
    let unknown = |settled| (settled, Finding::Unknown, Duration::ZERO);
    match test_by_vault(context, &question.key, question.owner_user.clone()).await {
        Ok(tested) if tested.given_out != question.given_out => unknown(Settled::Changed),
        Ok(tested) => match tested.verdict {
            Verdict::Refused => (Settled::Refused, Finding::Refused, pause(calls)),
            Verdict::Works { .. } | Verdict::Limited | Verdict::Unclear(_) => {
                (Settled::Accepted(context.now()), Finding::Accepted, pause(calls))
            }
        },
        Err(Refusal::Test(TestError::Throttled { retry })) => {
            let error = RefreshError::Throttled { retry };
            (Settled::Failed(error), Finding::Throttled, retry.min(MAX_PAUSE))
        }
        Err(Refusal::Test(TestError::Unavailable)) => {
            let retry = doubled(FIRST_OUTAGE_PAUSE, calls, MAX_OUTAGE_PAUSE);
            (Settled::Failed(RefreshError::Unavailable { retry }), Finding::Unavailable, retry)
        }
        // A setting is missing that the request needs, or the provider's file has no test any more.
        Err(Refusal::Invalid(_) | Refusal::Test(TestError::Untestable)) => unknown(Settled::Unverifiable),
        Err(Refusal::Refresh(error)) => unknown(Settled::Failed(error)),
        Err(refusal) => match refusal.class() {
            // Disabled, deleted or expired meanwhile: reading again shows it.
            Class::Denied | Class::Refused => unknown(Settled::Changed),
            Class::Broken if refusal.reason() == Reason::IntegrityFailure => {
                unknown(Settled::Failed(RefreshError::Integrity))
            }
            Class::Broken | Class::Exhausted | Class::Unavailable => {
                unknown(Settled::Failed(RefreshError::Store))
            }
        },
    }
}

/// How long no other report causes a call, after so many in a row.
fn pause(calls: u32) -> Duration {
    doubled(FIRST_PAUSE, calls, MAX_PAUSE)
}

fn doubled(first: Duration, calls: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << calls.saturating_sub(1).min(20)).min(longest)
}

fn failed(error: &StoreError) -> Settled {
    tracing::warn!(%error, "the vault's own database failed at a rejected credential");
    Settled::Failed(RefreshError::Store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_with_each_call_in_a_row_up_to_five_minutes() {
        let pauses = [0, 1, 2, 3, 4, 5, 7, u32::MAX].map(|calls| pause(calls).as_secs());
        assert_eq!(pauses, [30, 30, 60, 120, 240, 300, 300, 300]);
    }
}
