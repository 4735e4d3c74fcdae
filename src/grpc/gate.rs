//! What every request goes through before its message is read, in this order: trace, deadline, share of the limit on calls,
//! certificate, tenant, policy's first look. And what every answer goes through: metrics, and the record of
//! calls that no handler took on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use credvault_domain::{Action, AuditEvent, Clock, Reason, TenantId, TenantSource, TraceId};
use credvault_identity::{Caller, Error as IdentityError, Identity, Presented};
use credvault_store::Turns;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::ServiceExt as _;
use tracing::Instrument as _;

use super::answer::Answer;
use super::arrival::{Arrived, Arriving};
use super::peer::Peer;
use super::services::Admitted;
use super::wire::{self, code_name};
use crate::settings::Limits;
use crate::shared::Shared;
use crate::trace::{Trace, announce};
use credvault_operations::{Context, Entry, Refusal, record_refusal, tenant_name};

/// The longest time for a message to arrive: a caller that sends none holds a share of the limit on calls.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest deadline that a caller may ask for.
const LONGEST_DEADLINE: Duration = Duration::from_secs(60);

/// The checks that every request passes before its message is read.
pub(crate) struct Gate {
    context: Arc<Context>,
    identity: Arc<Identity>,
    clock: Arc<dyn Clock>,
    router: Router,
    calls: Arc<Semaphore>,
    /// Each tenant's share of them.
    shares: Turns,
    deadline: Duration,
}

impl Gate {
    pub(crate) fn new(shared: &Shared, router: Router, limits: &Limits) -> Self {
        let Shared { identity, clock, context, .. } = shared.clone();
        let (calls, shares) = (Arc::new(Semaphore::new(limits.calls)), Turns::new(limits.calls));
        Self { context, identity, clock, router, calls, shares, deadline: limits.deadline }
    }

    /// Checks one request and answers it.
    pub(crate) async fn serve(&self, peer: &Peer, request: Request<Incoming>) -> Response<Answer> {
        let begun = Instant::now();
        let action = Action::from_path(request.uri().path());
        let name = action.map_or("other", Action::as_str);
        if let Some(response) = not_grpc(&request) {
            // As clients of gRPC understand the status.
            let code = code_name(Code::Unknown);
            metrics::counter!("credvault_calls_total", "action" => name, "code" => code).increment(1);
            return Answer::of(response, &peer.account, &peer.unsent);
        }
        let span = tracing::info_span!("call", action = name, trace_id = tracing::field::Empty);
        let trace = Trace::enter(&span, request.headers());
        let trace_id = trace.id();
        span.record("trace_id", tracing::field::display(trace_id));
        let response = async {
            match action {
                Some(action) => self.call(peer, action, trace_id, request).await,
                None => self.other(peer, trace_id, request).await,
            }
        };
        let mut response = trace.scope(response.instrument(span)).await;
        announce(trace_id, &mut response);
        let code = code_name(code_of(&response));
        metrics::counter!("credvault_calls_total", "action" => name, "code" => code).increment(1);
        metrics::histogram!("credvault_call_seconds", "action" => name).record(begun.elapsed().as_secs_f64());
        Answer::of(response, &peer.account, &peer.unsent)
    }

    /// Reflection and health: for every service with a certificate that counts. Those that stream last as long as
    /// their connection, so they hold no share of the limit on calls while they do.
    async fn other(&self, peer: &Peer, trace: TraceId, request: Request<Incoming>) -> Response<Body> {
        if self.calls.available_permits() == 0 {
            return wire::status(&Refusal::Overloaded, &trace.to_string()).into_http();
        }
        let trust = self.identity.trust();
        match trust.service(&peer.certificate, &peer.checked, self.clock.present()) {
            Ok(_) => self.route(request.map(Body::new)).await,
            Err(error) => wire::status(&IdentityError::from(error).into(), &trace.to_string()).into_http(),
        }
    }

