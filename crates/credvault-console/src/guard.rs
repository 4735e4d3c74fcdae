//! What every request passes first: it names the console's own host, comes from the one browser, and if it can change
//! something, from a page of the console itself. A form is read here, so that no page can skip its key.
//!
//! A page of another site can make the browser send requests here, and by DNS rebinding under a name of its own. The first
//! fails by cookie, origin and form key, the second by host.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use maud::html;

use crate::console::Console;
use crate::fields::Fields;
use crate::frame::{Asked, Page, Section};
use crate::refusal::Refusal;

/// The largest form, in bytes.
const MAX_FORM_BYTES: usize = 128 * 1024;
/// How long a form may take to arrive.
const FORM_TIMEOUT: Duration = Duration::from_secs(10);

/// No code and no style in pages, nothing from elsewhere, no frame around them. `form-action` covers redirects as well.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The pages that can be loaded again, so that a refusal may lead back to them.
const PAGES: [&str; 12] = [
    "/",
    "/connections",
    "/connection",
    "/tenants",
    "/tenant",
    "/audit",
    "/keys",
    "/events",
    "/apps",
    "/apps/rotate",
    "/policy",
    "/end",
];

/// Checks a request, hands its fields on, writes the page whole, and hardens the response.
pub(crate) async fn guard(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let mut response = match checked(&console, &parts, body).await {
        Ok(fields) => {
            let asked = asked(&console, &parts, &fields);
            let mut request = Request::from_parts(parts, Body::empty());
            request.extensions_mut().insert(fields);
            whole(&console, &asked, next.run(request).await)
        }
        Err(denied) => denied.page().written(&console.target),
    };
    harden(response.headers_mut());
    response
}

/// What a page writes that refuses this request.
fn asked(console: &Console, parts: &Parts, fields: &Fields) -> Asked {
    let here = parts.uri.path_and_query().map_or("/", |whole| whole.as_str());
    let before = only(&parts.headers, header::REFERER).and_then(|url| url.strip_prefix(&console.origin()));
    let is_page = |path: &&str| PAGES.contains(&path.split(['?', '#']).next().unwrap_or_default());
    let back = before.filter(is_page).filter(|path| *path != here).unwrap_or_default();
    Asked {
        section: Section::of(parts.uri.path()),
        tenant: fields.tenant().to_owned(),
        back: back.to_owned(),
    }
}

/// The response with the page or the refusal that a handler has left in it.
fn whole(console: &Console, asked: &Asked, mut response: Response) -> Response {
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        return Page::refused(&refusal, asked).written(&console.target);
    }
    match response.extensions_mut().remove::<Page>() {
        Some(page) => page.written(&console.target),
        None => response,
    }
}

/// Why a request is answered with nothing of the vault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Denied {
    /// It names another host than the console's.
    Host,
    /// It has no cookie of this console.
    Browser,
    /// It can change something and comes from another site, or from none.
    Origin,
    /// It is a form without the key of this console.
    FormKey,
    /// Its form is too large, or did not arrive.
    Unreadable,
    /// It is neither a GET nor a POST.
    Method,
}

async fn checked(console: &Console, parts: &Parts, body: Body) -> Result<Fields, Denied> {
    of_this_host(console, parts)?;
    let is_open = parts.uri.path() == "/begin" || parts.uri.path().starts_with("/assets/");
    match (&parts.method, is_open) {
        (&Method::GET, true) => Ok(query(parts)),
        (&Method::GET, false) => {
            of_this_browser(console, &parts.headers)?;
            Ok(query(parts))
        }
        (&Method::POST, false) => {
            of_this_browser(console, &parts.headers)?;
            of_this_origin(console, &parts.headers)?;
            let fields = form(&parts.headers, body).await?;
            if console.session.sent(fields.exact("form_key")) { Ok(fields) } else { Err(Denied::FormKey) }
        }
        _ => Err(Denied::Method),
    }
}

fn query(parts: &Parts) -> Fields {
    Fields::parse(parts.uri.query().unwrap_or_default().as_bytes())
}

/// The one value of a header; `None` if there are several.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}

fn of_this_host(console: &Console, parts: &Parts) -> Result<(), Denied> {
    let named = only(&parts.headers, header::HOST) == Some(console.authority.as_str());
    // An address in full wins over the header, so it must say the same.
    let agrees = parts.uri.authority().is_none_or(|authority| authority.as_str() == console.authority);
    if named && agrees { Ok(()) } else { Err(Denied::Host) }
}

fn of_this_browser(console: &Console, headers: &HeaderMap) -> Result<(), Denied> {
    let name = console.cookie_name();
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let known = pairs.any(|(each, value)| each == name && console.session.knows(value));
    if known { Ok(()) } else { Err(Denied::Browser) }
}

/// Browsers name the origin with every POST, and newer ones say where it comes from.
fn of_this_origin(console: &Console, headers: &HeaderMap) -> Result<(), Denied> {
    let named = only(headers, header::ORIGIN) == Some(console.origin().as_str());
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if named && site.is_none_or(|site| site == b"same-origin") { Ok(()) } else { Err(Denied::Origin) }
}

async fn form(headers: &HeaderMap, body: Body) -> Result<Fields, Denied> {
    let kind = only(headers, header::CONTENT_TYPE).unwrap_or_default();
    if kind != "application/x-www-form-urlencoded" {
        return Err(Denied::Unreadable);
    }
    let body = tokio::time::timeout(FORM_TIMEOUT, axum::body::to_bytes(body, MAX_FORM_BYTES)).await;
    match body {
        Ok(Ok(body)) => Ok(Fields::parse(&body)),
        Ok(Err(_)) | Err(_) => Err(Denied::Unreadable),
    }
}

impl Denied {
    fn page(self) -> Page {
        let (status, title, text) = match self {
            Self::Host => (
                StatusCode::MISDIRECTED_REQUEST,
                "This is not the console's address",
                "Open the console by the address that `credvault console` has printed, with the same host and port. Through a \
                 tunnel, use the same port on both sides.",
            ),
            Self::Browser => (
                StatusCode::UNAUTHORIZED,
                "This browser was not let in",
                "The console serves the one browser that has opened the address that `credvault console` has printed. Run \
                 the command again for a new one.",
            ),
            Self::Origin => (
                StatusCode::FORBIDDEN,
                "This came from another page",
                "Only pages of the console itself may change something. Nothing was changed.",
            ),
            Self::FormKey => (
                StatusCode::FORBIDDEN,
                "This form is not of this console",
                "It was made by a console that has ended, or by another page. Nothing was changed; load the page again.",
            ),
            Self::Unreadable => (
                StatusCode::BAD_REQUEST,
                "The form could not be read",
                "It is too large, did not arrive in full, or is none. Nothing was changed.",
            ),
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "This request is not supported",
                "The console answers to GET and to its own forms.",
            ),
        };
        Page::outside(status, title, html! { p { (text) } })
    }
}

/// `same-origin` and not `no-referrer`: with the latter, browsers name no origin in forms.
fn harden(headers: &mut HeaderMap) {
    const ALL: [(HeaderName, &str); 6] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in ALL {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Only assets say otherwise.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}
