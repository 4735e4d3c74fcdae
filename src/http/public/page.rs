//! The pages that people see. What varies in them is the vault's own text, and the id of an account as the provider
//! wrote it. `maud` escapes all of it.

use axum::response::{Html, IntoResponse, Response};
use credvault_domain::Reason;
use credvault_operations::consents::browser::{Question, ReturnPage};
use http::header::{self, HeaderMap, HeaderName};
use http::{HeaderValue, StatusCode};
use maud::{DOCTYPE, Markup, html};
use secrecy::{ExposeSecret as _, SecretString};

/// `form-action` covers the redirects after a form as well; there are none. There is no `Cross-Origin-Opener-Policy`,
/// because it would cut the window off from the page that opened it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// A page with its status and, if the consent has ended, the message to the application.
pub(super) struct Page {
    pub(super) status: StatusCode,
    /// The name of the page in metrics. It stays when the wording of the title changes.
    pub(super) kind: &'static str,
    pub(super) title: &'static str,
    /// What happened, and what the person can do.
    pub(super) text: String,
    /// The reason of the error, or empty.
    pub(super) reason: &'static str,
    pub(super) message: Option<Box<Message>>,
    pub(super) question: Option<Box<Question>>,
}

/// The message to the page that waits.
pub(super) struct Message {
    /// The page that receives it.
    pub(super) back: ReturnPage,
    /// `returned`, `denied` or `failed`.
    pub(super) outcome: &'static str,
    /// The `result` for CompleteAuthorization.
    pub(super) result: Option<SecretString>,
}

impl Page {
    pub(super) fn plain(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        text: impl Into<String>,
    ) -> Self {
        Self { status, kind, title, text: text.into(), reason: "", message: None, question: None }
    }

    pub(super) fn because(self, reason: &'static str) -> Self {
        Self { reason, ..self }
    }

    pub(super) fn telling(self, back: Option<ReturnPage>, outcome: &'static str) -> Self {
        Self { message: back.map(|back| Box::new(Message { back, outcome, result: None })), ..self }
    }

    pub(super) fn with_result(mut self, result: SecretString) -> Self {
        if let Some(message) = &mut self.message {
            message.result = Some(result);
        }
        self
    }

    fn html(&self) -> Markup {
        let message = self.message.as_deref();
        html! {
            (DOCTYPE)
            html lang="en" {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                link rel="stylesheet" href="/page.css";
                script src="/page.js" defer {}
                title { (self.title) }
                main
                    data-origin=[message.map(|message| &message.back.origin)]
                    data-outcome=[message.map(|message| message.outcome)]
                    data-reason=[message.map(|_| self.reason)]
                    data-result=[message.map(Message::result)] {
                    h1 { (self.title) }
                    p { (self.text) }
                    @if let Some(message) = message { (message.onward(self.reason)) }
                    @if let Some(question) = &self.question { (html_of(question)) }
                    @if !self.reason.is_empty() {
                        details { summary { "Details" } p class="reason" { (self.reason) } }
                    }
                }
            }
        }
    }
}

impl Message {
    fn result(&self) -> &str {
        self.result.as_ref().map_or("", |result| result.expose_secret())
    }

    /// The way back by hand: the same message in the address's fragment, which browsers send to no server.
    fn onward(&self, reason: &str) -> Markup {
        let pairs = [
            ("type", "credvault.authorization"),
            ("outcome", self.outcome),
            ("reason", reason),
            ("result", self.result()),
        ];
        let fragment = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let name = self.back.origin.split_once("://").map_or(self.back.origin.as_str(), |(_, name)| name);
        html! { p id="onward" { a href={ (self.back.url) "#" (fragment) } { "Continue at " (name) } } }
    }
}

/// What the person confirms, with a button for each decision.
fn html_of(question: &Question) -> Markup {
    let Question { provider, account, tenant, code, consent } = question;
    html! {
        dl {
            dt { "Provider" } dd { (provider) }
            dt { "Account" } dd { (account) }
            dt { "For" } dd { (tenant) }
        }
        p class="code" { (code) }
        div {
            @for (decision, label) in [("connect", "Connect"), ("cancel", "Cancel")] {
                form method="post" action="/oauth/confirm" {
                    input type="hidden" name="consent" value=(consent);
                    input type="hidden" name="decision" value=(decision);
                    button { (label) }
                }
            }
        }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        (self.status, Html(self.html().into_string())).into_response()
    }
}

/// Sets the headers that every response of the port carries.
pub(super) fn harden(headers: &mut HeaderMap, secure: bool) {
    const ALL: [(HeaderName, &str); 6] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in ALL {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if secure {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
}

pub(super) fn home() -> Page {
    Page::plain(
        StatusCode::OK,
        "home",
        "credvault",
        "This site connects accounts. Begin in the application for which you want to connect one.",
    )
}

pub(super) fn busy() -> Page {
    let text = "The service is busy at the moment. Load this page again in a minute.";
    Page::plain(StatusCode::SERVICE_UNAVAILABLE, "busy", "Please wait", text)
        .because(Reason::RateLimited.as_str())
}

pub(super) fn unreadable() -> Page {
    let text = "The request of your browser was too large, or did not arrive in full. Begin again in the application.";
    Page::plain(StatusCode::BAD_REQUEST, "unreadable", "The request could not be read", text)
        .because(Reason::FieldsInvalid.as_str())
}

pub(super) fn broken() -> Page {
    let text =
        "The vault failed. Look in the application whether the account is connected, and begin again if not.";
    Page::plain(StatusCode::INTERNAL_SERVER_ERROR, "broken", "Something went wrong", text)
        .because(Reason::Internal.as_str())
}

pub(super) fn no_cookies() -> Page {
    let text = "Your browser keeps no cookies for this page, which it needs to tell you from others. Allow them, or open the \
                page in a window of its own.";
    Page::plain(StatusCode::BAD_REQUEST, "no_cookies", "This page needs cookies", text)
        .because(Reason::StateForeign.as_str())
}

pub(super) fn not_found() -> Page {
    let text = "There is no page at this address. Begin in the application for which you want to connect an account.";
    Page::plain(StatusCode::NOT_FOUND, "not_found", "There is nothing here", text)
}

pub(super) fn other_method() -> Page {
    let text = "This address does not accept this kind of request. Begin again in the application.";
    Page::plain(StatusCode::METHOD_NOT_ALLOWED, "other_method", "This request is not supported", text)
}

pub(super) async fn script() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("page.js"))
}

pub(super) async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("page.css"))
}
