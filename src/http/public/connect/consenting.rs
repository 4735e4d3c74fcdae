//! Consents of a connect page: the way to the provider, and back. The provider's page needs a window of its own, or the place of
//! this one; it never comes into a frame.
//!
//! A window without the page's cookie, as one that an embedded page has opened, hands the result to the page that opened it,
//! if that is one of the vault's own. Where the provider has cut the window off, the result is of no use to it, and it says so.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use credvault_domain::{ConnectSessionId, ConnectionId, ProviderId};
use credvault_operations::Refusal;
use credvault_operations::connect::{Awaited, Begun, ConsentWay, Form};
use credvault_operations::consents::browser::{Parameters, ReturnPage, Returned};
use credvault_store::Error as StoreError;
use http::StatusCode;
use maud::html;
use secrecy::{ExposeSecret as _, SecretString};

use super::desk::{Answer, Event, Guest, change, look};
use super::failed;
use super::notice::{self, Done, Notice};
use crate::http::public::page::Page;
use crate::http::public::port::{Port, parameters};
use crate::http::public::site::Visitor;
use crate::http::public::{consent, refused};
use crate::pages::parts::{Tone, Weight, link, link_to_window};
use crate::pages::texts::{Said, fill};

/// The way to the provider that a form asks for. Only a script can open a window and wait for it.
pub(super) fn way(fields: &Parameters) -> ConsentWay {
    if fields.get("way").is_some_and(|way| way == "window") { ConsentWay::Window } else { ConsentWay::Page }
}

/// The page from which a person continues to the provider. It is no redirect: after a form, the content security policy permits
/// none to another site.
pub(super) fn onward(guest: &Guest, begun: &Begun, asked: &Form, way: ConsentWay) -> Page {
    let texts = &guest.texts().onward;
    let filling = |text: &str| fill(text, &[("provider", asked.provider_name.as_str())]);
    let url = format!("{}&lang={}", begun.url.expose_secret(), guest.language.tag);
    let (text, button) = match way {
        ConsentWay::Page => (&texts.page, link(&url, Weight::Primary, &filling(&texts.link))),
        ConsentWay::Window => (&texts.window, link_to_window(&url, Weight::Primary, &filling(&texts.link))),
    };
    let said = Said { title: filling(&texts.title), text: filling(text) };
    let content = html! {
        // A script shows it when it finds that there is no window.
        @if way == ConsentWay::Window { p id="closed" class="notice warn" role="status" hidden { (filling(&texts.closed)) } }
        div class="actions" id="follow" data-connection=(begun.connection) data-provider=(asked.provider.as_str()) { (button) (link(&guest.path(""), Weight::Secondary, &guest.texts().back)) }
    };
    guest.page(StatusCode::OK, "onward", &said, &content).in_tone(Tone::Neutral)
}

/// Completes a consent with the result that a window has handed to its page.
pub(super) async fn complete(
    State(port): State<Arc<Port>>,
    Path(session): Path<String>,
    visitor: Visitor,
    body: Body,
) -> Response {
    change(port, session, visitor, body, |guest, changes, mut fields| async move {
        let result = SecretString::from(fields.remove("result").unwrap_or_default());
        let awaited = fields.get("page").and_then(|url| Awaited::read(url, &guest.origin));
        match changes.visit().complete(result).await {
            Ok(connection) => Ok(connected(&guest, "", connection, awaited.map(|awaited| awaited.provider))),
            Err(refusal) => Ok(Answer::page(not_connected(&guest, awaited.as_ref(), &refusal))),
        }
    })
    .await
}

/// What a window shows whose consent is complete, for the page that opened it; without such a page it becomes the list.
pub(super) async fn window(
    State(port): State<Arc<Port>>,
    Path(session): Path<String>,
    RawQuery(query): RawQuery,
    visitor: Visitor,
) -> Response {
    let known = match session.parse() {
        Ok(id) => is_known(&port, id, &visitor).await,
        Err(_) => Some(false),
    };
    let Some(known) = known else {
        return port.show(&refused::busy(&visitor.language.texts.refused), &visitor);
    };
    if !known {
        let said = &visitor.language.texts.connect.cut;
        return port.show(&Page::said(StatusCode::OK, "cut", said).in_tone(Tone::Bad), &visitor);
    }
    let query = parameters(query.as_deref().unwrap_or_default());
    look(port, session, visitor, move |guest| async move {
        let Some(told) = notice::read(&guest, &query) else {
            return Ok(Answer::To(format!("{}{}", guest.path(""), about(&query))));
        };
        let url = format!("{}{}", guest.origin, notice::address(&guest, "", &told));
        let back = ReturnPage { origin: guest.origin.clone(), url };
        let page = Page::said(StatusCode::OK, "window", &guest.texts().window).in_tone(Tone::Good);
        Ok(Answer::page(page.telling(Some(back), "connected")))
    })
    .await
}

