//! Another connection, and a new credential for one that there is: the provider's card, the form, and what becomes of it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use credvault_catalog::{FormField, Verdict};
use credvault_operations::Refusal;
use credvault_operations::connect::{Entry, Form, ProviderCard, Stored};
use credvault_operations::consents::browser::Parameters;
use http::StatusCode;
use maud::{Markup, html};

use super::consenting::{onward, way};
use super::desk::{Answer, Guest, change, connection_id, look};
use super::form::{self, By, Filled, For};
use super::notice::{self, Done, Notice};
use super::wrong::{Sent, Wrong};
use crate::http::public::page::Page;
use crate::http::public::port::{Port, parameters};
use crate::http::public::site::Visitor;
use crate::pages::parts::choices;
use crate::pages::texts::{Said, fill};

/// The providers at which the person can connect an account.
pub(super) async fn providers(
    State(port): State<Arc<Port>>,
    Path(session): Path<String>,
    RawQuery(query): RawQuery,
    visitor: Visitor,
) -> Response {
    let query = parameters(query.as_deref().unwrap_or_default());
    look(port, session, visitor, move |guest| async move {
        let mut cards = guest.visit.providers().await?;
        cards.sort_by_key(|card| card.name.to_lowercase());
        let sought = query.get("q").map(|text| text.trim()).unwrap_or_default();
        Ok(Answer::page(page_of_providers(&guest, &cards, sought)))
    })
    .await
}

fn page_of_providers(guest: &Guest, cards: &[ProviderCard], sought: &str) -> Page {
    let texts = &guest.texts().add;
    let small = sought.to_lowercase();
    let fits =
        |card: &&ProviderCard| card.name.to_lowercase().contains(&small) || card.id.as_str().contains(&small);
    let found: Vec<_> = cards.iter().filter(fits).map(|card| shown(guest, card)).collect();
    let links: Vec<_> =
        found.iter().map(|(url, name, note)| (url.as_str(), name.as_str(), note.as_str())).collect();
    let content = html! {
        form method="get" action=(guest.path("/add")) role="search" class="search" {
            label for="q" { (texts.search) }
            div class="secret" {
                input type="search" id="q" name="q" value=(sought) autocomplete="off" data-filter;
                button class="button" { (texts.find) }
            }
        }
        p id="none" role="status" hidden[!found.is_empty()] { (texts.none_found) }
        (choices(&links))
        div class="actions" { a href=(guest.path("")) { (guest.texts().back) } }
    };
    let said = Said { title: texts.title.clone(), text: texts.text.clone() };
    guest.page(StatusCode::OK, "providers", &said, &content)
}

/// A provider's link, name and note.
fn shown(guest: &Guest, card: &ProviderCard) -> (String, String, String) {
    let modes: Vec<_> = card.modes.iter().map(|mode| mode.name.as_str()).collect();
    let note = if card.has_incident { guest.texts().add.incident.clone() } else { modes.join(" · ") };
    (guest.path(&format!("/add/{}", card.id.as_str())), card.name.clone(), note)
}

