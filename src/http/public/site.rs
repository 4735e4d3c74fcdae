//! What all answers of the port have in common: headers, cookies, the files of the design; and the visitor of a request,
//! with the language that it gets. A visitor chooses a language by the parameter `lang`, which a cookie remembers;
//! otherwise the browser's settings decide.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::rejection::ExtensionRejection;
use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use axum::response::{Html, IntoResponse as _, Response};
use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use credvault_operations::consents::browser::Browser;

use super::page::Page;
use super::session_cookie;
use crate::pages::{Asset, Design, Language};

/// `form-action` covers the redirects after a form as well; there are none to another site. There is no
/// `Cross-Origin-Opener-Policy`, because it would cut the window off from the page that opened it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";
/// The same for connect pages, whose script sends forms by itself; the origin that may embed the page follows.
const EMBEDDABLE: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                          form-action 'self'; base-uri 'none'; frame-ancestors";

/// A file whose name holds the hash of its contents never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// A file whose name stays, and which sites of others load.
const FOR_AN_HOUR: &str = "public, max-age=3600";
/// Browsers ask for this file by a name of their own.
const FOR_A_DAY: &str = "public, max-age=86400";

/// The longest value of a cookie, in bytes.
const MAX_COOKIE_BYTES: usize = 128;

/// What is the same for all requests.
#[derive(Clone)]
pub(super) struct Site {
    design: Arc<Design>,
    /// How browsers reach the port, as an origin.
    origin: Arc<str>,
    /// Whether browsers come by https.
    secure: bool,
}

/// The browser of a request and its language.
#[derive(Clone)]
pub(super) struct Visitor {
    /// The browser as consents recognise it.
    pub(super) browser: Browser,
    /// The same browser as connect pages recognise it.
    pub(super) guest: Browser,
    pub(super) language: Arc<Language>,
    pub(super) request: Request,
    /// Whether the person has just chosen that language.
    chooses: bool,
    /// Whether the person has ever chosen it: then a session's language does not count.
    chosen: bool,
}

/// What a browser says about where its request comes from.
#[derive(Clone, Copy)]
pub(super) struct Request {
    /// The answer is shown in a frame of another page.
    pub(super) framed: bool,
    /// The person has not asked for it yet.
    pub(super) ahead: bool,
    /// It comes from a page of the vault's own.
    pub(super) own: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor
where
    Site: FromRef<S>,
{
    type Rejection = ExtensionRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let ConnectInfo(address) = ConnectInfo::<IpAddr>::from_request_parts(parts, state).await?;
        Ok(Site::from_ref(state).visitor(parts.uri.query().unwrap_or_default(), &parts.headers, address))
    }
}

impl Site {
    /// The site at `url`, an origin.
    pub(super) fn new(design: Arc<Design>, url: &str) -> Self {
        Self { design, origin: url.into(), secure: url.starts_with("https:") }
    }

