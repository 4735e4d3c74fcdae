//! What is done with one connection or with many: tried first, which changes nothing, then done a page at a time, so that
//! the operator sees how far it is and can stop.

use axum::Extension;
use axum::extract::State;
use credvault_proto::v1;
use maud::{Markup, html};

use super::selection::{hidden, selection};
use super::{Given, Shared};
use crate::console::Console;
use crate::fields::{Fields, link};
use crate::frame::{Answer, Page, Section, table};
use crate::refusal::Refusal;
use crate::words::{Tone, badge, number, owner, word};

/// How many connections one step changes.
const STEP: i32 = 100;
/// The pause before the next step of a change, in milliseconds: time to press Stop.
const PAUSE_MS: u64 = 500;
/// The vault takes so many ids at once.
const MAX_IDS: usize = 100;

/// The numbers that a change carries on from step to step, by the names of their fields.
const COUNTED: [(&str, v1::ConnectionChangeOutcome); 5] = [
    ("would_change", v1::ConnectionChangeOutcome::WouldChange),
    ("changed", v1::ConnectionChangeOutcome::Changed),
    ("unchanged", v1::ConnectionChangeOutcome::Unchanged),
    ("inapplicable", v1::ConnectionChangeOutcome::Inapplicable),
    ("refused", v1::ConnectionChangeOutcome::Refused),
];

/// A change that a form asks for.
struct Wanted<'a> {
    fields: &'a Fields,
    kind: v1::ConnectionChangeKind,
    /// Whether it is only tried.
    dry_run: bool,
}

/// Tries a change, or does a step of it.
pub(crate) async fn change(State(console): Shared, Extension(fields): Given) -> Answer {
    let wanted =
        Wanted { fields: &fields, kind: kind(fields.get("kind"))?, dry_run: fields.get("step") != "run" };
    let request = wanted.request()?;
    let body = match console.vault.admin().change_tenant_connections(request).await {
        Ok(answer) => wanted.shown(&console, &answer.into_inner()),
        Err(status) => wanted.interrupted(&console, status.into())?,
    };
    let title = if wanted.dry_run { format!("{}: a trial", wanted.verb()) } else { wanted.verb().to_owned() };
    Ok(Page::new(Section::Connections, &title, &fields, body))
}

fn kind(name: &str) -> Result<v1::ConnectionChangeKind, Refusal> {
    let found =
        v1::ConnectionChangeKind::from_str_name(&format!("CONNECTION_CHANGE_KIND_{}", name.to_uppercase()));
    found.ok_or_else(|| Refusal::of_field("kind", "must be test, refresh, disable, enable or disconnect"))
}