/// The form for another connection at a provider, or first the ways to connect an account there.
pub(super) async fn fill_in(
    State(port): State<Arc<Port>>,
    Path((session, provider)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    visitor: Visitor,
) -> Response {
    let query = parameters(query.as_deref().unwrap_or_default());
    look(port, session, visitor, move |guest| async move {
        let mut mode = query.get("mode").cloned().unwrap_or_default();
        if mode.is_empty() {
            let cards = guest.visit.providers().await?;
            let card = cards.into_iter().find(|card| card.id.as_str() == provider);
            match card.as_ref().map(|card| (card, card.modes.as_slice())) {
                Some((_, [only])) => mode = only.id.as_str().to_owned(),
                Some((card, _)) => return Ok(Answer::page(page_of_modes(&guest, card))),
                None => {}
            }
        }
        let asked = guest.visit.form(&provider, &mode).await?;
        let by = By::of(&asked, query.get("by").map(String::as_str));
        let filled = Filled::new(&asked, by);
        let action = format!("/add/{}", asked.provider.as_str());
        Ok(Answer::page(form::page(&guest, &asked, For::New, &filled, &Wrong::default(), &action)))
    })
    .await
}

fn page_of_modes(guest: &Guest, card: &ProviderCard) -> Page {
    let texts = &guest.texts().add;
    let links: Vec<_> = card
        .modes
        .iter()
        .map(|mode| {
            let note = if mode.by_consent { &texts.mode_consent } else { &texts.mode_values };
            let url = guest.path(&format!("/add/{}?mode={}", card.id.as_str(), mode.id.as_str()));
            (url, mode.name.as_str(), fill(note, &[("provider", card.name.as_str())]))
        })
        .collect();
    let links: Vec<_> = links.iter().map(|(url, name, note)| (url.as_str(), *name, note.as_str())).collect();
    let said = Said {
        title: fill(&texts.modes, &[("provider", card.name.as_str())]),
        text: texts.modes_text.clone(),
    };
    guest.page(StatusCode::OK, "modes", &said, &with_way_back(guest, &choices(&links)))
}

fn with_way_back(guest: &Guest, content: &Markup) -> Markup {
    html! {
        (content)
        div class="actions" { a href=(guest.path("/add")) { (guest.texts().add.back) } }
    }
}

/// Adds a connection with what a form holds, or begins the consent for one.
pub(super) async fn add(
    State(port): State<Arc<Port>>,
    Path((session, provider)): Path<(String, String)>,
    visitor: Visitor,
    body: Body,
) -> Response {
    change(port, session, visitor, body, move |guest, changes, fields| async move {
        let mode = fields.get("mode").map(String::as_str).unwrap_or_default();
        let asked = guest.visit.form(&provider, mode).await?;
        let by = By::of(&asked, fields.get("by").map(String::as_str));
        let filled = Filled::sent(&asked, by, &fields);
        let entry = Entry {
            provider,
            auth_mode: asked.auth_mode.as_str().to_owned(),
            account_name: filled.name.clone(),
            shared: filled.shared,
            values: form::values(fields.clone()),
        };
        let way = way(&fields);
        let done = match by {
            By::Values => changes.add(entry).await.map(|stored| to_list(&guest, &asked, &stored)),
            By::Consent => {
                changes.begin(entry, way).await.map(|begun| Answer::page(onward(&guest, &begun, &asked, way)))
            }
        };
        let action = format!("/add/{}", asked.provider.as_str());
        done.or_else(|refusal| again(&guest, &asked, For::New, &filled, (&fields, action.as_str()), refusal))
    })
    .await
}

/// The form that reconnects a connection.
pub(super) async fn fill_in_again(
    State(port): State<Arc<Port>>,
    Path((session, connection)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    visitor: Visitor,
) -> Response {
    let query = parameters(query.as_deref().unwrap_or_default());
    look(port, session, visitor, move |guest| async move {
        let id = connection_id(&connection)?;
        let asked = guest.visit.reconnect_form(id).await?;
        let by = By::of(&asked, query.get("by").map(String::as_str));
        let filled = Filled::new(&asked, by);
        let action = format!("/c/{id}/reconnect");
        Ok(Answer::page(form::page(&guest, &asked, For::Again, &filled, &Wrong::default(), &action)))
    })
    .await
}

/// Gives a connection what a form holds, or begins another consent for it.
pub(super) async fn reconnect(
    State(port): State<Arc<Port>>,
    Path((session, connection)): Path<(String, String)>,
    visitor: Visitor,
    body: Body,
) -> Response {
    change(port, session, visitor, body, move |guest, changes, fields| async move {
        let id = connection_id(&connection)?;
        let asked = guest.visit.reconnect_form(id).await?;
        let by = By::of(&asked, fields.get("by").map(String::as_str));
        let filled = Filled::sent(&asked, by, &fields);
        let way = way(&fields);
        let done = match by {
            By::Values => changes
                .reconnect(id, form::values(fields.clone()))
                .await
                .map(|stored| to_list(&guest, &asked, &stored)),
            By::Consent => changes
                .begin_again(id, way)
                .await
                .map(|begun| Answer::page(onward(&guest, &begun, &asked, way))),
        };
        let action = format!("/c/{id}/reconnect");
        done.or_else(|refusal| {
            again(&guest, &asked, For::Again, &filled, (&fields, action.as_str()), refusal)
        })
    })
    .await
}

/// The list, which says what the provider said of the values that are stored.
fn to_list(guest: &Guest, asked: &Form, stored: &Stored) -> Answer {
    let done = match stored.verdict {
        Some(Verdict::Limited) => Done::ConnectedLimited,
        Some(Verdict::Works { .. } | Verdict::Refused | Verdict::Unclear(_)) => Done::Connected,
        None => Done::Stored,
    };
    let told = Notice { done, connection: stored.connection, provider: Some(asked.provider.clone()) };
    Answer::To(notice::address(guest, "", &told))
}

/// The form once more, with what is wrong at its fields.
fn again(
    guest: &Guest,
    asked: &Form,
    what: For,
    filled: &Filled,
    (fields, action): (&Parameters, &str),
    refusal: Refusal,
) -> Result<Answer, Refusal> {
    let secrets = asked.secrets.iter().filter(|_| filled.by == By::Values);
    let all: Vec<&FormField> = asked.settings.iter().chain(secrets).collect();
    let wrong = Wrong::of(refusal, asked, &all, &Sent(fields), &guest.texts().form)?;
    Ok(Answer::page(form::page(guest, asked, what, filled, &wrong, action)))
}
