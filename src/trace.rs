//! W3C trace context (<https://www.w3.org/TR/trace-context/>): in from callers, out to whom we call.

use credvault_crypto::SystemRandom;
use credvault_domain::{Random as _, TraceId};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceState};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The header.
pub(crate) const HEADER: &str = "traceparent";

tokio::task_local! {
    /// The trace of the call in progress.
    pub(crate) static CURRENT: TraceId;
}

/// What a caller sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Parent {
    trace: [u8; 16],
    span: [u8; 8],
    flags: u8,
}

impl Parent {
    /// Reads a `traceparent`. What does not parse is as if it were not there.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // Version 00 has four parts; a later one may have more; ff is none.
        if version.len() != 2 || version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        u8::from_str_radix(version, 16).ok()?;
        let parsed = Self { trace: hex(trace)?, span: hex(span)?, flags: hex::<1>(flags)?[0] };
        (parsed.trace != [0; 16] && parsed.span != [0; 8]).then_some(parsed)
    }
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let lower = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if text.len() != 2 * N || !lower {
        return None;
    }
    let mut bytes = [0; N];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// Continues the caller's trace in `span`, or begins one, and tells its id.
pub(crate) fn enter(span: &tracing::Span, parent: Option<Parent>) -> TraceId {
    if let Some(Parent { trace, span: id, flags }) = parent {
        let flags = TraceFlags::new(flags);
        let remote = SpanContext::new(
            opentelemetry::TraceId::from_bytes(trace),
            SpanId::from_bytes(id),
            flags,
            true,
            TraceState::default(),
        );
        // Fails where no exporter is configured, and then there is nothing to link.
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(remote));
        return TraceId::from_bytes(trace);
    }
    let exported = span.context().span().span_context().trace_id();
    if exported != opentelemetry::TraceId::INVALID {
        return TraceId::from_bytes(exported.to_bytes());
    }
    new_id()
}

/// The id of a new trace.
pub(crate) fn new_id() -> TraceId {
    TraceId::from_bytes(random())
}

/// The `traceparent` for a call of our own, in the trace of the call in progress or a new one.
pub(crate) fn outgoing() -> String {
    let trace = CURRENT.try_with(|trace| *trace).unwrap_or_else(|_| new_id());
    let exported = tracing::Span::current().context().span().span_context().span_id();
    let span = if exported == SpanId::INVALID { SpanId::from_bytes(random()) } else { exported };
    format!("00-{trace}-{span}-01")
}

/// Random bytes that only have to differ.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [1; N];
    // Without randomness nothing else works either; an id of ones is as good as any then.
    let _ = SystemRandom.fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_standard_allows_is_a_parent() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parent = Parent::parse(good).expect("parent");
        assert_eq!(TraceId::from_bytes(parent.trace).to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert!(Parent::parse("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-later").is_some());
        for text in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-0af7651916cd43dd8448eb211c80319é-b7ad6b7169203331-01",
        ] {
            assert_eq!(Parent::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_goes_out_is_what_comes_in() {
        assert!(Parent::parse(&outgoing()).is_some());
    }
}