impl Wanted<'_> {
    fn request(&self) -> Result<v1::ChangeTenantConnectionsRequest, Refusal> {
        let ids = self.fields.all("id");
        let selection = match self.fields.get("scope") {
            "matching" => selection(self.fields)?,
            _ if ids.is_empty() || ids.len() > MAX_IDS => {
                return Err(Refusal::of_field("id", "choose at least one connection, and at most 100"));
            }
            _ => v1::ConnectionSelection { ids, ..Default::default() },
        };
        Ok(v1::ChangeTenantConnectionsRequest {
            tenant_id: self.fields.tenant().to_owned(),
            kind: self.kind.into(),
            selection: Some(selection),
            dry_run: self.dry_run,
            page_size: STEP,
            page_token: self.fields.get("page").to_owned(),
        })
    }

    fn verb(&self) -> &'static str {
        match self.kind {
            v1::ConnectionChangeKind::Disable => "Disable",
            v1::ConnectionChangeKind::Enable => "Enable",
            v1::ConnectionChangeKind::Disconnect => "Disconnect",
            v1::ConnectionChangeKind::Refresh => "Refresh",
            v1::ConnectionChangeKind::Test => "Test",
            v1::ConnectionChangeKind::Unspecified => "Change",
        }
    }

    /// What it means, before it is done.
    fn meaning(&self) -> &'static str {
        match self.kind {
            v1::ConnectionChangeKind::Disable => {
                "The vault stops serving them. Enabling them makes it serve again."
            }
            v1::ConnectionChangeKind::Enable => "The vault serves them again.",
            v1::ConnectionChangeKind::Disconnect => {
                "Every version of their secrets is destroyed at once and for good, and their grants are revoked at the \
                 providers where that is possible. Their owners must connect them again."
            }
            v1::ConnectionChangeKind::Refresh => "Their providers give new tokens. The old ones may end.",
            v1::ConnectionChangeKind::Test => {
                "Their providers are asked whether the credentials work. A rejected one puts its connection into error."
            }
            v1::ConnectionChangeKind::Unspecified => "",
        }
    }

    fn shown(&self, console: &Console, answer: &v1::ChangeTenantConnectionsResponse) -> Markup {
        let sums = self.sums(&answer.changes);
        let total = answer.total.unwrap_or_else(|| self.fields.number("total"));
        let rows: Vec<_> = answer.changes.iter().map(|change| row(self.fields.tenant(), change)).collect();
        html! {
            p { (self.meaning()) }
            (progress(&sums, total))
            @if answer.next_page_token.is_empty() {
                @if self.dry_run && sums[0] > 0 { (self.next(console, ("run", ""), &[0; 5], total, None)) }
                @if !self.dry_run { p class="done" role="status" { "Every connection of the selection was looked at." } }
            } @else {
                (self.onward(console, &answer.next_page_token, &sums, total))
            }
            @if !rows.is_empty() {
                h2 { "This step" }
                (table("Connections of this step", &["Connection", "Outcome", "Why", "Services that it breaks"], &rows))
            }
            p { a href=(link("/connections", &[("tenant", self.fields.tenant())])) { "Back to the connections" } }
        }
    }

    /// After a part of a trial both may follow: more of the trial, or the change itself.
    fn onward(&self, console: &Console, token: &str, sums: &[i64; 5], total: i64) -> Markup {
        html! {
            @if self.dry_run {
                p { "The trial has looked at the first of them only." }
                (self.next(console, ("run", ""), &[0; 5], total, None))
                (self.next(console, ("try", token), sums, total, None))
            } @else {
                (self.next(console, ("run", token), sums, total, Some(PAUSE_MS)))
            }
        }
    }

    /// The form of the next step, which begins where its token says. With a pause in milliseconds the script sends it by
    /// itself after that, until the operator stops it.
    fn next(
        &self,
        console: &Console,
        (step, token): (&str, &str),
        sums: &[i64; 5],
        total: i64,
        pause: Option<u64>,
    ) -> Markup {
        html! {
            form class="onward" method="post" action="/connections/change" data-auto=[pause] {
                (console.form_key())
                (hidden(self.fields))
                @for (name, value) in [
                    ("tenant", self.fields.tenant()), ("kind", self.fields.get("kind")),
                    ("scope", self.fields.get("scope")), ("step", step), ("page", token),
                ] { input type="hidden" name=(name) value=(value); }
                @for id in self.fields.all("id") { input type="hidden" name="id" value=(id); }
                input type="hidden" name="total" value=(total);
                @for ((name, _), sum) in COUNTED.iter().zip(sums) { input type="hidden" name=(name) value=(sum); }
                @if pause.is_some() {
                    button { "Continue" } " "
                    button type="button" class="stop" hidden { "Stop" }
                } @else if step == "run" {
                    button class="act" { (self.verb()) (of_selection(total)) }
                } @else {
                    button { "Try the next 100" }
                }
            }
        }
    }

    fn sums(&self, changes: &[v1::ConnectionChange]) -> [i64; 5] {
        COUNTED.map(|(name, outcome)| {
            let here = changes.iter().filter(|change| change.outcome() == outcome).count();
            self.fields.number(name) + i64::try_from(here).unwrap_or(0)
        })
    }

    /// A refusal amid a change leaves what was done as it is. Where waiting helps, the same step follows after that.
    fn interrupted(&self, console: &Console, refusal: Refusal) -> Result<Markup, Refusal> {
        if self.dry_run || !refusal.passes() {
            return Err(refusal);
        }
        let (sums, total, pause) = (self.sums(&[]), self.fields.number("total"), refusal.pause_ms());
        Ok(html! {
            (refusal.shown())
            p { "What was done before stays done." }
            (progress(&sums, total))
            (self.next(console, ("run", self.fields.get("page")), &sums, total, Some(pause)))
        })
    }
}

fn of_selection(total: i64) -> String {
    if total == 1 {
        " this connection".to_owned()
    } else {
        format!(" all {} of the selection", number(total))
    }
}

fn progress(sums: &[i64; 5], total: i64) -> Markup {
    let done: i64 = sums.iter().sum();
    html! {
        p role="status" {
            strong { (number(done)) " of " (number(total)) }
            @for ((name, _), sum) in COUNTED.iter().zip(sums).filter(|(_, sum)| **sum > 0) {
                ", " (number(*sum)) " " (name.replace('_', " "))
            }
        }
        progress max=(total.max(1)) value=(done.min(total)) aria-label="Connections looked at" {}
    }
}

fn row(tenant: &str, change: &v1::ConnectionChange) -> Vec<Markup> {
    let none = v1::Connection::default();
    let connection = change.connection.as_ref().unwrap_or(&none);
    let page = link("/connection", &[("tenant", tenant), ("id", connection.id.as_str())]);
    let tone = match change.outcome() {
        v1::ConnectionChangeOutcome::Changed | v1::ConnectionChangeOutcome::WouldChange => Tone::Good,
        v1::ConnectionChangeOutcome::Refused => Tone::Bad,
        v1::ConnectionChangeOutcome::Unchanged
        | v1::ConnectionChangeOutcome::Inapplicable
        | v1::ConnectionChangeOutcome::Unspecified => Tone::Quiet,
    };
    vec![
        html! { a href=(page) { (connection.provider) " / " (connection.account_name) } },
        badge(tone, &word(change.outcome().as_str_name(), "CONNECTION_CHANGE_OUTCOME_")),
        html! { @if let Some(error) = &change.error { code { (error.reason) } " " (error.message) } },
        broken(change),
    ]
}

fn broken(change: &v1::ConnectionChange) -> Markup {
    html! {
        @for service in &change.affected_services {
            (service.service) "/" (service.mapping) " of " (owner(service.owner.as_ref()))
            @if !service.enabled { " (off)" }
            br;
        }
        @if change.hidden_affected_services > 0 { "and " (change.hidden_affected_services) " more" }
    }
}
