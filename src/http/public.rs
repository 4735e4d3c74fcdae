//! The port for browsers: plain HTTP, with the reverse proxy's TLS before it. Browsers start here on their way to a
//! provider, come back here, and leave with a result for the page that opened them, or after the person has decided. Connect
//! pages are here, too. Providers that deliver keys post them here. No page shows a secret, nor anything that a provider or a
//! stranger has written, except the id of an account.

mod session_cookie;

mod page;
mod site;

mod port;

mod refused;

mod consent;

mod connect;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::middleware::map_response;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use credvault_domain::ProviderId;
use credvault_operations::Context;
use credvault_operations::consents::browser::{Connected, Refused, Started};
use http::StatusCode;

use port::{Port, bytes, form, parameters, see_other};
use site::Visitor;

use crate::pages::Design;

/// The routes of the port. Browsers reach it at `url`, and its pages have this design.
pub(crate) fn router(context: Arc<Context>, url: &str, design: Arc<Design>) -> Router {
    let port = Port::new(context, url, design);
    let site = port.site.clone();
    Router::new()
        .route("/", get(home))
        .route("/assets/{file}", get(file))
        .route("/favicon.ico", get(icon))
        .route("/oauth/start", get(start))
        .route("/oauth/callback/{*place}", get(callback).post(posted))
        .route("/oauth/return/{page}", get(returned))
        .route("/oauth/confirm", post(confirm))
        .route("/oauth/handoff/{provider}", post(deliver_keys))
        .merge(connect::routes())
        .fallback(nothing)
        .method_not_allowed_fallback(other_method)
        .layer(map_response(move |mut response: Response| {
            site.harden(response.headers_mut());
            std::future::ready(response)
        }))
        .with_state(Arc::new(port))
}

async fn home(State(port): State<Arc<Port>>, visitor: Visitor) -> Response {
    port.show(&consent::home(&port.design.brand.name, &visitor.language.texts.home), &visitor)
}

async fn nothing(State(port): State<Arc<Port>>, visitor: Visitor) -> Response {
    port.show(&refused::not_found(&visitor.language.texts.refused), &visitor)
}

async fn other_method(State(port): State<Arc<Port>>, visitor: Visitor) -> Response {
    port.show(&refused::other_method(&visitor.language.texts.refused), &visitor)
}

async fn file(State(port): State<Arc<Port>>, Path(file): Path<String>, visitor: Visitor) -> Response {
    match port.site.file(&file) {
        Some(found) => found,
        None => nothing(State(port), visitor).await,
    }
}

async fn icon(State(port): State<Arc<Port>>) -> Response {
    port.site.icon()
}

async fn start(State(port): State<Arc<Port>>, RawQuery(query): RawQuery, visitor: Visitor) -> Response {
    let query = parameters(query.as_deref().unwrap_or_default());
    let Some(_turn) = port.turn().await else { return answer(&port, Next::Busy, &visitor) };
    match port.browsers.start(&query, &visitor.browser).await {
        Ok(Started { url, browser }) => {
            let mut response = see_other(&url);
            port.site.recognise(&browser, &mut response);
            port.site.remember(&visitor, response)
        }
        Err(refused) => answer(&port, Next::Refused(refused), &visitor),
    }
}

async fn callback(
    State(port): State<Arc<Port>>,
    Path(place): Path<String>,
    RawQuery(query): RawQuery,
    visitor: Visitor,
) -> Response {
    let query = parameters(query.as_deref().unwrap_or_default());
    let (work, browser) = (Arc::clone(&port), visitor.browser.clone());
    let next = port.whole(async move {
        let Some(_turn) = work.turn().await else { return Next::Busy };
        match work.browsers.callback(&place, query, &browser).await {
            Ok(page) => Next::Returned(page),
            Err(refused) => Next::Refused(refused),
        }
    });
    answer(&port, next.await.unwrap_or(Next::Broken), &visitor)
}

/// A provider that has the browser post its answer (`response_mode=form_post`) does so from its own site, and browsers
/// keep the cookie back from that. So they are sent here once more, by GET.
async fn posted(
    State(port): State<Arc<Port>>,
    Path(place): Path<String>,
    visitor: Visitor,
    body: Body,
) -> Response {
    // The place becomes a part of a header: a provider, and behind a slash the name of one of its servers.
    let (provider, server) = place.split_once('/').unwrap_or((&place, ""));
    let plain = server.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if ProviderId::parse(provider).is_err() || !plain {
        return nothing(State(port), visitor).await;
    }
    let Some(form) = form(body).await else { return answer(&port, Next::Unreadable, &visitor) };
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    see_other(&format!("/oauth/callback/{place}?{query}"))
}

async fn returned(State(port): State<Arc<Port>>, Path(page): Path<String>, visitor: Visitor) -> Response {
    let found = {
        let Some(_turn) = port.turn().await else { return answer(&port, Next::Busy, &visitor) };
        port.browsers.returned(&page, &visitor.browser).await
    };
    match found {
        Ok(found) => match connect::come_back(&port, &visitor, found).await {
            Ok(response) => response,
            Err(found) => port.show(&consent::returned(*found, &visitor.language.texts.consent), &visitor),
        },
        // What is over has told its page already.
        Err(refused) => answer(&port, Next::Refused(Refused { waiting: None, ..refused }), &visitor),
    }
}

async fn confirm(State(port): State<Arc<Port>>, visitor: Visitor, body: Body) -> Response {
    let Some(form) = form(body).await else { return answer(&port, Next::Unreadable, &visitor) };
    let (work, browser) = (Arc::clone(&port), visitor.browser.clone());
    let next = port.whole(async move {
        let Some(_turn) = work.turn().await else { return Next::Busy };
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let connects = field("decision") == "connect";
        match work.browsers.decided(field("consent"), connects, &browser).await {
            Ok(connected) => Next::Connected(connected),
            Err(refused) => Next::Refused(refused),
        }
    });
    answer(&port, next.await.unwrap_or(Next::Broken), &visitor)
}

/// Answers whether the keys were accepted, and nothing else, such as what was wrong. Shops delete keys that were not
/// accepted with 200.
async fn deliver_keys(State(port): State<Arc<Port>>, Path(provider): Path<String>, body: Body) -> Response {
    let taken = match (bytes(body).await, port.turn().await) {
        (Some(body), Some(_turn)) => port.browsers.deliver_keys(&provider, &body).await,
        _ => false,
    };
    if taken { StatusCode::OK } else { StatusCode::BAD_REQUEST }.into_response()
}

/// What a browser gets next, in whatever language.
enum Next {
    /// It goes to a page of the vault's own with this in its address, which can be loaded again.
    Returned(String),
    /// It has connected an account.
    Connected(Connected),
    /// It is refused, and reads why.
    Refused(Refused),
    /// All turns are taken.
    Busy,
    /// Its request did not arrive.
    Unreadable,
    /// The vault failed while it worked.
    Broken,
}

fn answer(port: &Port, next: Next, visitor: &Visitor) -> Response {
    let texts = &visitor.language.texts;
    let page = match next {
        Next::Returned(page) => return see_other(&format!("/oauth/return/{page}")),
        Next::Connected(connected) => consent::connected(&connected, &texts.consent),
        Next::Refused(refused) => refused::page_of(refused, &texts.refused),
        Next::Busy => refused::busy(&texts.refused),
        Next::Unreadable => refused::unreadable(&texts.refused),
        Next::Broken => refused::broken(&texts.refused),
    };
    port.show(&page, visitor)
}
