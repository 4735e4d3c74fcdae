//! The port for browsers: plain HTTP, with the reverse proxy's TLS before it. Browsers start here on their way to a
//! provider, come back here, and leave with a result for the page that opened them, or after the person has confirmed.
//! Providers that hand over keys post them here. No secret is shown here, and nothing that a provider or a stranger has
//! written is.

mod consent;
mod handoff;
mod page;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use consent::{Browser, Consents, Started, parameters};
use page::Page;

use crate::vault::Vault;

/// The most connections at once; further ones are closed.
const CONNECTIONS: usize = 1024;
/// How long the head of a request may take to arrive, and how long a connection may idle.
const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may last.
const LIFE: Duration = Duration::from_secs(120);
/// The largest query, form and hand-off.
const LARGEST: usize = 64 * 1024;
/// How many requests look into the vault at once: the database is everybody's.
const TURNS: usize = 16;

/// What all requests are served with.
struct Port {
    consents: Consents,
    /// Whether browsers come by https.
    secure: bool,
    turns: Semaphore,
}

/// The routes of the port. Browsers reach it at `url`.
pub(super) fn router(vault: Arc<Vault>, url: &str) -> Router {
    let (secure, turns) = (url.starts_with("https:"), Semaphore::new(TURNS));
    let port = Port { consents: Consents(vault), secure, turns };
    Router::new()
        .route("/", get(home))
        .route("/page.js", get(page::script))
        .route("/page.css", get(page::style))
        .route("/oauth/start", get(start))
        .route("/oauth/callback/{provider}", get(callback))
        .route("/oauth/confirm", post(confirm))
        .route("/oauth/handoff/{provider}", post(handoff))
        .with_state(Arc::new(port))
}

async fn home(State(port): State<Arc<Port>>) -> Response {
    port.show(page::home())
}

async fn start(State(port): State<Arc<Port>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let query = parameters(query.as_deref().unwrap_or_default());
    let Some(_turn) = port.turn().await else { return port.show(page::busy()) };
    match port.consents.start(query, port.cookie(&headers)).await {
        Ok(Started { url, browser }) => {
            // 303, so that nothing but a GET goes on (RFC 9700, section 4.12).
            let mut response = StatusCode::SEE_OTHER.into_response();
            let headers = response.headers_mut();
            page::harden(headers, port.secure);
            for (name, value) in [(header::LOCATION, url), (header::SET_COOKIE, port.set_cookie(&browser))] {
                // Both are ASCII without line breaks.
                HeaderValue::try_from(value).into_iter().for_each(|value| {
                    headers.insert(name.clone(), value);
                });
            }
            response
        }
        Err(page) => port.show(page),
    }
}

async fn callback(
    State(port): State<Arc<Port>>,
    Path(provider): Path<String>,
    RawQuery(query): RawQuery,
    ConnectInfo(source): ConnectInfo<IpAddr>,
    headers: HeaderMap,
) -> Response {
    let query = parameters(query.as_deref().unwrap_or_default());
    let browser = Browser { id: port.cookie(&headers), source };
    let work = Arc::clone(&port);
    port.whole(async move {
        let Some(_turn) = work.turn().await else { return page::busy() };
        work.consents.callback(&provider, query, browser).await
    })
    .await
}

async fn confirm(
    State(port): State<Arc<Port>>,
    ConnectInfo(source): ConnectInfo<IpAddr>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let body = tokio::time::timeout(HEAD, axum::body::to_bytes(body, LARGEST)).await;
    let Ok(Ok(body)) = body else { return port.show(page::unreadable()) };
    let form = parameters(&String::from_utf8_lossy(&body));
    let browser = Browser { id: port.cookie(&headers), source };
    let work = Arc::clone(&port);
    port.whole(async move {
        let Some(_turn) = work.turn().await else { return page::busy() };
        work.consents.confirm(form, browser).await
    })
    .await
}

/// Says whether keys were taken, and nothing else: not who asked, nor what was wrong. Shops delete keys that were not
/// taken with 200.
async fn handoff(State(port): State<Arc<Port>>, Path(provider): Path<String>, body: Body) -> Response {
    let body = tokio::time::timeout(HEAD, axum::body::to_bytes(body, LARGEST)).await;
    let taken = match (body, port.turn().await) {
        (Ok(Ok(body)), Some(_turn)) => port.consents.hand_over(&provider, &body).await,
        _ => false,
    };
    let mut response = if taken { StatusCode::OK } else { StatusCode::BAD_REQUEST }.into_response();
    page::harden(response.headers_mut(), port.secure);
    response
}

impl Port {
    /// Does something to its end, even if the window is closed meanwhile: a code is spent once it was sent.
    async fn whole(&self, work: impl Future<Output = Page> + Send + 'static) -> Response {
        self.show(tokio::spawn(work).await.unwrap_or_else(|_| page::broken()))
    }

    /// Waits for a turn, as long as the head of a request may take. Never closed.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        tokio::time::timeout(HEAD, self.turns.acquire()).await.ok()?.ok()
    }

    fn show(&self, page: Page) -> Response {
        metrics::counter!("credvault_pages_total", "page" => page.title, "reason" => page.reason)
            .increment(1);
        let mut response = page.into_response();
        page::harden(response.headers_mut(), self.secure);
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

/// Serves the port until the end.
pub(super) async fn serve(listener: TcpListener, router: Router, end: CancellationToken) {
    let (connections, tracker) = (Arc::new(Semaphore::new(CONNECTIONS)), TaskTracker::new());
    while let Some(accepted) = end.run_until_cancelled(listener.accept()).await {
        let Ok((socket, address)) = accepted else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&connections).try_acquire_owned() else {
            metrics::counter!("credvault_connections_refused_total").increment(1);
            continue;
        };
        let (router, end) = (routed(&router, address), end.clone());
        tracker.spawn(async move {
            let _place = place;
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(2 * LARGEST);
            let connection = builder.serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
            tokio::pin!(connection);
            tokio::select! {
                _ = connection.as_mut() => return,
                () = tokio::time::sleep(LIFE) => {}
                () = end.cancelled() => {}
            }
            connection.as_mut().graceful_shutdown();
            // Whatever a browser's connection says at its end, there is nobody to be told.
            let _ = tokio::time::timeout(HEAD, connection).await;
        });
    }
    tracker.close();
    tracker.wait().await;
}

/// The routes for one connection.
fn routed(router: &Router, address: SocketAddr) -> Router {
    router.clone().layer(axum::Extension(ConnectInfo(address.ip().to_canonical())))
}
