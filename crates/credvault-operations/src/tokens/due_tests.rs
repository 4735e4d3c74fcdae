//! The job that tests stored credentials once in a while, so that a key that was withdrawn shows before it is needed.

use std::sync::Arc;
use std::time::Duration;

use credvault_broker::TestError;
use credvault_catalog::Verdict;
use credvault_domain::{Reason, TenantId, chain, jitter};
use credvault_store::{DueTest, Error as StoreError, Full, Turns};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Tested;
use super::test::test_by_vault;
use crate::{Class, Context, Refusal};

/// How often the job looks for what is due.
const SEARCH_INTERVAL: Duration = Duration::from_secs(2);
/// How often it looks while more is due than it has turns for.
const CROWDED_SEARCH_INTERVAL: Duration = Duration::from_millis(200);
/// How many tests one search finds at most.
const MAX_FOUND: u64 = 64;
/// How many searches one look makes, each without the tenants that have their share.
const MAX_SEARCHES: usize = 4;
/// How many tests run at once.
const TESTS_AT_ONCE: usize = 8;
/// When a test without an answer is repeated, about.
const RETRY_DELAY: Duration = Duration::from_secs(3600);

/// Tests each credential about once in `interval`, until `stop`; then waits for the tests under way.
pub async fn run(context: Arc<Context>, interval: Duration, stop: CancellationToken) {
    let (turns, tests) = (Turns::new(TESTS_AT_ONCE), TaskTracker::new());
    let mut pause = SEARCH_INTERVAL;
    while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        let all = begin_due(&context, interval, &turns, &tests).await.unwrap_or_else(|error| {
            tracing::warn!(error = chain(&error), "due tests could not be looked for");
            true
        });
        pause = if all { SEARCH_INTERVAL } else { CROWDED_SEARCH_INTERVAL };
    }
    tests.close();
    tests.wait().await;
}

/// Begins as many of the due tests as there are turns. A tenant that has its share of them must not hide what is due of
/// others. The answer is whether that was all.
async fn begin_due(
    context: &Arc<Context>,
    interval: Duration,
    turns: &Turns,
    tests: &TaskTracker,
) -> Result<bool, StoreError> {
    let mut without: Vec<TenantId> = Vec::new();
    for _ in 0..MAX_SEARCHES {
        let known = without.len();
        let due = context.store.due_tests(MAX_FOUND, &without).await?;
        let all = (due.len() as u64) < MAX_FOUND;
        for due in due {
            let tenant = due.key.tenant();
            if without.contains(tenant) {
                continue;
            }
            match turns.try_take(tenant) {
                Ok(turn) => {
                    let context = Arc::clone(context);
                    tests.spawn(async move {
                        if let Err(error) = run_due_test(&context, due, interval).await {
                            tracing::warn!(
                                error = chain(&error),
                                "the vault's own database failed during a test"
                            );
                        }
                        drop(turn);
                    });
                }
                Err(Full::Tenant) => without.push(tenant.clone()),
                Err(Full::All) => return Ok(false),
            }
        }
        if all || without.len() == known {
            return Ok(without.is_empty());
        }
    }
    Ok(false)
}

/// Schedules the next test, and runs this one if no other replica does: the first replica that schedules it runs it.
async fn run_due_test(context: &Arc<Context>, due: DueTest, interval: Duration) -> Result<(), StoreError> {
    // A credential without a test so far gets one at any time of the interval, so that what came together is not tested
    // together.
    let spread = if due.time.is_some() { 0.8..=1.2 } else { 0.0..=1.0 };
    let next = context.now().after(interval.mul_f64(jitter(&*context.random, spread)));
    if !context.store.schedule_test(&due, next).await? || due.time.is_none() {
        return Ok(());
    }
    let outcome = match test_by_vault(context, &due.key, due.owner_user.clone()).await {
        Ok(tested) => outcome(&tested),
        // The provider's file has no test.
        Err(Refusal::Test(TestError::Untestable)) => "untested",
        // The next test follows after the interval.
        Err(refusal) if refusal.reason() == Reason::IntegrityFailure => "integrity",
        Err(refusal) => {
            if matches!(refusal.class(), Class::Unavailable | Class::Exhausted) {
                let sooner = RETRY_DELAY.mul_f64(jitter(&*context.random, 0.5..=1.5)).min(interval);
                let again = DueTest { time: Some(next), ..due };
                context.store.schedule_test(&again, context.now().after(sooner)).await?;
            }
            "unknown"
        }
    };
    metrics::counter!("credvault_connection_tests_total", "outcome" => outcome).increment(1);
    Ok(())
}

/// What metrics call the result of a test.
fn outcome(tested: &Tested) -> &'static str {
    match tested.verdict {
        _ if tested.account_changed() => "other_account",
        Verdict::Refused => "refused",
        Verdict::Works { .. } | Verdict::Limited | Verdict::Unclear(_) => "works",
    }
}
