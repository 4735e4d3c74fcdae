//! Pages for people. No script; everything that is echoed is escaped; the style comes from this server.

use axum::http::header;
use axum::http::{HeaderName, StatusCode};
use axum::response::{Html, IntoResponse};

/// Without `form-action`: browsers apply it to redirects after a form's submission too, here to the vault's callback and
/// to the URLs that the vault redirects to.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'";

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:4rem auto;padding:0 1rem}\
form{display:inline-block;margin:1rem 1rem 0 0}button{font:inherit;padding:.4rem 1.2rem}\
input{font:inherit;margin:0 .6rem;padding:.3rem}code{overflow-wrap:anywhere}\n";

const INDEX: &str = "<p>This plays a provider of OAuth 2.0 for credvault. It is not one: its tokens open nothing, it \
keeps everything in memory, and everyone who reaches it may do everything.</p>\
<ul><li><code>/authorize</code>, <code>/token</code>, <code>/revoke</code>, <code>/me</code>: the provider. The app is \
<code>simulator-client</code> with the secret <code>simulator-secret</code>.</li>\
<li><code>/wc-auth/v1/authorize</code>: a WooCommerce shop that hands out API keys.</li>\
<li><a href=\"/control/behaviour\"><code>/control/behaviour</code></a>: how it behaves; PUT changes it. \
<a href=\"/control/counts\"><code>/control/counts</code></a>: what it saw. POST <code>/control/reset</code> forgets \
everything.</li></ul>";

/// The message about an invalid account name.
pub(crate) const ACCOUNT: &str = "The account must have 1 to 100 bytes.";

/// A page around this HTML.
pub(crate) fn page(status: StatusCode, title: &str, html: &str) -> impl IntoResponse + use<> {
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let title = escape(title);
    let document = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <link rel=\"stylesheet\" href=\"/style.css\"><h1>{title}</h1>{html}</html>\n"
    );
    (status, headers, Html(document))
}

/// A page with the reason why a request is refused.
pub(crate) fn objection(what: &str) -> impl IntoResponse + use<> {
    page(StatusCode::BAD_REQUEST, "This request cannot be served", &format!("<p>{}</p>", escape(what)))
}

/// Two forms that post to `action`: one allows access, for an account that the person types, the other denies it.
pub(crate) fn decision(action: &str, hidden: &[(&str, &str)]) -> String {
    let hidden: String = hidden
        .iter()
        .map(|(name, value)| {
            format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">", escape(name), escape(value))
        })
        .collect();
    format!(
        "<form method=\"post\" action=\"{action}\">{hidden}<label>Account\
         <input name=\"account\" value=\"shop-1\" required maxlength=\"100\"></label>\
         <button name=\"decision\" value=\"allow\">Allow</button></form>\
         <form method=\"post\" action=\"{action}\">{hidden}\
         <button name=\"decision\" value=\"deny\">Deny</button></form>"
    )
}

/// Text as HTML, in an element or a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
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

/// The index page, which lists the endpoints.
pub(crate) async fn index() -> impl IntoResponse {
    page(StatusCode::OK, "A provider to try credvault with", INDEX)
}

/// The style of all pages.
pub(crate) async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css")], STYLE)
}
