//! The port for browsers: plain HTTP, with the reverse proxy's TLS before it. Browsers start here on their way to a
//! provider, come back here, and leave with a result for the page that opened them, or after the person has decided.
//! Providers that deliver keys post them here. No page shows a secret, nor anything that a provider or a stranger has
//! written, except the id of an account.

mod page;
mod refused;
mod session_cookie;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, RawQuery, State};
use axum::middleware::map_response;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use credvault_domain::ProviderId;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::sync::{Semaphore, SemaphorePermit};

use credvault_operations::connect::{Visits, open_path, page_path};
use credvault_operations::consents::browser::{Browser, Browsers, Parameters, Returned, Started};
use credvault_operations::{Context, Refusal};
use page::Page;
use refused::{page_of, page_of_refusal};

use super::port::HEAD_TIMEOUT;

/// The largest query, form and delivery of keys, in bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// How many requests may use the database at once, because all calls share it.
const MAX_AT_ONCE: usize = 16;
/// The query of a connect page's URL when the browser comes with the cookie that it was given.
const AGAIN: &str = "again";

/// What all requests are served with.
struct Port {
    browsers: Browsers,
    visits: Visits,
    /// Whether browsers come by https.
    secure: bool,
    turns: Semaphore,
}

/// The routes of the port. Browsers reach it at `url`.
pub(crate) fn router(context: Arc<Context>, url: &str) -> Router {
    let (secure, turns) = (url.starts_with("https:"), Semaphore::new(MAX_AT_ONCE));
    let visits = Visits::new(Arc::clone(&context));
    let port = Port { browsers: Browsers::new(context), visits, secure, turns };
    Router::new()
        .route("/", get(home))
        .route("/page.js", get(page::script))
        .route("/page.css", get(page::style))
        .route("/oauth/start", get(start))
        .route("/connect/open/{token}", get(open_connect_page))
        .route("/oauth/callback/{*place}", get(callback).post(posted))
        .route("/oauth/return/{page}", get(returned))
        .route("/oauth/confirm", post(confirm))
        .route("/oauth/handoff/{provider}", post(deliver_keys))
        .fallback(nothing)
        .method_not_allowed_fallback(other_method)
        .layer(map_response(move |mut response: Response| async move {
            page::harden(response.headers_mut(), secure);
            response
        }))
        .with_state(Arc::new(port))
}

async fn home(State(port): State<Arc<Port>>) -> Response {
    port.show(page::home())
}

async fn nothing(State(port): State<Arc<Port>>) -> Response {
    port.show(page::not_found())
}

async fn other_method(State(port): State<Arc<Port>>) -> Response {
    port.show(page::other_method())
}

async fn start(
    State(port): State<Arc<Port>>,
    RawQuery(query): RawQuery,
    ConnectInfo(address): ConnectInfo<IpAddr>,
    headers: HeaderMap,
) -> Response {
    let query = parameters(query.as_deref().unwrap_or_default());
    let browser = Browser { id: port.cookie(&headers), address };
    let Some(_turn) = port.turn().await else { return port.show(page::busy()) };
    match port.browsers.start(&query, &browser).await {
        Ok(Started { url, browser }) => {
            let mut response = see_other(&url);
            // It is ASCII without line breaks.
            HeaderValue::try_from(port.set_cookie(&browser)).into_iter().for_each(|value| {
                response.headers_mut().insert(header::SET_COOKIE, value);
            });
            response
        }
        Err(refused) => port.show(page_of(refused)),
    }
}

