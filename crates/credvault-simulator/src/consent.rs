//! Consent in a browser: the page and its two buttons (RFC 6749, section 4.1).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use tokio::time::Instant;
use url::Url;

use crate::credentials::CLIENT_ID;
use crate::ledger::Code;
use crate::page;
use crate::parameters::{Parameters, is_loopback, with_pairs};
use crate::state::{self, Shared};

/// The parameters that the page passes on to its buttons.
const CARRIED: [&str; 8] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "state",
    "scope",
    "code_challenge",
    "code_challenge_method",
    "prompt",
];

pub(crate) async fn authorize(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    let parameters = Parameters::query(query.as_deref());
    let consent = match shared.with(|state| Consent::read(&parameters, state)) {
        Ok(consent) => consent,
        Err(objection) => return objection.answer(&shared),
    };
    let carried: Vec<_> =
        CARRIED.into_iter().filter_map(|name| Some((name, parameters.get(name)?))).collect();
    let scopes = if consent.scopes.is_empty() {
        "nothing in particular".to_owned()
    } else {
        consent.scopes.join(", ")
    };
    let content = html! {
        p { code { (CLIENT_ID) } " asks for: " strong { (scopes) } "." }
        p { "Both choices lead back to " code { (consent.callback.url) } "." }
        (page::decision("/decide", &carried))
    };
    let mut page = page::page(StatusCode::OK, "Give access to your shop?", &content).into_response();
    if shared.with(|state| state.behaviour.cut_opener) {
        let name = HeaderName::from_static("cross-origin-opener-policy");
        page.headers_mut().insert(name, HeaderValue::from_static("same-origin"));
    }
    page
}

pub(crate) async fn decide(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let parameters = Parameters::form(&body);
    let consent = match shared.with(|state| Consent::read(&parameters, state)) {
        Ok(consent) => consent,
        Err(objection) => return objection.answer(&shared),
    };
    if parameters.get("decision") != Some("allow") {
        return consent.callback.refusal(&shared, "access_denied");
    }
    let Some(account) = parameters.account() else {
        return page::objection(page::ACCOUNT).into_response();
    };
    let Consent { callback, redirect_uri, scopes, challenge, prompted } = consent;
    let (code, code_parameter, account_parameter) = shared.with(|state| {
        state.counts.authorizations += 1;
        let (account, issued) = (account.to_owned(), Instant::now());
        let code = Code { account, scopes, redirect_uri, challenge, prompted, issued, family: None };
        let behaviour = &state.behaviour;
        (state.ledger.keep_code(code), behaviour.code_parameter.clone(), behaviour.account_parameter.clone())
    });
    let mut pairs = vec![(code_parameter.as_str(), code.as_str())];
    pairs.extend(account_parameter.as_deref().map(|name| (name, account)));
    callback.answer(&shared, &pairs)
}

/// A valid request for consent.
struct Consent {
    callback: Box<Callback>,
    redirect_uri: String,
    scopes: Vec<String>,
    challenge: Option<String>,
    prompted: bool,
}

/// The callback that the browser returns to.
struct Callback {
    url: Url,
    state: Option<String>,
}

/// The reason why a request for consent is refused.
enum Objection {
    /// The callback may not be the app's, so only the person in front of the page learns the reason.
    Page(&'static str),
    Callback(Box<Callback>, &'static str),
}

impl Consent {
    fn read(parameters: &Parameters, state: &state::State) -> Result<Self, Objection> {
        let registered = match parameters.get("client_id") {
            Some(CLIENT_ID) => &state.behaviour.redirect_uris,
            other => {
                let client = other.and_then(|id| state.clients.get(id));
                let unknown = Objection::Page("The client_id is not that of a registered app.");
                &client.ok_or(unknown)?.redirect_uris
            }
        };
        // RFC 6749, section 3.1.2.3: it may be left out if there is only one.
        let only = if registered.len() == 1 { registered.first().map(String::as_str) } else { None };
        let redirect_uri = parameters.get("redirect_uri").or(only);
        let redirect_uri = redirect_uri.ok_or(Objection::Page("The redirect_uri is missing."))?;
        let url = Url::parse(redirect_uri)
            .ok()
            .filter(|url| url.fragment().is_none())
            .filter(|url| match registered.is_empty() {
                true => is_loopback(url),
                false => registered.iter().any(|known| known == redirect_uri),
            })
            .ok_or(Objection::Page(
                "The redirect_uri is not registered, or does not stay on this machine.",
            ))?;
        let callback = Box::new(Callback { url, state: parameters.get("state").map(str::to_owned) });
        let challenge = parameters.get("code_challenge").map(str::to_owned);
        let s256 = parameters.get("code_challenge_method") == Some("S256");
        if parameters.get("response_type") != Some("code") {
            return Err(Objection::Callback(callback, "unsupported_response_type"));
        }
        if challenge.as_ref().is_some_and(|challenge| !s256 || challenge.len() != 43) {
            return Err(Objection::Callback(callback, "invalid_request"));
        }
        Ok(Self {
            callback,
            redirect_uri: redirect_uri.to_owned(),
            scopes: parameters.scopes(),
            challenge,
            prompted: parameters
                .get("prompt")
                .is_some_and(|prompt| prompt.split(' ').any(|p| p == "consent")),
        })
    }
}

impl Callback {
    fn answer(&self, shared: &Shared, pairs: &[(&str, &str)]) -> Response {
        let mut pairs = pairs.to_vec();
        let issuer = shared.with(|state| state.behaviour.send_iss).then(|| shared.url());
        pairs.extend(self.state.as_deref().map(|state| ("state", state)));
        pairs.extend(issuer.as_deref().map(|issuer| ("iss", issuer)));
        Redirect::to(&with_pairs(&self.url, &pairs)).into_response()
    }

    fn refusal(&self, shared: &Shared, error: &str) -> Response {
        self.answer(shared, &[("error", error)])
    }
}

impl Objection {
    fn answer(self, shared: &Shared) -> Response {
        match self {
            Self::Page(what) => page::objection(what).into_response(),
            Self::Callback(callback, error) => callback.refusal(shared, error),
        }
    }
}
