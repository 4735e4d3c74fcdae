//! `BatchFetchCredentials`: many fetches, each with its own outcome, in one answer that every client takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use credvault_domain::{Action, AuditEvent, ConnectionId, TenantId, Violations};
use credvault_identity::Facts;
use credvault_store::{PAGE_BYTES, Recorded};
use futures::StreamExt as _;
use prost::Message as _;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::vault::{Found, fetch};
use crate::call::{Call, note_refusal};
use crate::proto::v1;
use crate::wire;
use credvault_operations::Refusal;

/// The most fetches of a batch.
const MOST: usize = 100;
/// How many of them are in progress at once.
const WIDTH: usize = 8;
/// The largest outcome of one fetch: 64 KiB of fields, the same in the ready-made request, and settings.
const LARGEST: usize = 256 * 1024;

pub(super) async fn batch_fetch_credentials(
    call: Arc<Call>,
    request: v1::BatchFetchCredentialsRequest,
) -> Result<Recorded<v1::BatchFetchCredentialsResponse>, Refusal> {
    let scope = call.scope()?;
    call.permit(&scope, Facts::default())?;
    let count = request.requests.len();
    if !(1..=MOST).contains(&count) {
        return Err(Violations::of("requests", "must be 1 to 100").into());
    }
    if let Some(burst) = call.vault.burst.filter(|burst| u64::from(burst.get()) < count as u64) {
        let rule =
            format!("must be at most {burst}: the vault's limits.rate_burst never lets more pass at once");
        return Err(Violations::of("requests", rule).into());
    }
    // The frame has counted one already.
    call.vault.count(&call.caller.service, scope.tenant(), u32::try_from(count - 1).unwrap_or(u32::MAX))?;
    call.room(PAGE_BYTES.min(count * LARGEST)).await?;
    let (scope, whole, budget) = (&scope, &call, &Budget::default());
    let one = |request| async move {
        let Some(permit) = budget.begin().await else { return Outcome::not_begun() };
        let call = whole.part(Action::FetchCredential);
        let outcome = match fetch(&call, scope, request).await {
            Ok(found) => Outcome::found(found, call.event()),
            Err(refusal) => {
                note_refusal(call.action, &refusal);
                Outcome::refused(&refusal, call.refused_event(&refusal))
            }
        };
        budget.end(permit, outcome.result.encoded_len());
        outcome
    };
    let outcomes: Vec<Outcome> =
        futures::stream::iter(request.requests).map(one).buffered(WIDTH).collect().await;
    let (mut results, mut events, mut used) = (Vec::with_capacity(count), vec![call.event()], Vec::new());
    for outcome in outcomes {
        results.push(outcome.result);
        events.extend(outcome.event);
        used.extend(outcome.used);
    }
    let response = v1::BatchFetchCredentialsResponse { results };
    call.room_for(&response).await?;
    Ok(call.vault.store.audit().record_fetches(events, used, response).await?)
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
        self.left.acquire_many(LARGEST as u32).await.ok()
    }

    /// Notes how large an outcome has become.
    fn end(&self, mut permit: SemaphorePermit<'_>, bytes: usize) {
        let bytes = bytes.min(LARGEST);
        if let Some(used) = permit.split(bytes) {
            used.forget();
        }
        let spent = self.spent.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if PAGE_BYTES - spent.min(PAGE_BYTES) < LARGEST {
            self.left.close();
        }
    }
}

/// What became of one fetch.
struct Outcome {
    result: v1::BatchFetchCredentialsResult,
    /// The record of it; none of what was not begun, for nothing was looked at.
    event: Option<AuditEvent>,
    used: Option<(TenantId, ConnectionId)>,
}

impl Outcome {
    fn found(Found { credential, used }: Found, event: AuditEvent) -> Self {
        let outcome = v1::batch_fetch_credentials_result::Outcome::Credential(credential);
        Self { result: of(outcome), event: Some(event), used: Some(used) }
    }

    fn refused(refusal: &Refusal, event: AuditEvent) -> Self {
        Self { event: Some(event), ..Self::error(refusal) }
    }

    fn not_begun() -> Self {
        Self::error(&Refusal::AnswerFull)
    }

    fn error(refusal: &Refusal) -> Self {
        let outcome = v1::batch_fetch_credentials_result::Outcome::Error(wire::fetch_error(refusal));
        Self { result: of(outcome), event: None, used: None }
    }
}

fn of(outcome: v1::batch_fetch_credentials_result::Outcome) -> v1::BatchFetchCredentialsResult {
    v1::BatchFetchCredentialsResult { outcome: Some(outcome) }
}
