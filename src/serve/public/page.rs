//! The pages that people see. What is dynamic in them is the vault's own, and escaped; no text of a provider is shown.

use std::fmt::Write as _;

use axum::response::{Html, IntoResponse, Response};
use credvault_domain::Reason;
use http::header::{self, HeaderMap, HeaderName};
use http::{HeaderValue, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};

/// `form-action` covers the redirects after a form, too; there are none. No `Cross-Origin-Opener-Policy`, for that would
/// cut the window off from the page that opened it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// One page.
pub(super) struct Page {
    pub(super) status: StatusCode,
    pub(super) title: &'static str,
    /// What happened and what to do.
    pub(super) text: String,
    /// The reason, as errors call it; empty where all is well.
    pub(super) reason: &'static str,
    pub(super) message: Option<Box<Message>>,
    pub(super) question: Option<Box<Question>>,
}

/// What the page that opened the window is told.
pub(super) struct Message {
    /// Whom it is for.
    pub(super) origin: String,
    /// `returned`, `denied` or `failed`.
    pub(super) outcome: &'static str,
    /// What CompleteAuthorization wants.
    pub(super) result: Option<SecretString>,
}

/// What the person confirms.
pub(super) struct Question {
    pub(super) provider: String,
    pub(super) account: String,
    pub(super) tenant: String,
    pub(super) code: String,
    pub(super) state: SecretString,
    pub(super) result: SecretString,
}

impl Page {
    pub(super) fn plain(status: StatusCode, title: &'static str, text: impl Into<String>) -> Self {
        Self { status, title, text: text.into(), reason: "", message: None, question: None }
    }

    pub(super) fn because(self, reason: &'static str) -> Self {
        Self { reason, ..self }
    }

    pub(super) fn telling(self, origin: Option<String>, outcome: &'static str) -> Self {
        Self { message: origin.map(|origin| Box::new(Message { origin, outcome, result: None })), ..self }
    }

    fn html(&self) -> String {
        let mut html = String::from(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><link rel=\"stylesheet\" href=\"/page.css\">\
             <script src=\"/page.js\" defer></script>",
        );
        let title = escape(self.title);
        // Writing to a string cannot fail.
        let _ = write!(html, "<title>{title}</title><main");
        if let Some(Message { origin, outcome, result }) = self.message.as_deref() {
            let result = result.as_ref().map_or("", |result| result.expose_secret());
            let data = [
                ("origin", origin.as_str()),
                ("outcome", outcome),
                ("reason", self.reason),
                ("result", result),
            ];
            for (name, value) in data {
                let _ = write!(html, " data-{name}=\"{}\"", escape(value));
            }
        }
        let _ = write!(html, "><h1>{title}</h1><p>{}</p>", escape(&self.text));
        if self.message.is_some() {
            html.push_str(
                "<p id=\"alone\" hidden>The page that opened this window is gone. Go back to it and connect again.</p>",
            );
        }
        if let Some(question) = &self.question {
            question.write(&mut html);
        }
        if !self.reason.is_empty() {
            let _ = write!(html, "<p class=\"reason\">{}</p>", escape(self.reason));
        }
        html.push_str("</main></html>\n");
        html
    }
}

impl Question {
    fn write(&self, html: &mut String) {
        let Self { provider, account, tenant, code, state, result } = self;
        let rows = [("Provider", provider), ("Account", account), ("For", tenant)];
        html.push_str("<dl>");
        for (name, value) in rows {
            let _ = write!(html, "<dt>{name}</dt><dd>{}</dd>", escape(value));
        }
        let _ = write!(html, "</dl><p class=\"code\">{}</p>", escape(code));
        html.push_str("<form method=\"post\" action=\"/oauth/confirm\">");
        for (name, value) in [("state", state), ("result", result)] {
            let value = escape(value.expose_secret());
            let _ = write!(html, "<input type=\"hidden\" name=\"{name}\" value=\"{value}\">");
        }
        html.push_str("<button id=\"confirm\">Connect</button></form>");
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        (self.status, Html(self.html())).into_response()
    }
}

/// What every answer of the port carries.
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
        "credvault",
        "Accounts are connected here. Begin in the application that you want to connect.",
    )
}

pub(super) fn busy() -> Page {
    let text = "Too much is going on at the moment. Load this page again in a while.";
    Page::plain(StatusCode::SERVICE_UNAVAILABLE, "Please wait", text).because(Reason::RateLimited.as_str())
}

pub(super) fn unreadable() -> Page {
    let text = "What your browser sent is too large, or did not arrive. Begin again in the application.";
    Page::plain(StatusCode::BAD_REQUEST, "This cannot be read", text).because(Reason::FieldsInvalid.as_str())
}

pub(super) fn broken() -> Page {
    let text =
        "The vault failed. Look in the application whether the account is connected, and begin again if not.";
    Page::plain(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong", text)
        .because(Reason::Internal.as_str())
}

pub(super) async fn script() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("page.js"))
}

pub(super) async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("page.css"))
}

/// Text as HTML, in elements and in quoted attributes.
fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}