    fn visitor(&self, query: &str, headers: &HeaderMap, address: IpAddr) -> Visitor {
        let languages = &self.design.languages;
        let asked = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "lang");
        let asked = asked.and_then(|(_, tag)| languages.find(&tag));
        let chosen = asked.or_else(|| languages.find(&cookie(headers, self.language_cookie())?));
        let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let language = chosen.unwrap_or_else(|| languages.accepted(accepted.unwrap_or_default()));
        Visitor {
            browser: Browser { id: cookie(headers, self.browser_cookie()), address },
            guest: Browser { id: session_cookie::value(headers, self.secure), address },
            language: Arc::clone(language),
            request: Request {
                framed: session_cookie::is_framed(headers),
                ahead: session_cookie::is_prefetch(headers),
                own: self.is_own(headers),
            },
            chooses: asked.is_some(),
            chosen: chosen.is_some(),
        }
    }

    /// Whether a request comes from a page of this site. Every browser that sends a form says so in one of two headers; one
    /// that says neither is none.
    fn is_own(&self, headers: &HeaderMap) -> bool {
        match headers.get("sec-fetch-site") {
            Some(site) => site == "same-origin",
            None => headers.get(header::ORIGIN).is_some_and(|origin| origin == &*self.origin),
        }
    }

    /// How browsers reach the port, as an origin.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// The visitor in the language of a session, unless the person has chosen one, or the vault does not have it.
    pub(super) fn in_language(&self, visitor: Visitor, tag: &str) -> Visitor {
        let wanted = self.design.languages.nearest(tag).filter(|_| !visitor.chosen).cloned();
        Visitor { language: wanted.unwrap_or_else(|| Arc::clone(&visitor.language)), ..visitor }
    }

    /// Shows a page to a visitor.
    pub(super) fn show(&self, page: &Page, visitor: &Visitor) -> Response {
        metrics::counter!("credvault_pages_total", "page" => page.kind, "reason" => page.reason).increment(1);
        let html = page.html(&self.design, &visitor.language).into_string();
        self.remember(visitor, (page.status, Html(html)).into_response())
    }

    /// Has the browser remember the language, if the person has just chosen it.
    pub(super) fn remember(&self, visitor: &Visitor, mut response: Response) -> Response {
        if visitor.chooses {
            self.set_cookie(self.language_cookie(), &visitor.language.tag, &mut response);
        }
        response
    }

    /// Has the browser remember what it is recognised by.
    pub(super) fn recognise(&self, browser: &str, response: &mut Response) {
        self.set_cookie(self.browser_cookie(), browser, response);
    }

    /// `Lax`, because the provider sends the browser back from its own site.
    fn set_cookie(&self, name: &str, value: &str, response: &mut Response) {
        let secure = if self.secure { "; Secure" } else { "" };
        let cookie = format!("{name}={value}; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax{secure}");
        // It is ASCII without line breaks.
        HeaderValue::try_from(cookie).into_iter().for_each(|value| {
            response.headers_mut().append(header::SET_COOKIE, value);
        });
    }

    /// The prefix has browsers accept it from this very host by https only.
    fn browser_cookie(&self) -> &'static str {
        if self.secure { "__Host-credvault" } else { "credvault" }
    }

    fn language_cookie(&self) -> &'static str {
        if self.secure { "__Host-credvault-language" } else { "credvault-language" }
    }

    /// A file of the design by its name without the folder; `None` if there is none. A file of other contents than the
    /// name says is not kept: replicas of two releases name different ones while the vault is upgraded.
    pub(super) fn file(&self, name: &str) -> Option<Response> {
        let asset = self.design.asset(name)?;
        let response = served(asset, asset.is_named(name).then_some(FOR_EVER));
        let is_element = asset.path == self.design.element.path;
        Some(if is_element { for_other_sites(response) } else { response })
    }

    /// The script for pages of other sites that embed connect pages, under the name that stays.
    pub(super) fn element(&self) -> Response {
        for_other_sites(served(&self.design.element, Some(FOR_AN_HOUR)))
    }

    /// The icon, under the name that browsers ask for without being asked to.
    pub(super) fn icon(&self) -> Response {
        served(&self.design.icon, Some(FOR_A_DAY))
    }

    /// Has browsers recognise this one on connect pages.
    pub(super) fn welcome(&self, value: &str, request: Request, response: &mut Response) {
        let cookie = session_cookie::header_value(value, self.secure, request.framed);
        // It is ASCII without line breaks.
        HeaderValue::try_from(cookie).into_iter().for_each(|value| {
            response.headers_mut().append(header::SET_COOKIE, value);
        });
    }

    /// Sets the headers of a connect page: only pages of `embedder` may show it in a frame. Its forms name their origin, which
    /// they would not without a referrer; the address that this shows goes to no other site.
    pub(super) fn embeddable(&self, embedder: Option<&str>, response: &mut Response) {
        let headers = response.headers_mut();
        let policy = format!("{EMBEDDABLE} {}", embedder.unwrap_or("'none'"));
        // An origin of the settings is ASCII without line breaks.
        HeaderValue::try_from(policy).into_iter().for_each(|value| {
            headers.insert(header::CONTENT_SECURITY_POLICY, value);
        });
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    }

    /// Sets the headers that every response of the port carries, unless a handler has set another value.
    pub(super) fn harden(&self, headers: &mut HeaderMap) {
        const ALL: [(HeaderName, &str); 5] = [
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CACHE_CONTROL, "no-store"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        ];
        for (name, value) in ALL {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        // The older header knows no single origin, so where one may embed the page, the policy alone says so.
        let policy = headers.get(header::CONTENT_SECURITY_POLICY).and_then(|policy| policy.to_str().ok());
        if policy.is_none_or(|policy| policy.ends_with("frame-ancestors 'none'")) {
            headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        }
        if self.secure {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
        }
    }
}

fn served(asset: &Asset, kept: Option<&'static str>) -> Response {
    let kind = [(header::CONTENT_TYPE, asset.content_type)];
    let mut response = (StatusCode::OK, kind, asset.bytes.clone()).into_response();
    if let Some(kept) = kept {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
    }
    response
}

/// Lets pages of other sites load a file, also with a check of its contents.
fn for_other_sites(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let policy = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(policy, HeaderValue::from_static("cross-origin"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// The value of the cookie of this name.
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|cookies| cookies.split("; ")).filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(given, value)| *given == name && value.len() <= MAX_COOKIE_BYTES)?;
    Some(value.to_owned())
}
