//! What comes in goes out, with an exporter and without, and what the standard does not allow is ignored.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

fn text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default()
}

/// The headers that a call with these headers sends on: `traceparent` and `tracestate`.
fn sent_on(received: &HeaderMap) -> (String, String) {
    let span = tracing::info_span!("call");
    let trace = Trace::enter(&span, received);
    let sent = span.in_scope(|| CURRENT.sync_scope(trace, outgoing));
    (text(&sent, TRACEPARENT), text(&sent, TRACESTATE))
}

/// The same in a process that exports spans.
fn sent_on_by_an_exporter(received: &HeaderMap) -> (String, String) {
    let provider = SdkTracerProvider::builder().build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(subscriber, || sent_on(received))
}

fn is_followed(traceparent: &str) -> bool {
    let received = HeaderMap::from_iter([(
        HeaderName::from_static(TRACEPARENT),
        HeaderValue::from_str(traceparent).expect("text"),
    )]);
    sent_on(&received).0.contains(TRACE)
}

#[test]
fn a_parent_of_the_standard_is_followed() {
    assert!(is_followed(SAMPLED) && is_followed(UNSAMPLED));
    assert!(is_followed("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-later"));
    let trace = Trace::enter(&tracing::Span::none(), &headers(&[(TRACEPARENT, SAMPLED)]));
    assert_eq!(trace.id().to_string(), TRACE);
}

#[test]
fn another_parent_is_ignored() {
    for text in [
        "",
        "00",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
        "00-0af7651916cd43dd8448eb211c80319e-b7ad6b716920333-01",
        "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319x-b7ad6b7169203331-01",
        "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        // As many characters as a parent has, one of them beyond ASCII: a header may contain such bytes.
        "00-0af7651916cd43dd8448eb211c80319é-b7ad6b7169203331-01",
    ] {
        let received = HeaderMap::from_iter([(
            HeaderName::from_static(TRACEPARENT),
            HeaderValue::from_bytes(text.as_bytes()).expect("a header"),
        )]);
        let span = tracing::Span::none();
        assert!(!Trace::enter(&span, &received).0.is_remote(), "{text}");
    }
    let twice = headers(&[(TRACEPARENT, SAMPLED), (TRACEPARENT, UNSAMPLED)]);
    assert!(!sent_on(&twice).0.contains(TRACE), "which of two parents counts is unknown");
}

#[test]
fn without_an_exporter_the_callers_context_is_passed_on() {
    let state = "vendor=opaque,other@vendor=1";
    for parent in [SAMPLED, UNSAMPLED] {
        let sent = sent_on(&headers(&[(TRACEPARENT, parent), (TRACESTATE, state)]));
        assert_eq!(sent, (parent.to_owned(), state.to_owned()));
    }
}

#[test]
fn with_an_exporter_the_parent_is_our_span_and_the_rest_stays() {
    let state = "vendor=opaque,other@vendor=1";
    for parent in [SAMPLED, UNSAMPLED] {
        let (sent, sent_state) =
            sent_on_by_an_exporter(&headers(&[(TRACEPARENT, parent), (TRACESTATE, state)]));
        assert!(is_well_formed(&sent), "{sent}");
        assert_eq!(sent[..36], parent[..36], "the trace stays");
        assert_ne!(sent[36..52], parent[36..52], "the span is ours");
        assert_eq!(sent[52..], parent[52..], "a parent that is not sampled stays so");
        assert_eq!(sent_state, state);
    }
}

#[test]
fn a_call_without_a_parent_begins_a_sampled_trace() {
    for (sent, state) in [sent_on(&HeaderMap::new()), sent_on_by_an_exporter(&HeaderMap::new())] {
        assert!(is_well_formed(&sent) && sent.ends_with("-01"), "{sent}");
        assert_eq!(state, "");
    }
    let sent = outgoing();
    assert!(is_well_formed(&text(&sent, TRACEPARENT)), "outside of a call as well");
    assert!(!sent.contains_key(TRACESTATE));
}

#[test]
fn several_states_are_one_list() {
    let received = headers(&[(TRACEPARENT, SAMPLED), (TRACESTATE, "a=1"), (TRACESTATE, "b=2")]);
    assert_eq!(sent_on(&received).1, "a=1,b=2");
}

#[test]
fn a_state_that_is_broken_or_too_long_is_dropped_and_the_parent_kept() {
    let long: &'static str = format!("a={}", "x".repeat(MAX_TRACESTATE_BYTES)).leak();
    for state in ["no list", "a=1,B=2", long] {
        let sent = sent_on(&headers(&[(TRACEPARENT, SAMPLED), (TRACESTATE, state)]));
        assert_eq!(sent, (SAMPLED.to_owned(), String::new()), "{state}");
    }
}

#[test]
fn a_state_without_a_parent_is_ignored() {
    assert_eq!(sent_on(&headers(&[(TRACESTATE, "a=1")])).1, "");
}
