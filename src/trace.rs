//! W3C trace context (<https://www.w3.org/TR/trace-context/>): `traceparent` and `tracestate`, in from callers and out
//! to the servers that the vault itself calls. OpenTelemetry's propagator reads and writes them. Providers of
//! credentials never receive a trace.

use std::future::Future;

use credvault_crypto::SystemRandom;
use credvault_domain::{Random as _, TraceId};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceState};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
/// The trace's id in an answer.
const TRACE_ID: &str = "x-trace-id";

/// The length of a `traceparent` of version 00.
const TRACEPARENT_BYTES: usize = 55;
/// A longer `tracestate` is dropped. The standard asks that at least this much is passed on.
const MAX_TRACESTATE_BYTES: usize = 512;

tokio::task_local! {
    /// The trace of the call in progress.
    static CURRENT: Trace;
}

/// The trace that a call belongs to: its caller's, or one that begins here.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Trace(SpanContext);

impl Trace {
    /// Continues the caller's trace in `span`. Begins a trace if the headers name none that the standard allows.
    pub(crate) fn enter(span: &tracing::Span, headers: &HeaderMap) -> Self {
        let parent =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &Received::new(headers));
        if let Some(caller) = valid(&parent) {
            // This fails where no exporter is configured. There is nothing to link then.
            let _ = span.set_parent(parent);
            return Self(caller);
        }
        valid(&span.context()).map_or_else(Self::begin, Self)
    }

    /// A new trace. It is marked as sampled, so that servers further on record it.
    fn begin() -> Self {
        let (trace, span) = (opentelemetry::TraceId::from_bytes(random()), SpanId::from_bytes(random()));
        Self(SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::NONE))
    }

    /// The id, as records and errors show it.
    pub(crate) fn id(&self) -> TraceId {
        TraceId::from_bytes(self.0.trace_id().to_bytes())
    }

    /// Runs `call` in this trace: [`outgoing`] continues it.
    pub(crate) async fn scope<F: Future>(self, call: F) -> F::Output {
        CURRENT.scope(self, call).await
    }
}

/// Names the trace in the metadata of an answer, so that a caller of a call that went well knows it, too.
pub(crate) fn announce<B>(trace: TraceId, response: &mut Response<B>) {
    if let Ok(value) = HeaderValue::try_from(trace.to_string()) {
        response.headers_mut().insert(TRACE_ID, value);
    }
}

/// The headers for a request of our own, in the trace of the call in progress or in a new one. Without an exporter the
/// vault has no spans of its own and passes on what its caller sent.
pub(crate) fn outgoing() -> HeaderMap {
    let mut context = tracing::Span::current().context();
    if valid(&context).is_none() {
        let Trace(current) = CURRENT.try_with(Trace::clone).unwrap_or_else(|_| Trace::begin());
        context = Context::new().with_remote_span_context(current);
    }
    let mut headers = Sent(HeaderMap::new());
    TraceContextPropagator::new().inject_context(&context, &mut headers);
    headers.0
}

fn valid(context: &Context) -> Option<SpanContext> {
    let span = context.span().span_context().clone();
    span.is_valid().then_some(span)
}

/// A caller's headers, as the propagator reads them.
struct Received<'h> {
    traceparent: Option<&'h str>,
    tracestate: Option<String>,
}

impl<'h> Received<'h> {
    fn new(headers: &'h HeaderMap) -> Self {
        let mut parents = headers.get_all(TRACEPARENT).iter();
        let only = parents.next().filter(|_| parents.next().is_none());
        let traceparent =
            only.and_then(|parent| parent.to_str().ok()).filter(|parent| is_well_formed(parent));
        // Several headers are one list (RFC 9110, section 5.3).
        let states: Option<Vec<_>> =
            headers.get_all(TRACESTATE).iter().map(|state| state.to_str().ok()).collect();
        let tracestate = states.map(|states| states.join(","));
        Self { traceparent, tracestate: tracestate.filter(|state| state.len() <= MAX_TRACESTATE_BYTES) }
    }
}

impl Extractor for Received<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            TRACEPARENT => self.traceparent,
            TRACESTATE => self.tracestate.as_deref(),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT, TRACESTATE]
    }
}

/// Whether the parts have the lengths and the digits that the standard fixes. The propagator reads numbers and would
/// take shorter ones and signs.
fn is_well_formed(traceparent: &str) -> bool {
    let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = traceparent.split('-');
    let fixed = [2, 32, 16, 2]
        .into_iter()
        .all(|length| parts.next().is_some_and(|part| part.len() == length && is_hex(part)));
    // Later versions may add parts.
    fixed && (!traceparent.starts_with("00") || traceparent.len() == TRACEPARENT_BYTES)
}

/// The headers of a request, as the propagator writes them.
struct Sent(HeaderMap);

impl Injector for Sent {
    fn set(&mut self, key: &str, value: String) {
        // An empty `tracestate` says nothing.
        if value.is_empty() {
            return;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

/// Random bytes. They only have to differ from those of other traces.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [1; N];
    // Nothing else works without randomness either. An id of ones is as good as any other then.
    let _ = SystemRandom.fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests;
