//! The token endpoint: counts a request's arrival, takes its step, and has its effect and its answer made.

mod answer;
mod client;
mod disturbance;
mod effect;
mod id_token;
mod refusal;
mod request;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;

use crate::script::Step;
use crate::state::{self, Shared};
pub(crate) use answer::Answer;
pub(crate) use client::authenticate;
pub(crate) use disturbance::cut;
use disturbance::disturb;
use refusal::Refused;
use request::Grant;
pub(crate) use request::{Shown, TokenRequest};

pub(crate) async fn token(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    let request = TokenRequest::read(&headers, query.as_deref(), &body);
    // A task of its own: a real provider finishes a request even if the caller hangs up.
    tokio::spawn(serve(shared, request)).await.unwrap_or_else(|_| cut())
}

async fn serve(shared: Arc<Shared>, request: Result<TokenRequest, Refused>) -> Response {
    let grant = request.as_ref().map_or(Grant::Unknown, TokenRequest::grant);
    let plan = shared.with(|state| arrive(state, grant, request.as_ref().ok()));
    let _under_way = (grant == Grant::Refresh).then(|| UnderWay(Arc::clone(&shared)));
    if !shared.pause(plan.before).await {
        return cut();
    }
    let (response, granted) = disturb(&plan.step, &shared, || match request {
        Ok(request) => effect::effect(&shared, &request),
        Err(refused) => shared.with(|state| Answer::refused(&refused, state.behaviour.errors)),
    });
    if !shared.pause(plan.after).await {
        return cut();
    }
    if granted && grant == Grant::Refresh {
        shared.with(|state| state.counts.refreshes_answered_ok += 1);
    }
    response
}

/// The step and the delays of a request, decided when it arrives.
struct Plan {
    step: Step,
    before: Duration,
    after: Duration,
}

fn arrive(state: &mut state::State, grant: Grant, request: Option<&TokenRequest>) -> Plan {
    let counts = &mut state.counts;
    match grant {
        Grant::Code => counts.exchanges += 1,
        Grant::ClientCredentials => counts.client_credentials += 1,
        Grant::Assertion => counts.assertions += 1,
        Grant::Extension => counts.extensions += 1,
        Grant::Unknown => {}
        Grant::Refresh => {
            state.counts.refreshes += 1;
            state.refreshes_under_way += 1;
            state.note_arrival(tokio::time::Instant::now());
            let most = &mut state.counts.concurrent_refreshes_max;
            *most = (*most).max(state.refreshes_under_way);
            if let Some(token) = request.and_then(|request| request.parameters.get("refresh_token")) {
                state.ledger.note_refresh(token);
            }
        }
    }
    let behaviour = &mut state.behaviour;
    let step = if !behaviour.script.is_empty() {
        behaviour.script.remove(0)
    } else if state.ledger.opaque.chance(behaviour.failure_rate) {
        Step::Fail { status: 503, after_effect: false }
    } else {
        behaviour.steady.clone()
    };
    let (mut before, mut after) = (behaviour.delay_before_effect, behaviour.delay);
    if let Step::Slow { before_effect, after_effect } = step {
        before = before.saturating_add(before_effect);
        after = after.saturating_add(after_effect);
    }
    Plan { step, before, after }
}

/// Counts a refresh request as under way until it is dropped.
struct UnderWay(Arc<Shared>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.with(|state| state.refreshes_under_way -= 1);
    }
}
