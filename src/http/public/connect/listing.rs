//! The list of a person's connections and of those that are shared: how each is, and what can be done with it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use credvault_domain::{AccountName, ConnectAction, HealthState};
use credvault_operations::connect::{ListedConnection, Listing};
use http::StatusCode;
use maud::{Markup, html};

use super::desk::{Answer, Event, Guest, look};
use super::notice::{self, Notice};
use crate::http::public::page::Page;
use crate::http::public::port::{Port, parameters};
use crate::http::public::site::Visitor;
use crate::pages::parts::{Tone, Weight, badge, link, notice};
use crate::pages::texts::{HealthTexts, Said, TestedTexts, fill};

/// The list, from a place in it on.
pub(super) async fn list(
    State(port): State<Arc<Port>>,
    Path(session): Path<String>,
    RawQuery(query): RawQuery,
    visitor: Visitor,
) -> Response {
    let query = parameters(query.as_deref().unwrap_or_default());
    look(port, session, visitor, move |guest| async move {
        let listing = guest.visit.connections(query.get("page").cloned().unwrap_or_default()).await?;
        Ok(Answer::page(page(&guest, &listing, notice::read(&guest, &query))))
    })
    .await
}

fn page(guest: &Guest, listing: &Listing, told: Option<Notice>) -> Page {
    let texts = guest.texts();
    let all = &listing.connections;
    let (shared, own): (Vec<_>, Vec<_>) = all.iter().partition(|connection| connection.shared);
    let content = html! {
        div id="told" { @if let Some(told) = &told { (notice(told.done.tone(), told.done.text(&texts.done))) } }
        @if all.is_empty() { p { (texts.none) } }
        @if !own.is_empty() { ul class="list" { @for one in &own { (row(guest, one)) } } }
        @if !shared.is_empty() {
            h2 { (texts.shared) }
            p class="note" { (texts.shared_note) }
            ul class="list" { @for one in &shared { (row(guest, one)) } }
        }
        @if !listing.next_page_token.is_empty() { p { a href=(next(guest, &listing.next_page_token)) { (texts.more) } } }
        div class="actions" {
            @if guest.visit.terms().permits(ConnectAction::Add) {
                (link(&guest.path("/add"), Weight::Primary, &texts.add_button))
            }
            form method="post" action=(guest.path("/leave")) { (guest.proof()) button class="button" { (texts.leave) } }
        }
    };
    let of = told.map(|told| (told.connection.to_string(), told));
    let about = of.as_ref().map(|(id, told)| {
        let found = all.iter().find(|one| one.id == told.connection).map(|one| &one.provider);
        let provider = told.provider.as_ref().or(found).map_or("", |provider| provider.as_str());
        Event { name: told.done.event(), connection: id, provider }
    });
    let said = Said { title: texts.title.clone(), text: String::new() };
    guest.page_with(StatusCode::OK, "connections", &said, &content, about)
}

fn next(guest: &Guest, token: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("page", token).finish();
    guest.path(&format!("?{query}"))
}

fn row(guest: &Guest, one: &ListedConnection) -> Markup {
    let texts = guest.texts();
    let (tone, word) = state(one.health, &texts.health);
    html! {
        li {
            div class="what" {
                // Below the page's own heading, or below that of what is shared.
                @if one.shared { h3 { (one.provider_name) } } @else { h2 { (one.provider_name) } }
                @let note = note(one);
                @if !note.is_empty() { p class="note" { (note) } }
                @if let Some(ago) = one.since_test { p class="note" { (tested(ago, &texts.tested)) } }
            }
            div class="state" {
                (badge(tone, word))
                @if one.default { " " (badge(Tone::Neutral, &texts.default)) }
                @if one.disabled { " " (badge(Tone::Neutral, &texts.off)) }
            }
            // What the vault says about a connection is in its own language.
            @if let Some(text) = &one.text { p class="why" lang="en" { (text) } }
            (deeds(guest, one))
        }
    }
}

/// What tells a connection from others at its provider.
fn note(one: &ListedConnection) -> String {
    let name = Some(one.account_name.as_str()).filter(|name| *name != AccountName::DEFAULT);
    let id = one.account_id.as_deref().filter(|id| Some(*id) != name);
    name.into_iter().chain(id).collect::<Vec<_>>().join(" · ")
}

