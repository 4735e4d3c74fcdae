//! Runs an operation to its end, in a task of its own, so that a caller who hangs up does not cut a change in half.

use std::panic::AssertUnwindSafe;

use credvault_store::Recorded;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tracing::Instrument as _;

use super::{Call, LONGEST_WORK, answer_room, record_refusal};
use crate::Refusal;
use crate::room::Share;

/// An answer that may be sent.
#[derive(Debug)]
pub struct Done<T> {
    /// The answer, with its record.
    pub answer: T,
    /// What it has of the room for answers: to be held until the answer was sent.
    pub share: Option<Share>,
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
/// }
/// ```
///
/// One that does not record does not compile:
///
/// ```compile_fail,E0271
/// use credvault_operations::{Call, Done, Refusal};
///
/// async fn serve(call: Call) -> Result<Done<String>, Refusal> {
///     credvault_operations::run(call, (), |_| Box::pin(async move { Ok(String::new()) })).await
/// }
/// ```
///
/// # Errors
/// The operation was refused, which is on record then.
pub async fn run<T, F>(mut call: Call, held: impl Send + 'static, operation: F) -> Result<Done<T>, Refusal>
where
    T: Send + 'static,
    F: for<'a> FnOnce(&'a mut Call) -> BoxFuture<'a, Result<Recorded<T>, Refusal>> + Send + 'static,
{
    let work = async move {
        // A panic: the runtime has printed where. The vault serves on, and the record says what the caller reads.
        let working = AssertUnwindSafe(work(&mut call, operation)).catch_unwind();
        let done = tokio::time::timeout(LONGEST_WORK, working).await;
        let done = done.unwrap_or(Ok(Err(Refusal::Deadline))).unwrap_or(Err(Refusal::Internal));
        let done = match done {
            Ok(done) => Ok(Done { answer: done.into_inner(), share: call.take_share() }),
            Err(refusal) => {
                record_refusal(&call.context, call.refused_event(&refusal), &refusal).await;
                Err(refusal)
            }
        };
        drop(held);
        done
    };
    // It fails only while the runtime ends.
    tokio::spawn(work.in_current_span()).await.unwrap_or(Err(Refusal::Internal))
}

async fn work<T, F>(call: &mut Call, operation: F) -> Result<Recorded<T>, Refusal>
where
    F: for<'a> FnOnce(&'a mut Call) -> BoxFuture<'a, Result<Recorded<T>, Refusal>>,
{
    call.room(answer_room::USUAL_BYTES).await?;
    call.enter()?;
    operation(call).await
}
