//! `BatchFetchCredentials`: many fetches, each with its own outcome, in one answer that every client takes.

use std::sync::atomic::{AtomicUsize, Ordering};

use credvault_domain::{Action, AuditEvent, ConnectionId, TenantId, Violations};
use credvault_identity::Facts;
use credvault_store::{PAGE_BYTES, Recorded, Weighed as _};
use futures::StreamExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::fetch::{Found, find};
use super::{Credential, Fetch};
use crate::call::note_refusal;
use crate::{Call, Parsed, Refusal};

/// How many fetches a batch has at most.
const MAX_FETCHES: usize = 100;
/// How many of them are in progress at once.
const FETCHES_AT_ONCE: usize = 8;
/// How many bytes the outcome of one fetch has at most: 64 KiB of fields, the same in the ready-made request, and
/// settings.
const LARGEST_OUTCOME_BYTES: usize = 256 * 1024;
/// How many bytes an outcome without a credential has, about: its text stands there up to four times.
const REFUSAL_BYTES: usize = 4 * 1024;

/// `BatchFetchCredentials`: an outcome for each fetch, in their order.
///
/// # Errors
/// Policy does not permit batches, or there are too many fetches.
pub async fn fetch_batch(
    call: &mut Call,
    fetches: Vec<Parsed<Fetch>>,
) -> Result<Recorded<Vec<Result<Credential, Refusal>>>, Refusal> {
    let scope = call.scope()?;
    let permit = call.permit(&scope, Facts::default())?;
    let count = fetches.len();
    check_count(call, count)?;
    // The frame has counted one already.
    let rest = u32::try_from(count - 1).unwrap_or(u32::MAX);
    call.count(&scope, rest)?;
    call.room(PAGE_BYTES.min(count * LARGEST_OUTCOME_BYTES)).await?;
    let budget = &Budget::default();
    let whole: &Call = call;
    let one = |fetch| async move {
        match budget.begin().await {
            Some(permit) => {
                let outcome = Outcome::of(whole.part(Action::FetchCredential), fetch).await;
                budget.end(permit, outcome.bytes());
                outcome
            }
            None => Outcome::not_begun(),
        }
    };
    let outcomes: Vec<Outcome> =
        futures::stream::iter(fetches).map(one).buffered(FETCHES_AT_ONCE).collect().await;
    let (mut results, mut used) = (Vec::with_capacity(count), Vec::new());
    let mut events = vec![call.event_of(&permit)];
    for outcome in outcomes {
        results.push(outcome.result);
        events.extend(outcome.event);
        used.extend(outcome.used);
    }
    Ok(call.context.store.audit().record_fetches(&permit, events, used, results).await?)
}

/// Refuses a batch that is too large to be taken, now or ever.
fn check_count(call: &Call, count: usize) -> Result<(), Violations> {
    if !(1..=MAX_FETCHES).contains(&count) {
        return Err(Violations::of("requests", "must be 1 to 100"));
    }
    match call.at_once().filter(|burst| *burst < count as u64) {
        Some(burst) => {
            let rule =
                format!("must be at most {burst}, because the tenant's limits permit no more calls at once");
            Err(Violations::of("requests", rule))
        }
        None => Ok(()),
    }
}

/// How many bytes of the answer are left. A fetch begins while the largest outcome fits, and those that are in progress
/// count as that: so nothing is read that could not be sent.
struct Budget {
    left: Semaphore,
    spent: AtomicUsize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: Semaphore::new(PAGE_BYTES), spent: AtomicUsize::new(0) }
    }
}

impl Budget {
    /// Waits for a turn; `None` if the answer is full.
    async fn begin(&self) -> Option<SemaphorePermit<'_>> {
        self.left.acquire_many(LARGEST_OUTCOME_BYTES as u32).await.ok()
    }

    /// Notes how large an outcome has become.
    fn end(&self, mut permit: SemaphorePermit<'_>, bytes: usize) {
        let bytes = bytes.min(LARGEST_OUTCOME_BYTES);
        if let Some(used) = permit.split(bytes) {
            used.forget();
        }
        let spent = self.spent.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if PAGE_BYTES - spent.min(PAGE_BYTES) < LARGEST_OUTCOME_BYTES {
            self.left.close();
        }
    }
}

/// What became of one fetch.
struct Outcome {
    result: Result<Credential, Refusal>,
    /// The record of it. A fetch that did not begin has none, for it looked at nothing.
    event: Option<AuditEvent>,
    used: Option<(TenantId, ConnectionId)>,
}

impl Outcome {
    async fn of(mut call: Call, fetch: Parsed<Fetch>) -> Self {
        let found = match fetch {
            Ok(fetch) => find(&mut call, fetch).await,
            Err(wrong) => Err(wrong.into()),
        };
        match found {
            Ok(Found { credential, permit, used }) => {
                Self { result: Ok(credential), event: Some(call.event_of(&permit)), used: Some(used) }
            }
            Err(refusal) => {
                note_refusal(call.action, &refusal);
                let event = Some(call.refused_event(&refusal));
                Self { result: Err(refusal), event, used: None }
            }
        }
    }

    fn not_begun() -> Self {
        Self { result: Err(Refusal::AnswerFull), event: None, used: None }
    }

    fn bytes(&self) -> usize {
        self.result.as_ref().map_or(REFUSAL_BYTES, Credential::weight)
    }
}
