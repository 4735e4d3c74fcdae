//! Runs an operation to its end, in a task of its own, so that a caller who hangs up does not cut a change in half.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use credvault_store::Recorded;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use uuid::Uuid;

use super::{Call, LONGEST_WORK, answer_room, record_refusal};
use crate::Refusal;
use crate::room::Share;

/// An answer that may be sent.
#[derive(Debug)]
pub struct Done<T> {
    /// The answer, whose record is durable.
    pub answer: T,
    /// What it has of the room for answers: to be held until the answer was sent.
    pub share: Option<Share>,
}

/// A call that has come to its end.
#[derive(Debug)]
pub struct Ended<T> {
    /// The answer, or why there is none.
    pub outcome: Result<Done<T>, Refusal>,
    /// The id of the record of how it ended; none if that could not be recorded.
    pub record: Option<Uuid>,
}

/// Runs an operation and records its refusal. `held` is what the call holds until its work is over, such as its part of a
/// limit.
///
/// An operation that records:
///
/// ```
/// use credvault_operations::{Call, Done, Refusal};
///
/// async fn serve(call: Call) -> Result<Done<String>, Refusal> {
///     credvault_operations::run(call, (), |call| {
///         Box::pin(async move {
///             let permit = call.permit_catalog(Default::default())?;
///             call.recorded(&permit, String::new()).await
///         })
///     })
///     .await
///     .outcome
/// }
/// ```
///
/// One that does not record does not compile:
///
/// ```compile_fail,E0271
/// use credvault_operations::{Call, Done, Refusal};
///
/// async fn serve(call: Call) -> Result<Done<String>, Refusal> {
///     credvault_operations::run(call, (), |_| Box::pin(async move { Ok(String::new()) })).await.outcome
/// }
/// ```
///
pub async fn run<T, F>(mut call: Call, held: impl Send + 'static, operation: F) -> Ended<T>
where
    T: Send + 'static,
    F: for<'a> FnOnce(&'a mut Call) -> BoxFuture<'a, Result<Recorded<T>, Refusal>> + Send + 'static,
{
    let context = Arc::clone(&call.context);
    let work = async move {
        // A panic: the runtime has printed where. The vault serves on, and the record says what the caller reads.
        let working = AssertUnwindSafe(operate(&mut call, operation)).catch_unwind();
        let ended = tokio::time::timeout(LONGEST_WORK, working).await;
        let outcome = ended.unwrap_or(Ok(Err(Refusal::Deadline))).unwrap_or(Err(Refusal::Internal));
        let record = match &outcome {
            Ok(recorded) => recorded.record(),
            Err(refusal) => record_refusal(&call.context, call.refused_event(refusal), refusal).await,
        };
        drop(held);
        let done = |recorded: Recorded<T>| Done { answer: recorded.into_inner(), share: call.take_share() };
        Ended { outcome: outcome.map(done), record }
    };
    // It fails only while the runtime ends.
    context.spawn(work).await.unwrap_or(Ended { outcome: Err(Refusal::Internal), record: None })
}

async fn operate<T, F>(call: &mut Call, operation: F) -> Result<Recorded<T>, Refusal>
where
    F: for<'a> FnOnce(&'a mut Call) -> BoxFuture<'a, Result<Recorded<T>, Refusal>>,
{
    call.enter().await?;
    call.room(answer_room::USUAL_BYTES).await?;
    operation(call).await
}
