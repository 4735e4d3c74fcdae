//! The list of connections of a tenant, or of the platform, by filters, with a choice of what to do with many of them.

use axum::Extension;
use axum::extract::State;
use credvault_proto::v1;
use maud::{Markup, html};

use super::selection::{RENAMED, carried, form, hidden, selection};
use super::{Given, Shared};
use crate::console::Console;
use crate::fields::{Fields, link};
use crate::frame::{Answer, Page, Paging, Section, choice, table};
use crate::refusal::Refusal;
use crate::words::{Tone, badge, ends, health, number, owner, state, when};

/// How many connections a page of the list has.
const PAGE: i32 = 50;
/// The vault counts up to this number.
const MAX_TOTAL: i64 = 100_000;

/// The changes that the list offers.
const KINDS: [(&str, &str); 5] = [
    ("test", "Test"),
    ("refresh", "Refresh"),
    ("disable", "Disable"),
    ("enable", "Enable"),
    ("disconnect", "Disconnect"),
];

const HEADINGS: [&str; 8] =
    ["Choose", "Connection", "Owner", "Health", "Why, since when", "Ends", "Last used", "Version"];

/// A page of the list. What is wrong with a filter is said in its form, which stays.
pub(crate) async fn list(State(console): Shared, Extension(fields): Given) -> Answer {
    let found = found(&console, &fields).await.map_err(|refusal| refusal.renamed(&RENAMED));
    let refusal = found.as_ref().err();
    let body = html! {
        (form(&fields, refusal))
        @match &found {
            Ok(found) => { (found) }
            Err(refusal) => { (refusal.shown()) }
        }
    };
    Ok(Page::new(Section::Connections, "Connections", &fields, body).with_status_of(refusal))
}

async fn found(console: &Console, fields: &Fields) -> Result<Markup, Refusal> {
    let request = v1::ListTenantConnectionsRequest {
        tenant_id: fields.tenant().to_owned(),
        page_size: PAGE,
        page_token: fields.get("page").to_owned(),
        selection: Some(selection(fields)?),
        show_deleted: fields.get("deleted") == "yes",
    };
    let listed = console.vault.admin().list_tenant_connections(request).await?.into_inner();
    let rows: Vec<_> = listed.connections.iter().map(|connection| row(fields.tenant(), connection)).collect();
    let mut carried = carried(fields);
    carried.push(("tenant", fields.tenant()));
    let (next, shown) = (listed.next_page_token.as_str(), rows.len());
    let paging = Paging { path: "/connections", carried, next, seen: fields.number("seen"), shown };
    Ok(html! {
        @if let Some(total) = listed.total { (total_of(total)) }
        @if rows.is_empty() {
            p { "No connection matches." }
        } @else {
            form id="many" method="post" action="/connections/change" {
                (console.form_key())
                (table("Connections", &HEADINGS, &rows))
                (paging.links())
                (many(fields))
            }
        }
    })
}

fn total_of(total: i64) -> Markup {
    let more = if total >= MAX_TOTAL { " or more" } else { "" };
    html! { p { strong { (number(total)) (more) } " match, oldest first." } }
}

fn row(tenant: &str, connection: &v1::Connection) -> Vec<Markup> {
    let name = format!("{} / {}", connection.provider, connection.account_name);
    let page = link("/connection", &[("tenant", tenant), ("id", connection.id.as_str())]);
    vec![
        html! { input type="checkbox" name="id" value=(connection.id) aria-label={ "Choose " (name) }; },
        html! { a href=(page) { (name) } },
        html! { (owner(connection.owner.as_ref())) },
        condition(connection),
        trouble(connection),
        ends(connection),
        when(connection.last_used_time.as_ref()),
        html! { (connection.current_version) },
    ]
}

/// How the connection is, said once: its health, with what of its state the health does not say.
fn condition(connection: &v1::Connection) -> Markup {
    let begun = connection.state() == v1::ConnectionState::Connecting;
    if begun || connection.health.is_none() {
        return state(connection);
    }
    html! {
        (health(connection))
        @if !connection.enabled { " " (badge(Tone::Warn, "disabled")) }
        @if connection.delete_time.is_some() { " " (badge(Tone::Quiet, "deleted")) }
    }
}

/// Why a connection does not work, and since when.
fn trouble(connection: &v1::Connection) -> Markup {
    let fails = |health: &&v1::ConnectionHealth| {
        matches!(health.state(), v1::HealthState::Error | v1::HealthState::Uncertain)
    };
    let Some(health) = connection.health.as_ref().filter(fails) else { return when(None) };
    let shown = connection.error.as_ref().map(|error| error.reason.as_str());
    let last = || health.last_error.as_ref().map(|error| error.reason.as_str());
    html! {
        @if let Some(reason) = shown.or_else(last) { code { (reason) } " since " }
        (when(health.since.as_ref()))
    }
}

/// What to do with those that are chosen, or with all that match. Both are tried first, which changes nothing.
fn many(fields: &Fields) -> Markup {
    html! {
        fieldset {
            legend { "Change many" }
            input type="hidden" name="tenant" value=(fields.tenant());
            (hidden(fields))
            (choice("kind", "What to do", "test", &KINDS))
            button name="scope" value="chosen" { "Try with those chosen" }
            button name="scope" value="matching" { "Try with all that match" }
            p class="quiet" { "The next page shows what would happen. Nothing is changed before you confirm it there." }
        }
    }
}
