//! How a browser is let in, and how the operator ends the console.

use axum::Extension;
use axum::extract::State;
use axum::response::{Html, IntoResponse as _, Response};
use http::header::SET_COOKIE;
use http::{HeaderValue, StatusCode};
use maud::{DOCTYPE, html};
use secrecy::ExposeSecret as _;

use super::{Given, Shared};
use crate::fields::Fields;
use crate::frame::{Page, Section};

/// Exchanges the ticket of the printed address for the cookie.
pub(crate) async fn begin(State(console): Shared, Extension(fields): Given) -> Response {
    let Some(cookie) = console.session.enter(fields.get("ticket")) else {
        return used().into_response();
    };
    let text =
        format!("{}={}; Path=/; HttpOnly; SameSite=Strict", console.cookie_name(), cookie.expose_secret());
    let mut response = onward();
    // It is ASCII without line breaks.
    if let Ok(mut value) = HeaderValue::try_from(text) {
        value.set_sensitive(true);
        response.headers_mut().insert(SET_COOKIE, value);
    }
    response
}

/// A page that leads on by itself. After a redirect, browsers would keep the new cookie back, because the printed address
/// may have been opened by another program.
fn onward() -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="refresh" content="0; url=/";
                title { "Opening the console · credvault" }
            }
            body { main { p { a href="/" { "Open the console" } } } }
        }
    };
    Html(page.into_string()).into_response()
}

fn used() -> Page {
    let body = html! {
        p {
            "The address that `credvault console` prints opens it once, in one browser, within ten minutes. This one is wrong, was used, or is too old."
        }
        p { "If it was opened in this browser: " a href="/" { "go on to the console" } "." }
        p { "Otherwise run the command again. If you did not open the address yourself, another person of this machine has: end the command at once." }
    };
    Page::outside(StatusCode::FORBIDDEN, "This address does not open the console", body)
}

/// Asks whether to end the console.
pub(crate) async fn ask_to_end(State(console): Shared) -> Page {
    let body = html! {
        p { "The command ends, and its address opens nothing any more. What was begun in the vault continues there." }
        form method="post" action="/end" { (console.form_key()) button { "End the console" } }
    };
    Page::new(Section::Overview, "End the console?", &Fields::default(), body)
}

/// Ends the console after this answer.
pub(crate) async fn end(State(console): Shared) -> Page {
    console.end.cancel();
    let body = html! { p { "Close this page. `credvault console` opens another one." } };
    Page::outside(StatusCode::OK, "The console has ended", body)
}
