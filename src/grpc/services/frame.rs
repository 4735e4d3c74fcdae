//! From a gRPC request to the frame of a call, and from its answer to a response. The frame itself, with permission and
//! record, is `credvault_operations::call`.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use credvault_identity::Caller;
use credvault_operations::{Call, Context, Done, Entry, Recorded, Refusal, run};
use credvault_store::Turn;
use futures::future::{BoxFuture, ready};
use futures::stream::once;
use futures::{Stream, StreamExt as _};
use prost::Message;
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Extensions, Request, Response, Status};
use uuid::Uuid;

use crate::grpc::Arrived;
use crate::grpc::wire::{self, name_record};

/// What a handler answers.
pub(super) type Answer<T> = Result<Recorded<T>, Refusal>;

/// The responses of a call, one after the other.
pub(crate) type Responses<R> = Pin<Box<dyn Stream<Item = Result<R, Status>> + Send>>;

/// Implements a generated service trait: each RPC runs the handler of its name in the frame of a call. Those in
/// brackets stream: each is a function of its own, which ends in [`stream`].
macro_rules! rpcs {
    ($service:ty, $trait:path, $($rpc:ident: $request:ident -> $response:ident,)*) => {
        crate::grpc::services::frame::rpcs! { $service, $trait, [] $($rpc: $request -> $response,)* }
    };
    (
        $service:ty, $trait:path,
        [$($streaming:ident, $stream:ident: $asked:ident -> $streamed:ident;)*]
        $($rpc:ident: $request:ident -> $response:ident,)*
    ) => {
        #[tonic::async_trait]
        impl $trait for $service {
            $(
                type $stream = crate::grpc::services::frame::Responses<v1::$streamed>;

                async fn $streaming(
                    &self,
                    request: tonic::Request<v1::$asked>,
                ) -> Result<tonic::Response<Self::$stream>, tonic::Status> {
                    $streaming(&self.0, request).await
                }
            )*
            $(
                async fn $rpc(
                    &self,
                    request: tonic::Request<v1::$request>,
                ) -> Result<tonic::Response<v1::$response>, tonic::Status> {
                    crate::grpc::services::frame::serve(&self.0, request, |call, message| {
                        Box::pin($rpc(call, message))
                    })
                    .await
                }
            )*
        }
    };
}
pub(super) use rpcs;

/// A call's part of the limit on calls, of its tenant's share, and of the room for its message.
type Held = (OwnedSemaphorePermit, Turn, Arc<Arrived>);

/// A call that the gate has admitted: what is known of it before its message is read. It travels in the request's extensions.
#[derive(Clone)]
pub(crate) struct Admitted(Arc<AdmittedInner>);

struct AdmittedInner {
    entry: Entry,
    /// The call's part of what calls share. It goes with the work, which outlives a caller that hangs up.
    held: Mutex<Option<Held>>,
    handler_started: AtomicBool,
}

impl Admitted {
    pub(crate) fn new(entry: Entry, held: Held) -> Self {
        let (held, handler_started) = (Mutex::new(Some(held)), AtomicBool::new(false));
        Self(Arc::new(AdmittedInner { entry, held, handler_started }))
    }

    /// Whether a handler has taken the call on, and with it its audit record.
    pub(crate) fn handler_started(&self) -> bool {
        self.0.handler_started.load(Ordering::Acquire)
    }

    pub(crate) fn caller(&self) -> &Caller {
        &self.0.entry.caller
    }

    fn start_handler(&self) -> (Entry, Option<Held>) {
        self.0.handler_started.store(true, Ordering::Release);
        let held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        (self.0.entry.clone(), held)
    }
}

/// A handler of an RPC.
type Handler<Q, T> = for<'a> fn(&'a mut Call, Q) -> BoxFuture<'a, Answer<T>>;

/// Runs the handler of one RPC in the frame of a call.
pub(super) async fn serve<Q, R>(
    context: &Arc<Context>,
    request: Request<Q>,
    handler: Handler<Q, R>,
) -> Result<Response<R>, Status>
where
    Q: Send + 'static,
    R: Message + 'static,
{
    let (done, record) = answered(context, request, handler, R::encoded_len).await?;
    let mut response = Response::new(done.answer);
    name_record(record, response.metadata_mut());
    response.extensions_mut().insert(done.share.map(Arc::new));
    Ok(response)
}

/// Runs the handler that begins a stream, in the frame of a call. Beside the first response it gives what the others come from.
pub(super) async fn begin<Q, R, S>(
    context: &Arc<Context>,
    request: Request<Q>,
    handler: Handler<Q, (R, S)>,
) -> Result<(Response<R>, S), Status>
where
    Q: Send + 'static,
    R: Message + 'static,
    S: Send + 'static,
{
    let bytes = |(first, _): &(R, S)| first.encoded_len();
    let (done, record) = answered(context, request, handler, bytes).await?;
    let (first, rest) = done.answer;
    let mut response = Response::new(first);
    name_record(record, response.metadata_mut());
    Ok((response, rest))
}

/// Runs a handler, whose answer has so many `bytes`. Gives the id of the call's record, too.
async fn answered<Q, T>(
    context: &Arc<Context>,
    request: Request<Q>,
    handler: Handler<Q, T>,
    bytes: fn(&T) -> usize,
) -> Result<(Done<T>, Option<Uuid>), Status>
where
    Q: Send + 'static,
    T: Send + 'static,
{
    let (_, extensions, message) = request.into_parts();
    let Some(admitted) = extensions.get::<Admitted>() else {
        tracing::error!("a call came past the gate");
        return Err(wire::status(&Refusal::Internal, ""));
    };
    let (entry, held) = admitted.start_handler();
    let trace = entry.trace;
    let call = Call::of_service(context, entry);
    let ended = run(call, held, move |call| {
        Box::pin(async move {
            let done = handler(call, message).await?;
            // A change is done by now: if there is no room for its answer in time, the caller reads that the time is over.
            call.room(bytes(done.get())).await.map_err(|_| Refusal::Deadline)?;
            Ok(done)
        })
    });
    let ended = ended.await;
    match ended.outcome {
        Ok(done) => Ok((done, ended.record)),
        Err(refusal) => {
            let mut status = wire::status(&refusal, &trace.to_string());
            name_record(ended.record, status.metadata_mut());
            Err(status)
        }
    }
}

/// The first response of a call, whose record is durable, and then those that follow, each with room of its own.
pub(super) fn stream<R: Send + 'static>(
    first: Response<R>,
    rest: impl Stream<Item = Result<R, Status>> + Send + 'static,
) -> Response<Responses<R>> {
    let (metadata, message, _) = first.into_parts();
    let responses: Responses<R> = Box::pin(once(ready(Ok(message))).chain(rest));
    Response::from_parts(metadata, responses, Extensions::default())
}