fn state(health: HealthState, texts: &HealthTexts) -> (Tone, &str) {
    match health {
        HealthState::NotConnected => (Tone::Neutral, &texts.not_connected),
        HealthState::Ok => (Tone::Good, &texts.well),
        HealthState::Ending => (Tone::Warning, &texts.ending),
        HealthState::Ended => (Tone::Bad, &texts.ended),
        HealthState::Error => (Tone::Bad, &texts.error),
        HealthState::Uncertain => (Tone::Warning, &texts.uncertain),
        HealthState::ProviderIncident => (Tone::Warning, &texts.incident),
    }
}

/// How long ago the provider last accepted the credential.
fn tested(ago: Duration, texts: &TestedTexts) -> String {
    let minutes = ago.as_secs() / 60;
    let (text, number) = match (minutes, minutes / 60, minutes / (24 * 60)) {
        (0, ..) => (&texts.now, 0),
        (1, ..) => (&texts.minute, 1),
        (_, 0, _) => (&texts.minutes, minutes),
        (_, 1, _) => (&texts.hour, 1),
        (_, hours, 0) => (&texts.hours, hours),
        (_, _, 1) => (&texts.day, 1),
        (_, _, days) => (&texts.days, days),
    };
    fill(text, &[("number", &number.to_string())])
}

/// What can be done with a connection: what it needs now, and the rest behind a button.
fn deeds(guest: &Guest, one: &ListedConnection) -> Markup {
    let urgent = |action: &ConnectAction| one.owner_helps && *action == ConnectAction::Reconnect;
    let (first, others): (Vec<ConnectAction>, Vec<ConnectAction>) =
        one.actions.iter().copied().partition(urgent);
    html! {
        @if !one.actions.is_empty() {
            div class="actions" {
                @for action in first { (deed(guest, one, action, "button primary")) }
                @if !others.is_empty() {
                    details class="menu" {
                        summary class="button" { (named(&guest.texts().deeds.more, one)) }
                        div class="actions" { @for action in others { (deed(guest, one, action, "button")) } }
                    }
                }
            }
        }
    }
}

fn deed(guest: &Guest, one: &ListedConnection, action: ConnectAction, class: &str) -> Markup {
    let texts = &guest.texts().deeds;
    let at = |rest: &str| guest.path(&format!("/c/{}/{rest}", one.id));
    let (path, label, asks) = match action {
        ConnectAction::Test => (at("test"), &texts.test, false),
        ConnectAction::SetDefault => (at("default"), &texts.choose, false),
        ConnectAction::Reconnect => (at("reconnect"), &texts.reconnect, true),
        ConnectAction::Rename => (at("name"), &texts.rename, true),
        ConnectAction::Disconnect => (at("disconnect"), &texts.disconnect, true),
        ConnectAction::Remove => (at("remove"), &texts.remove, true),
        // It is of no connection.
        ConnectAction::Add => return html! {},
    };
    html! {
        @if asks {
            a class=(class) href=(path) { (named(label, one)) }
        } @else {
            form method="post" action=(path) { (guest.proof()) button class=(class) { (named(label, one)) } }
        }
    }
}

/// A label that readers of screens can tell from those of the other connections.
fn named(label: &str, one: &ListedConnection) -> Markup {
    html! { (label) span class="apart" { " " (one.provider_name) " " (note(one)) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_since_a_test_is_said_in_its_largest_unit() {
        const TEXTS: &str = "now = 'now'\nminute = 'a minute'\nminutes = '{number} minutes'\nhour = 'an hour'\n\
                             hours = '{number} hours'\nday = 'a day'\ndays = '{number} days'";
        let texts: TestedTexts = toml::from_str(TEXTS).expect("all texts");
        for (seconds, said) in [
            (0, "now"),
            (59, "now"),
            (60, "a minute"),
            (120, "2 minutes"),
            (3_599, "59 minutes"),
            (3_600, "an hour"),
            (7_200, "2 hours"),
            (86_399, "23 hours"),
            (86_400, "a day"),
            (172_800, "2 days"),
        ] {
            assert_eq!(tested(Duration::from_secs(seconds), &texts), said, "{seconds}");
        }
    }
}
