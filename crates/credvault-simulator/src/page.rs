//! Pages for people. They have no script, their style comes from this server, and `maud` escapes what they echo.

use axum::http::header;
use axum::http::{HeaderName, StatusCode};
use axum::response::{Html, IntoResponse};
use maud::{DOCTYPE, Markup, html};

use crate::credentials::{CLIENT_ID, CLIENT_SECRET};

/// Without `form-action`: browsers apply it also to the redirects after a form, which lead to the vault's callback and
/// from there to the application.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'";

const STYLE: &str = ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:4rem auto;padding:0 1rem}\
form{display:inline-block;margin:1rem 1rem 0 0}button{font:inherit;padding:.4rem 1.2rem}\
input{font:inherit;margin:0 .6rem;padding:.3rem}code{overflow-wrap:anywhere}\n";

/// The message about an invalid account name.
pub(crate) const ACCOUNT: &str = "The account must have 1 to 100 bytes.";

/// A page with this content under its title.
pub(crate) fn page(status: StatusCode, title: &str, content: &Markup) -> impl IntoResponse + use<> {
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            title { (title) }
            link rel="stylesheet" href="/style.css";
            main { h1 { (title) } (content) }
        }
    };
    (status, headers, Html(document.into_string()))
}

/// A page with the reason why a request is refused.
pub(crate) fn objection(what: &str) -> impl IntoResponse + use<> {
    page(StatusCode::BAD_REQUEST, "This request cannot be served", &html! { p { (what) } })
}

/// Two forms that post to `action`: one allows access, for an account that the person types, the other denies it.
pub(crate) fn decision(action: &str, hidden: &[(&str, &str)]) -> Markup {
    let hidden = html! {
        @for (name, value) in hidden { input type="hidden" name=(name) value=(value); }
    };
    html! {
        form method="post" action=(action) {
            (hidden)
            label { "Account" input name="account" value="shop-1" required maxlength="100"; }
            button name="decision" value="allow" { "Allow" }
        }
        form method="post" action=(action) {
            (hidden)
            button name="decision" value="deny" { "Deny" }
        }
    }
}

/// The page at `/`, which says what this server is.
pub(crate) async fn index() -> impl IntoResponse {
    let content = html! {
        p {
            "This plays a provider of OAuth 2.0 for credvault. It is not a real one: its tokens open nothing, it keeps \
             everything in memory, and every client that reaches it may do everything."
        }
        ul {
            li {
                code { "/authorize" } ", " code { "/token" } ", " code { "/revoke" } ", " code { "/me" }
                ": the provider. The app is " code { (CLIENT_ID) } " with the secret " code { (CLIENT_SECRET) } "."
            }
            li { code { "/wc-auth/v1/authorize" } ": a WooCommerce shop that hands out API keys." }
            li {
                a href="/control/behaviour" { code { "/control/behaviour" } } ": how it behaves; PUT changes it. "
                a href="/control/counts" { code { "/control/counts" } } ": what it saw. POST "
                code { "/control/reset" } " forgets everything."
            }
        }
    };
    page(StatusCode::OK, "A provider to try credvault with", &content)
}

/// The style of all pages.
pub(crate) async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css")], STYLE)
}