    async fn call(
        &self,
        peer: &Peer,
        action: Action,
        trace: TraceId,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let deadline = tokio::time::Instant::now() + self.deadline(request.headers());
        // A call that is shed is counted and no more: looking into it, or recording it, is what there is no room for.
        let Ok(permit) = Arc::clone(&self.calls).try_acquire_owned() else {
            return shed(action, trace);
        };
        let arrived = Arc::new(Arrived::default());
        let admitted = match self.admit(peer, action, request.headers(), deadline).await {
            Ok(caller) => {
                let tenant = caller.tenant.as_ref().map(|verified| verified.tenant.clone());
                let Ok(turn) = self.shares.try_take(&tenant.unwrap_or_else(TenantId::platform)) else {
                    return shed(action, trace);
                };
                let account = peer.account.clone();
                let entry = Entry { caller: Arc::new(caller), action, trace, deadline, account };
                Admitted::new(entry, (permit, turn, Arc::clone(&arrived)))
            }
            Err((caller, refusal)) => {
                // The permit is held on: refusing and recording it is work, too.
                let mut event = self.event(peer, action, trace, caller.as_ref(), &refusal);
                event.changed.extend(asserted(&refusal, request.headers()));
                return self.refuse(event, refusal, trace).await;
            }
        };
        let arriving = |body| Body::new(Arriving::new(body, peer.account.clone(), Arc::clone(&arrived)));
        let mut request = request.map(arriving);
        request.extensions_mut().insert(admitted.clone());
        let response = tokio::time::timeout_at(deadline, self.route(request));
        let Some(response) = unless_unread(response, &admitted).await else {
            let refusal = Refusal::Unreadable("the message did not arrive within 5 seconds".to_owned());
            let event = self.event(peer, action, trace, Some(admitted.caller()), &refusal);
            return self.refuse(event, refusal, trace).await;
        };
        if arrived.is_refused() && !admitted.handler_started() {
            return shed(action, trace);
        }
        let refusal = match response {
            Ok(response) => match unread(&response) {
                Some(refusal) if !admitted.handler_started() => refusal,
                _ => return response,
            },
            Err(_) => Refusal::Deadline,
        };
        // A handler that has entered records its own outcome when it is done with it.
        if admitted.handler_started() {
            return wire::status(&refusal, &trace.to_string()).into_http();
        }
        let event = self.event(peer, action, trace, Some(admitted.caller()), &refusal);
        self.refuse(event, refusal, trace).await
    }

    /// Authenticates the caller, and refuses a service to which no policy permits the action.
    async fn admit(
        &self,
        peer: &Peer,
        action: Action,
        headers: &HeaderMap,
        deadline: tokio::time::Instant,
    ) -> Result<Caller, (Option<Caller>, Refusal)> {
        let identity = &self.identity;
        let presented = presented(headers).map_err(|error| (None, error.into()))?;
        let present = self.clock.present();
        let authenticated =
            identity.authenticate(&peer.certificate, &peer.checked, peer.address, presented, present);
        let caller = match tokio::time::timeout_at(deadline, authenticated).await {
            Ok(result) => result.map_err(|error| (None, error.into()))?,
            Err(_) => return Err((None, Refusal::Deadline)),
        };
        match identity.admit(&caller, action) {
            Ok(()) => Ok(caller),
            Err(error) => Err((Some(caller), error.into())),
        }
    }

    async fn route(&self, request: Request<Body>) -> Response<Body> {
        match self.router.clone().oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        }
    }

    /// The record of a call that no handler took on.
    fn event(
        &self,
        peer: &Peer,
        action: Action,
        trace: TraceId,
        caller: Option<&Caller>,
        refusal: &Refusal,
    ) -> AuditEvent {
        let verified = caller.and_then(|caller| caller.tenant.as_ref());
        let verified_tenant = verified.filter(|_| !action.administers());
        let tenant = verified_tenant.map_or_else(TenantId::platform, |verified| verified.tenant.clone());
        // A refused certificate names no caller.
        let named = refusal.reason() != Reason::ClientCertificateInvalid;
        AuditEvent {
            service: peer.certificate.service().filter(|_| named).cloned(),
            user: verified.and_then(|verified| verified.user.clone()),
            tenant_source: caller.map_or(TenantSource::None, Caller::tenant_source),
            outcome: refusal.outcome(),
            reason: Some(refusal.reason()),
            policies: refusal.policies().to_vec(),
            trace,
            source_address: Some(peer.address),
            ..AuditEvent::of(tenant, action)
        }
    }

    /// Records a refusal in a task of its own, so that a caller who hangs up at once is on record, too.
    async fn refuse(&self, event: AuditEvent, refusal: Refusal, trace: TraceId) -> Response<Body> {
        let (mut status, context) = (wire::status(&refusal, &trace.to_string()), Arc::clone(&self.context));
        let recording = async move { record_refusal(&context, event, &refusal).await };
        // It only ends early if the runtime stops, and then no caller waits for the answer.
        let record = tokio::spawn(recording.in_current_span()).await.unwrap_or_default();
        wire::name_record(record, status.metadata_mut());
        status.into_http()
    }

    /// The deadline that the caller asks for, within bounds.
    fn deadline(&self, headers: &HeaderMap) -> Duration {
        let asked = headers.get("grpc-timeout").and_then(|value| value.to_str().ok()).and_then(grpc_timeout);
        asked.map_or(self.deadline, |asked| asked.min(LONGEST_DEADLINE))
    }
}