/// Opens a connect page for this browser, in two steps. The first gives it a cookie and has it come again; only the second, which
/// brings the cookie along, uses the token up. So a browser that keeps no cookie here loses nothing, and neither does one whose
/// answer got lost.
async fn open_connect_page(
    State(port): State<Arc<Port>>,
    Path(token): Path<String>,
    RawQuery(query): RawQuery,
    ConnectInfo(address): ConnectInfo<IpAddr>,
    headers: HeaderMap,
) -> Response {
    if session_cookie::is_prefetch(&headers) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let id = session_cookie::value(&headers, port.secure);
    let came_again = query.as_deref() == Some(AGAIN);
    let browser = match (id, came_again) {
        (Some(id), _) => Browser { id: Some(id), address },
        (None, true) => return port.show(page::no_cookies()),
        (None, false) => return port.with_session_cookie(&token, &headers),
    };
    let work = Arc::clone(&port);
    port.whole(async move {
        let Some(_turn) = work.turn().await else { return Next::Page(page::busy()) };
        match work.visits.open(&token, &browser).await {
            Ok(id) => Next::To(page_path(id)),
            Err(refusal) => Next::Page(page_of_refusal(&refusal)),
        }
    })
    .await
}

async fn callback(
    State(port): State<Arc<Port>>,
    Path(place): Path<String>,
    RawQuery(query): RawQuery,
    ConnectInfo(address): ConnectInfo<IpAddr>,
    headers: HeaderMap,
) -> Response {
    let query = parameters(query.as_deref().unwrap_or_default());
    let browser = Browser { id: port.cookie(&headers), address };
    let work = Arc::clone(&port);
    port.whole(async move {
        let Some(_turn) = work.turn().await else { return Next::Page(page::busy()) };
        match work.browsers.callback(&place, query, &browser).await {
            Ok(page) => Next::To(format!("/oauth/return/{page}")),
            Err(refused) => Next::Page(page_of(refused)),
        }
    })
    .await
}

/// A provider that has the browser post its answer (`response_mode=form_post`) does so from its own site, and browsers
/// keep the cookie back from that. So they are sent here once more, by GET.
async fn posted(State(port): State<Arc<Port>>, Path(place): Path<String>, body: Body) -> Response {
    // The place becomes a part of a header: a provider, and behind a slash the name of one of its servers.
    let (provider, server) = place.split_once('/').unwrap_or((&place, ""));
    let plain = server.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if ProviderId::parse(provider).is_err() || !plain {
        return port.show(page::not_found());
    }
    let Some(form) = form(body).await else { return port.show(page::unreadable()) };
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    see_other(&format!("/oauth/callback/{place}?{query}"))
}

async fn returned(
    State(port): State<Arc<Port>>,
    Path(page): Path<String>,
    ConnectInfo(address): ConnectInfo<IpAddr>,
    headers: HeaderMap,
) -> Response {
    let browser = Browser { id: port.cookie(&headers), address };
    let Some(_turn) = port.turn().await else { return port.show(page::busy()) };
    port.show(match port.browsers.returned(&page, &browser).await {
        Ok(returned) => page_of_returned(returned),
        Err(refused) => page_of_refusal(&refused.refusal),
    })
}

async fn confirm(
    State(port): State<Arc<Port>>,
    ConnectInfo(address): ConnectInfo<IpAddr>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(form) = form(body).await else { return port.show(page::unreadable()) };
    let browser = Browser { id: port.cookie(&headers), address };
    let work = Arc::clone(&port);
    port.whole(async move {
        let Some(_turn) = work.turn().await else { return Next::Page(page::busy()) };
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let connects = field("decision") == "connect";
        Next::Page(match work.browsers.decided(field("consent"), connects, &browser).await {
            Ok(provider) => page_of_connected(&provider),
            Err(refused) => page_of(refused),
        })
    })
    .await
}

/// What a form holds; `None` if it is too large or does not arrive.
async fn form(body: Body) -> Option<Parameters> {
    let body =
        tokio::time::timeout(HEAD_TIMEOUT, axum::body::to_bytes(body, MAX_BODY_BYTES)).await.ok()?.ok()?;
    Some(parameters(&String::from_utf8_lossy(&body)))
}

/// 303, so that the browser continues with a GET (RFC 9700, section 4.12).
fn see_other(url: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    // It is ASCII without line breaks.
    HeaderValue::try_from(url).into_iter().for_each(|value| {
        response.headers_mut().insert(header::LOCATION, value);
    });
    response
}

