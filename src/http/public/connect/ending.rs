//! How a connection ends, and how the page does. Each end of a connection first says what will happen.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use credvault_domain::{AccountName, ConnectAction, ConnectionId, Revocation};
use credvault_operations::connect::{Consequences, Ended};
use http::StatusCode;
use maud::{Markup, html};

use super::desk::{Answer, Event, Guest, change, connection_id, look};
use super::notice::{self, Done, Notice};
use crate::http::public::page::Page;
use crate::http::public::port::Port;
use crate::http::public::site::Visitor;
use crate::pages::parts::{Weight, facts, link};
use crate::pages::texts::{EndTexts, Said, fill};

/// The page that asks whether a connection shall be disconnected.
pub(super) async fn ask(
    State(port): State<Arc<Port>>,
    Path((session, connection)): Path<(String, String)>,
    visitor: Visitor,
) -> Response {
    confirmation(port, session, connection, visitor, ConnectAction::Disconnect).await
}

/// The page that asks whether a connection shall be removed.
pub(super) async fn ask_removal(
    State(port): State<Arc<Port>>,
    Path((session, connection)): Path<(String, String)>,
    visitor: Visitor,
) -> Response {
    confirmation(port, session, connection, visitor, ConnectAction::Remove).await
}

async fn confirmation(
    port: Arc<Port>,
    session: String,
    connection: String,
    visitor: Visitor,
    action: ConnectAction,
) -> Response {
    look(port, session, visitor, move |guest| async move {
        let id = connection_id(&connection)?;
        let consequences = guest.visit.consequences(id, action).await?;
        Ok(Answer::page(page(&guest, id, action, &consequences)))
    })
    .await
}

fn page(guest: &Guest, id: ConnectionId, action: ConnectAction, ends: &Consequences) -> Page {
    let texts = &guest.texts().end;
    let removes = action == ConnectAction::Remove;
    let (kind, path, title, button) = match removes {
        true => ("remove", "remove", &texts.remove_title, &texts.remove),
        false => ("disconnect", "disconnect", &texts.disconnect_title, &texts.disconnect),
    };
    let provider = [("provider", ends.provider_name.as_str())];
    let account = if ends.account_name == AccountName::DEFAULT { "" } else { ends.account_name.as_str() };
    let content = html! {
        (facts(&[(guest.texts().provider.as_str(), ends.provider_name.as_str()), (guest.texts().account.as_str(), account)]))
        (what_happens(texts, ends, removes))
        form method="post" action=(guest.path(&format!("/c/{id}/{path}"))) {
            (guest.proof())
            div class="actions" {
                button class="button danger" { (button) }
                a class="button" href=(guest.path("")) { (texts.keep) }
            }
        }
    };
    guest.page(
        StatusCode::OK,
        kind,
        &Said { title: fill(title, &provider), text: texts.text.clone() },
        &content,
    )
}

fn what_happens(texts: &EndTexts, ends: &Consequences, removes: bool) -> Markup {
    let provider = [("provider", ends.provider_name.as_str())];
    let more = ends.more_services.to_string();
    html! {
        ul {
            @if ends.has_credential { li { (texts.destroyed) } }
            @if ends.has_credential && ends.revokes { li { (fill(&texts.revoked, &provider)) } }
            @if ends.has_credential && !ends.revokes { li { (fill(&texts.not_revoked, &provider)) } }
            @if ends.shared { li { (texts.shared) } }
            @if ends.default { li { (texts.default) } }
            @if !ends.services.is_empty() { li { (fill(&texts.services, &[("services", ends.services.join(", ").as_str())])) } }
            @if ends.more_services > 0 { li { (fill(&texts.more_services, &[("number", more.as_str())])) } }
            li { (if removes { &texts.leaves_list } else { &texts.stays }) }
        }
    }
}

/// Disconnects a connection, which stays in the list.
pub(super) async fn disconnect(
    State(port): State<Arc<Port>>,
    Path((session, connection)): Path<(String, String)>,
    visitor: Visitor,
    body: Body,
) -> Response {
    change(port, session, visitor, body, move |guest, changes, _| async move {
        let connection = connection_id(&connection)?;
        let ended = changes.disconnect(connection).await?;
        Ok(told(&guest, connection, ended, (Done::Disconnected, Done::Remains)))
    })
    .await
}

/// Disconnects a connection and takes it off the list.
pub(super) async fn remove(
    State(port): State<Arc<Port>>,
    Path((session, connection)): Path<(String, String)>,
    visitor: Visitor,
    body: Body,
) -> Response {
    change(port, session, visitor, body, move |guest, changes, _| async move {
        let connection = connection_id(&connection)?;
        let ended = changes.remove(connection).await?;
        Ok(told(&guest, connection, ended, (Done::Removed, Done::RemovedRemains)))
    })
    .await
}

/// The list, which says that a connection has ended: the first of two notices, or the second where something remains.
fn told(guest: &Guest, connection: ConnectionId, ended: Ended, (all, rest): (Done, Done)) -> Answer {
    let done = if remains(ended.revocation) { rest } else { all };
    Answer::To(notice::address(guest, "", &Notice { done, connection, provider: Some(ended.provider) }))
}

/// Whether something is left at the provider that the person has to remove there.
fn remains(revocation: Option<Revocation>) -> bool {
    match revocation {
        Some(Revocation::Unsupported | Revocation::Failed) => true,
        // Another connection of the person needs what is kept, and the vault still ends what is pending.
        Some(Revocation::Done | Revocation::Pending | Revocation::Kept) | None => false,
    }
}

/// Ends the session, and leads back to the application.
pub(super) async fn leave(
    State(port): State<Arc<Port>>,
    Path(session): Path<String>,
    visitor: Visitor,
    body: Body,
) -> Response {
    change(port, session, visitor, body, |guest, changes, _| async move {
        changes.leave().await?;
        Ok(Answer::page(left(&guest)))
    })
    .await
}

fn left(guest: &Guest) -> Page {
    let terms = guest.visit.terms();
    let home = terms.return_url.clone().or_else(|| terms.origin.as_ref().map(|origin| format!("{origin}/")));
    let home = home.or_else(|| guest.design.brand.home_url.clone());
    let texts = &guest.language.texts;
    let label = fill(&texts.frame.back, &[("name", guest.design.brand.name.as_str())]);
    let content = html! {
        @if let Some(url) = &home { div class="actions" id="home" { (link(url, Weight::Primary, &label)) } }
    };
    let event = Event { name: "closed", connection: "", provider: "" };
    // The session is over, so this page cannot be loaded again in another language.
    guest.page_with(StatusCode::OK, "left", &texts.connect.left, &content, Some(event)).once()
}
