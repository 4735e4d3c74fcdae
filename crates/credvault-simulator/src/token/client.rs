//! Which client makes a request: by its secret, by an assertion, or by nothing if it is public.

use super::request::{TokenRequest, claim};
use super::{Refused, Shown};
use crate::behaviour::ClientAuth;
use crate::credentials::{CLIENT_ID, CLIENT_SECRET, SECOND_CLIENT_SECRET};
use crate::script::Refusal;
use crate::state::State;

/// The id of the client that makes the request. The simulator's own URL is `url`.
pub(crate) fn authenticate(state: &mut State, request: &TokenRequest, url: &str) -> Result<String, Refused> {
    let refused = |why| Err(Refused::new(Refusal::InvalidClient, why));
    let shown = match request.shown.as_slice() {
        [] => {
            let public = request.bare_client().and_then(|id| state.clients.get(id));
            return match public.filter(|client| client.is_public()) {
                Some(client) => Ok(client.id.clone()),
                None => refused("the app shows no id and secret"),
            };
        }
        [shown] => shown,
        _ => return Err(Refused::new(Refusal::InvalidRequest, "the app shows its secret in two places")),
    };
    if state.behaviour.client_auth.is_some_and(|by| by != shown.by) {
        return refused("the app shows its secret in the wrong place");
    }
    let known = match shown.by {
        ClientAuth::Assertion => asserts(state, shown, url),
        ClientAuth::Basic | ClientAuth::Form | ClientAuth::Json | ClientAuth::Query => {
            let second = state.behaviour.second_secret && shown.secret == SECOND_CLIENT_SECRET;
            let own = shown.id == CLIENT_ID && (shown.secret == CLIENT_SECRET || second);
            own || state.clients.get(&shown.id).is_some_and(|client| client.has_secret(&shown.secret))
        }
    };
    if known { Ok(shown.id.clone()) } else { refused("the app's id or secret is wrong") }
}

/// Whether an assertion is the client's own, for this server, and comes for the first time. Its signature is for the
/// test to verify, which knows the key.
fn asserts(state: &mut State, shown: &Shown, url: &str) -> bool {
    let claim = |name| claim(&shown.secret, name);
    let audience = claim("aud").is_some_and(|audience| audience == url || audience == format!("{url}/token"));
    let client = shown.id == CLIENT_ID || state.clients.contains_key(&shown.id);
    let known = claim("sub").as_deref() == Some(&shown.id) && client && audience;
    let new = claim("jti").is_some_and(|id| {
        !state.assertions.iter().any(|earlier| super::request::claim(earlier, "jti").as_ref() == Some(&id))
    });
    state.assertions.push(shown.secret.clone());
    known && new
}