/// What an address says that a consent was about, for the list, which tells it the application's page; or nothing.
fn about(query: &Parameters) -> String {
    let of = query.get("of").and_then(|connection| connection.parse::<ConnectionId>().ok());
    let at = query.get("at").and_then(|provider| ProviderId::parse(provider).ok());
    of.zip(at).map(|(of, at)| format!("?of={of}&at={}", at.as_str())).unwrap_or_default()
}

/// Whether this browser has opened the session; `None` if there is no turn to find out.
async fn is_known(port: &Port, id: ConnectSessionId, visitor: &Visitor) -> Option<bool> {
    let _turn = port.turn().await?;
    Some(port.visits.is_open_in(id, &visitor.guest).await)
}

/// Continues a consent that has come back, if a connect page began it.
///
/// # Errors
/// What was found itself, if it is of another page, or of none.
pub(in crate::http::public) async fn come_back(
    port: &Arc<Port>,
    visitor: &Visitor,
    found: Returned,
) -> Result<Response, Box<Returned>> {
    let Returned::ToPage { provider, page, result } = found else { return Err(Box::new(found)) };
    let Some(awaited) = Awaited::read(&page.url, port.site.origin()) else {
        return Err(Box::new(Returned::ToPage { provider, page, result }));
    };
    let id = awaited.session;
    if awaited.way == ConsentWay::Window && is_known(port, id, visitor).await != Some(true) {
        let texts = &visitor.language.texts.consent;
        let page = consent::returned(Returned::ToPage { provider, page, result }, texts);
        return Ok(port.show(&page, visitor));
    }
    let work = move |guest| completed(guest, awaited, result);
    Ok(look(Arc::clone(port), id.to_string(), visitor.clone(), work).await)
}

async fn completed(guest: Guest, awaited: Awaited, result: SecretString) -> Result<Answer, Refusal> {
    let done = guest.visit.complete(result).await;
    Ok(match (done, awaited.way) {
        (Ok(connection), ConsentWay::Window) => {
            connected(&guest, "/window", connection, Some(awaited.provider))
        }
        (Ok(connection), ConsentWay::Page) => connected(&guest, "", connection, Some(awaited.provider)),
        (Err(refusal), ConsentWay::Window) => {
            Answer::page(not_connected_in_window(&guest, &awaited, &refusal))
        }
        (Err(refusal), ConsentWay::Page) => Answer::page(not_connected(&guest, Some(&awaited), &refusal)),
    })
}

fn connected(guest: &Guest, rest: &str, connection: ConnectionId, provider: Option<ProviderId>) -> Answer {
    Answer::To(notice::address(guest, rest, &Notice { done: Done::Connected, connection, provider }))
}

/// Says why a consent could not be completed, to the application's page as well.
fn not_connected(guest: &Guest, awaited: Option<&Awaited>, refusal: &Refusal) -> Page {
    let connection = awaited.map(|awaited| awaited.connection.to_string()).unwrap_or_default();
    let provider = awaited.map_or("", |awaited| awaited.provider.as_str());
    guest.failed(refusal, Some(Event { name: "failed", connection: &connection, provider }))
}

/// The same in a window, for the page that has opened it: that one says so, and closes the window.
fn not_connected_in_window(guest: &Guest, awaited: &Awaited, refusal: &Refusal) -> Page {
    let is_other = matches!(refusal, Refusal::Store(StoreError::OtherAccount));
    let url = format!("{}{}?{}", guest.origin, guest.path(""), awaited.query());
    let back = ReturnPage { origin: guest.origin.clone(), url };
    let page = failed::page(refusal, &guest.language.texts, html! {});
    page.telling(Some(back), if is_other { "other_account" } else { "failed" })
}