/// Which tenant a service named that policy does not trust to name it, for the record.
fn asserted(refusal: &Refusal, headers: &HeaderMap) -> Option<String> {
    let Refusal::Identity(IdentityError::Denied(denial)) = refusal else { return None };
    if denial.action != Action::AssertTenant {
        return None;
    }
    let tenant = TenantId::parse(once(headers, "x-tenant-id").ok()??).ok()?;
    Some(tenant_name(&tenant))
}

/// Refuses a call that there is no room for. It is counted and no more.
fn shed(action: Action, trace: TraceId) -> Response<Body> {
    let reason = Refusal::Overloaded.reason();
    metrics::counter!("credvault_refusals_total", "action" => action.as_str(), "reason" => reason.as_str())
        .increment(1);
    wire::status(&Refusal::Overloaded, &trace.to_string()).into_http()
}

/// The answer to what is no call of gRPC: that protocol is POST, with a content type of its own
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>). A browser can be made to send other things.
fn not_grpc<B>(request: &Request<B>) -> Option<Response<Body>> {
    let mut response = Response::new(Body::empty());
    if request.method() != Method::POST {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Some(response);
    }
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim_end();
    if matches!(kind, "application/grpc" | "application/grpc+proto") {
        return None;
    }
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Some(response)
}

/// `grpc-timeout`: at most eight digits and a unit
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// The headers that identify tenant and user, each at most once.
fn presented(headers: &HeaderMap) -> Result<Presented<'_>, IdentityError> {
    Ok(Presented {
        authorization: once(headers, "authorization")?,
        tenant: once(headers, "x-tenant-id")?,
        user: once(headers, "x-user-id")?,
    })
}

fn once<'a>(headers: &'a HeaderMap, header: &'static str) -> Result<Option<&'a str>, IdentityError> {
    let wrong = |rule: &str| IdentityError::Header { header, rule: rule.to_owned() };
    let mut values = headers.get_all(header).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(wrong("must be sent once only"));
    }
    first.to_str().map(Some).map_err(|_| wrong("must be printable ASCII"))
}

/// The code of an answer. One that is still to stream its trailers has gone well so far.
fn code_of(response: &Response<Body>) -> Code {
    response.headers().get("grpc-status").map_or(Code::Ok, |value| Code::from_bytes(value.as_bytes()))
}

/// What tonic answered in a handler's place: the message did not decode, or was too large.
fn unread(response: &Response<Body>) -> Option<Refusal> {
    let status = Status::from_header_map(response.headers())?;
    match status.code() {
        Code::InvalidArgument | Code::Internal | Code::Unimplemented => {
            Some(Refusal::Unreadable(status.message().to_owned()))
        }
        Code::OutOfRange => Some(Refusal::Unreadable("it is larger than 256 KiB".to_owned())),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => None,
    }
}

/// Drives an answer; `None` if no handler has taken the call on in time, which means that its message did not arrive.
async fn unless_unread<T>(answer: impl Future<Output = T>, admitted: &Admitted) -> Option<T> {
    tokio::pin!(answer);
    tokio::select! {
        answer = answer.as_mut() => return Some(answer),
        () = tokio::time::sleep(ARRIVAL_TIMEOUT) => {}
    }
    if admitted.handler_started() { Some(answer.await) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        assert_eq!(grpc_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(grpc_timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for text in ["", "m", "1", "-1S", "1.5S", "123456789S", "1x", "é"] {
            assert_eq!(grpc_timeout(text), None, "{text}");
        }
    }

    #[test]
    fn only_a_post_of_grpc_is_a_call() {
        let answer = |method: &str, kind: Option<&str>| {
            let mut request = Request::builder().method(method);
            if let Some(kind) = kind {
                request = request.header(CONTENT_TYPE, kind);
            }
            not_grpc(&request.body(()).expect("request")).map(|response| response.status().as_u16())
        };
        for kind in ["application/grpc", "application/grpc+proto", "application/grpc; charset=utf-8"] {
            assert_eq!(answer("POST", Some(kind)), None, "{kind}");
        }
        for kind in
            ["application/json", "application/grpcx", "application/grpc-web", "application/grpc+json", ""]
        {
            assert_eq!(answer("POST", Some(kind)), Some(415), "{kind}");
        }
        assert_eq!(answer("POST", None), Some(415));
        for method in ["GET", "OPTIONS", "PUT", "HEAD"] {
            assert_eq!(answer(method, Some("application/grpc")), Some(405), "{method}");
        }
    }

    #[test]
    fn identifying_headers_are_sent_once() {
        let mut headers = HeaderMap::new();
        headers.append("x-tenant-id", "a".parse().expect("value"));
        assert_eq!(presented(&headers).expect("one").tenant, Some("a"));
        headers.append("x-tenant-id", "b".parse().expect("value"));
        assert!(presented(&headers).is_err());
    }
}
