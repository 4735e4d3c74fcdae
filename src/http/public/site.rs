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
use crate::pages::{Asset, Design, Language};

/// `form-action` covers the redirects after a form as well; there are none. There is no `Cross-Origin-Opener-Policy`,
/// because it would cut the window off from the page that opened it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// A file whose name holds the hash of its contents never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Browsers ask for this file by a name of their own.
const FOR_A_DAY: &str = "public, max-age=86400";

/// The longest value of a cookie, in bytes.
const MAX_COOKIE_BYTES: usize = 128;

/// What is the same for all requests.
#[derive(Clone)]
pub(super) struct Site {
    design: Arc<Design>,
    /// Whether browsers come by https.
    secure: bool,
}

/// The browser of a request and its language.
pub(super) struct Visitor {
    pub(super) browser: Browser,
    pub(super) language: Arc<Language>,
    /// Whether the person has just chosen that language.
    chooses: bool,
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
    pub(super) fn new(design: Arc<Design>, secure: bool) -> Self {
        Self { design, secure }
    }

    fn visitor(&self, query: &str, headers: &HeaderMap, address: IpAddr) -> Visitor {
        let languages = &self.design.languages;
        let asked = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "lang");
        let asked = asked.and_then(|(_, tag)| languages.find(&tag));
        let language = asked.or_else(|| languages.find(&cookie(headers, self.language_cookie())?));
        let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let language = language.unwrap_or_else(|| languages.accepted(accepted.unwrap_or_default()));
        Visitor {
            browser: Browser { id: cookie(headers, self.browser_cookie()), address },
            language: Arc::clone(language),
            chooses: asked.is_some(),
        }
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
        Some(served(asset, asset.is_named(name).then_some(FOR_EVER)))
    }

    /// The icon, under the name that browsers ask for without being asked to.
    pub(super) fn icon(&self) -> Response {
        served(&self.design.icon, Some(FOR_A_DAY))
    }

    /// Sets the headers that every response of the port carries, unless a handler has set another value.
    pub(super) fn harden(&self, headers: &mut HeaderMap) {
        const ALL: [(HeaderName, &str); 6] = [
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::CACHE_CONTROL, "no-store"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        ];
        for (name, value) in ALL {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
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

/// The value of the cookie of this name.
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|cookies| cookies.split("; ")).filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(given, value)| *given == name && value.len() <= MAX_COOKIE_BYTES)?;
    Some(value.to_owned())
}
