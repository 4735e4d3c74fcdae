//! What a person does with one connection and does not end it by: test it, name it, choose it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use credvault_catalog::Verdict;
use credvault_domain::{AccountName, ConnectAction, ConnectionId};
use credvault_operations::Refusal;
use credvault_operations::connect::Tried;
use credvault_store::Error as StoreError;
use http::StatusCode;
use maud::html;

use super::desk::{Answer, Guest, change, connection_id, look};
use super::notice::{self, Done, Notice};
use crate::http::public::page::Page;
use crate::http::public::port::Port;
use crate::http::public::site::Visitor;
use crate::pages::parts::{Entry, Field};
use crate::pages::texts::{Said, fill};

/// Asks the provider whether a connection works.
pub(super) async fn test(
    State(port): State<Arc<Port>>,
    Path((session, connection)): Path<(String, String)>,
    visitor: Visitor,
    body: Body,
) -> Response {
    change(port, session, visitor, body, move |guest, changes, _| async move {
        let connection = connection_id(&connection)?;
        let done = verdict(&changes.test(connection).await?);
        Ok(to_list(&guest, done, connection))
    })
    .await
}

fn verdict(tried: &Tried) -> Done {
    match tried.verdict {
        Verdict::Works { .. } if tried.account_changed => Done::OtherAccount,
        Verdict::Works { .. } => Done::Works,
        Verdict::Limited => Done::Limited,
        Verdict::Refused => Done::Rejected,
        Verdict::Unclear(_) => Done::Unclear,
    }
}

/// Makes a connection the one that is used where none is named.
pub(super) async fn set_default(
    State(port): State<Arc<Port>>,
    Path((session, connection)): Path<(String, String)>,
    visitor: Visitor,
    body: Body,
) -> Response {
    change(port, session, visitor, body, move |guest, changes, _| async move {
        let connection = connection_id(&connection)?;
        changes.set_default(connection).await?;
        Ok(to_list(&guest, Done::Default, connection))
    })
    .await
}

/// The page that asks for another name.
pub(super) async fn ask_name(
    State(port): State<Arc<Port>>,
    Path((session, connection)): Path<(String, String)>,
    visitor: Visitor,
) -> Response {
    look(port, session, visitor, move |guest| async move {
        let id = connection_id(&connection)?;
        let found = guest.visit.consequences(id, ConnectAction::Rename).await?;
        let name = if found.account_name == AccountName::DEFAULT { "" } else { found.account_name.as_str() };
        Ok(Answer::page(page_of_name(&guest, id, &found.provider_name, name, "")))
    })
    .await
}

/// Gives a connection another name.
pub(super) async fn rename(
    State(port): State<Arc<Port>>,
    Path((session, connection)): Path<(String, String)>,
    visitor: Visitor,
    body: Body,
) -> Response {
    change(port, session, visitor, body, move |guest, changes, fields| async move {
        let id = connection_id(&connection)?;
        let name = fields.get("account_name").map(|name| name.trim()).unwrap_or_default();
        let Err(refusal) = changes.rename(id, name).await else {
            return Ok(to_list(&guest, Done::Renamed, id));
        };
        let texts = &guest.texts().form;
        let text = if matches!(refusal, Refusal::Invalid(_)) {
            &texts.name_wrong
        } else if matches!(refusal, Refusal::Store(StoreError::ConnectionExists)) {
            &texts.name_taken
        } else {
            return Err(refusal);
        };
        let found = guest.visit.consequences(id, ConnectAction::Rename).await?;
        let error = fill(text, &[("provider", found.provider_name.as_str())]);
        Ok(Answer::page(page_of_name(&guest, id, &found.provider_name, name, &error)))
    })
    .await
}

fn page_of_name(guest: &Guest, id: ConnectionId, provider: &str, name: &str, error: &str) -> Page {
    let texts = guest.texts();
    let field = Field {
        name: "account_name",
        label: &texts.form.name,
        hint: &texts.rename.hint,
        error,
        required: true,
        entry: Entry::Text(name),
    };
    let content = html! {
        form method="post" action=(guest.path(&format!("/c/{id}/name"))) {
            (guest.proof())
            (field.markup())
            div class="actions" {
                button class="button primary" { (texts.rename.save) }
                a class="button" href=(guest.path("")) { (texts.back) }
            }
        }
    };
    let title = fill(&texts.rename.title, &[("provider", provider)]);
    let (status, kind) =
        if error.is_empty() { (StatusCode::OK, "name") } else { (StatusCode::BAD_REQUEST, "name_again") };
    let page = guest.page(status, kind, &Said { title, text: String::new() }, &content);
    guest.in_languages(page, guest.path(&format!("/c/{id}/name")))
}

fn to_list(guest: &Guest, done: Done, connection: ConnectionId) -> Answer {
    Answer::To(notice::address(guest, "", &Notice { done, connection, provider: None }))
}