/// Answers whether the keys were accepted, and nothing else, such as what was wrong. Shops delete keys that were not
/// accepted with 200.
async fn deliver_keys(State(port): State<Arc<Port>>, Path(provider): Path<String>, body: Body) -> Response {
    let body = tokio::time::timeout(HEAD_TIMEOUT, axum::body::to_bytes(body, MAX_BODY_BYTES)).await;
    let taken = match (body, port.turn().await) {
        (Ok(Ok(body)), Some(_turn)) => port.browsers.deliver_keys(&provider, &body).await,
        _ => false,
    };
    if taken { StatusCode::OK } else { StatusCode::BAD_REQUEST }.into_response()
}

/// Where a browser goes next.
enum Next {
    /// To a page of the vault's own at this path, which can be loaded again.
    To(String),
    /// Nowhere: it shows this page.
    Page(Page),
}

/// Reads a query or a form. What comes twice counts once: the last, as everywhere here.
fn parameters(text: &str) -> Parameters {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

/// The page of a consent that has come back.
fn page_of_returned(returned: Returned) -> Page {
    match returned {
        Returned::ToPage { page, result } => {
            let shown = Page::plain(StatusCode::OK, "returned", "Almost done", "The provider has answered.");
            shown.telling(Some(page), "returned").with_result(result)
        }
        Returned::ToPerson(question) => {
            let text =
                "Confirm only if you started this yourself and see the same code where you started it.";
            let page = Page::plain(StatusCode::OK, "confirm", "Connect this account?", text);
            Page { question: Some(question), ..page }
        }
    }
}

fn page_of_connected(provider: &str) -> Page {
    let text = format!("{provider} is connected. You may close this window.");
    Page::plain(StatusCode::OK, "connected", "Connected", text)
}

impl Port {
    /// Does something to its end, even if the window is closed meanwhile.
    async fn whole(&self, work: impl Future<Output = Next> + Send + 'static) -> Response {
        match self.browsers.spawn(work).await.unwrap_or_else(|_| Next::Page(page::broken())) {
            Next::Page(page) => self.show(page),
            Next::To(path) => see_other(&path),
        }
    }

    /// Waits for a turn, as long as the head of a request may take. Never closed.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        tokio::time::timeout(HEAD_TIMEOUT, self.turns.acquire()).await.ok()?.ok()
    }

    fn show(&self, page: Page) -> Response {
        metrics::counter!("credvault_pages_total", "page" => page.kind, "reason" => page.reason).increment(1);
        page.into_response()
    }

    /// Gives a browser a cookie for connect pages, and has it open the page again.
    fn with_session_cookie(&self, token: &str, headers: &HeaderMap) -> Response {
        // The token becomes a part of a header.
        if !token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            return self.show(page::not_found());
        }
        let Ok(value) = self.visits.new_cookie() else {
            return self.show(page_of_refusal(&Refusal::Internal));
        };
        let mut response = see_other(&format!("{}?{AGAIN}", open_path(token)));
        let cookie = session_cookie::header_value(&value, self.secure, session_cookie::is_framed(headers));
        // It is ASCII without line breaks.
        HeaderValue::try_from(cookie).into_iter().for_each(|value| {
            response.headers_mut().insert(header::SET_COOKIE, value);
        });
        response
    }

    /// The prefix has browsers accept it from this very host by https only.
    fn cookie_name(&self) -> &'static str {
        if self.secure { "__Host-credvault" } else { "credvault" }
    }

    /// What this browser is recognised by.
    fn cookie(&self, headers: &HeaderMap) -> Option<String> {
        let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut pairs = all.flat_map(|cookies| cookies.split("; ")).filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(name, value)| *name == self.cookie_name() && value.len() <= 128)?;
        Some(value.to_owned())
    }

    /// `Lax`, because the provider sends the browser back from its own site.
    fn set_cookie(&self, browser: &str) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{}={browser}; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax{secure}", self.cookie_name())
    }
}
