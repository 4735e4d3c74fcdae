//! One connection whole: what it is, how it fares, what can be done with it, its usage, its synchronisation, its versions,
//! who may use it and who did, and which service and user did what with it. Each part that policy denies says so, and the others stay.

use axum::Extension;
use axum::extract::State;
use credvault_proto::v1;
use maud::{Markup, html};

use super::access::access;
use super::records::{Reads, records, who_did};
use super::undelete;
use super::{Given, Shared};
use crate::chart::{Series, bars};
use crate::console::Console;
use crate::fields::{Fields, link};
use crate::frame::{Answer, Page, Section, table};
use crate::refusal::{Refusal, shown};
use crate::vault;
use crate::words::{Tone, ends, health, last_days, number, owner, state, when, word};

/// How many days the chart of usage shows.
const DAYS: i64 = 30;
/// How many records the page shows; the link below them leads to all.
const RECORDS: usize = 20;
/// How many records one call reads to find them, and how many such calls there are at most.
const LOOKED_AT: i32 = 100;
const CALLS: usize = 5;

/// The page of a connection.
pub(crate) async fn show(State(console): Shared, Extension(fields): Given) -> Answer {
    let (tenant, id) = (fields.tenant(), fields.get("id"));
    let connection = vault::connection(&console.vault, tenant, id).await?;
    let reads = if fields.get("records") == "all" { Reads::All } else { Reads::OfOthers };
    let filter = || v1::AuditFilter { connection_id: id.to_owned(), ..Default::default() };
    let (whole, usage, versions, access, done, log) = tokio::join!(
        whole(&console, tenant, id),
        usage(&console, tenant, id),
        versions(&console, tenant, id),
        access(&console, tenant, id),
        who_did(&console, tenant, filter(), reads),
        latest(&console, tenant, filter(), reads)
    );
    let body = html! {
        p { (state(&connection)) " " (health(&connection)) }
        (texts(&connection))
        (actions(&console, &fields, &connection)?)
        (section("facts", "What it is", facts(&connection)))
        (section("usage", "Usage", shown(usage)))
        (section("sync", "Synchronisation", shown(whole.map(|whole| synced(&whole)))))
        (section("versions", "Versions of its credential", shown(versions)))
        (section("access", "Who may, and who did", html! { (shown(access)) (may(&fields, &connection)) }))
        (section("done", "Which services did what", html! { (choice_of_reads(&fields, &connection, reads)) (shown(done)) }))
        (section("log", "Latest records", shown(log)))
    };
    let title = format!("{} / {}", connection.provider, connection.account_name);
    Ok(Page::new(Section::Connections, &title, &fields, body))
}

fn section(id: &str, title: &str, content: Markup) -> Markup {
    html! { section aria-labelledby=(id) { h2 id=(id) { (title) } (content) } }
}

/// The choice between what was changed and fetched, and all records. Each look at this page adds reads of its own.
fn choice_of_reads(fields: &Fields, connection: &v1::Connection, reads: Reads) -> Markup {
    let with = |records| {
        let pairs = [("tenant", fields.tenant()), ("id", connection.id.as_str()), ("records", records)];
        format!("{}#done", link("/connection", &pairs))
    };
    let here = |these| (reads == these).then_some("true");
    html! {
        p {
            "Records: "
            a href=(with("")) aria-current=[here(Reads::OfOthers)] { "changes, fetches, and reads of others" } " · "
            a href=(with("all")) aria-current=[here(Reads::All)] { "all, also the reads of this console" }
        }
    }
}

/// The way to the policy tester, with what is known here filled in: the connection, and the user who owns it.
fn may(fields: &Fields, connection: &v1::Connection) -> Markup {
    let user = connection.owner.as_ref().map(|owner| owner.user_id.as_str()).unwrap_or_default();
    let asked = [("tenant", fields.tenant()), ("connection", connection.id.as_str()), ("user", user)];
    html! { p { a href=(link("/policy", &asked)) { "May a service use this connection? Ask the policies" } } }
}

/// What the vault says about its health, in its own words.
fn texts(connection: &v1::Connection) -> Markup {
    let Some(health) = &connection.health else { return html! {} };
    let last = health.last_error.as_ref();
    html! {
        @if !health.operator_text.is_empty() { p { strong { "For you: " } (health.operator_text) } }
        @if !health.customer_text.is_empty() { p { strong { "For the account's owner: " } (health.customer_text) } }
        @if let Some(error) = last {
            p class="quiet" {
                "Last error: " code { (error.reason) } " " (error.provider_code) " at " (when(error.time.as_ref()))
                @if error.recover_time.is_some() { ", works again since " (when(error.recover_time.as_ref())) }
                @if error.next_attempt_time.is_some() { ", next attempt at " (when(error.next_attempt_time.as_ref())) }
            }
        }
    }
}

/// Buttons for one connection. What ends its use is tried first, because it may break services.
fn actions(console: &Console, fields: &Fields, connection: &v1::Connection) -> Result<Markup, Refusal> {
    if connection.delete_time.is_some() {
        return undelete::form(console, fields, connection);
    }
    let (switch, label) =
        if connection.enabled { ("disable", "Disable…") } else { ("enable", "Enable…") };
    let at_once = [("test", "Test"), ("refresh", "Refresh")];
    let tried = [(switch, label), ("disconnect", "Disconnect…")];
    let form = |step: &str, buttons: &[(&str, &str)]| {
        html! {
            form method="post" action="/connections/change" {
                (console.form_key())
                input type="hidden" name="tenant" value=(fields.tenant());
                input type="hidden" name="id" value=(connection.id);
                input type="hidden" name="scope" value="chosen";
                input type="hidden" name="step" value=(step);
                @for (kind, label) in buttons { button name="kind" value=(kind) { (label) } " " }
            }
        }
    };
    Ok(html! { div class="actions" { (form("run", &at_once)) (form("try", &tried)) } })
}

fn facts(connection: &v1::Connection) -> Markup {
    let times = [
        ("Ends", ends(connection)),
        ("Credential expires", when(connection.expire_time.as_ref())),
        ("Last used", when(connection.last_used_time.as_ref())),
        ("Last refreshed", when(connection.last_refreshed_time.as_ref())),
        ("Last verified", when(connection.last_verified_time.as_ref())),
        ("Last synchronised", when(connection.last_synced_time.as_ref())),
        ("Credential to be replaced", when(connection.rotation_due_time.as_ref())),
        ("Created", when(connection.create_time.as_ref())),
        ("Changed", when(connection.update_time.as_ref())),
    ];
    html! {
        dl {
            dt { "Id" } dd { code { (connection.id) } }
            dt { "Owner" } dd { (owner(connection.owner.as_ref())) }
            dt { "Auth mode" } dd { (connection.auth_mode) }
            dt { "Account at the provider" } dd { (account(connection)) }
            dt { "Scopes granted" } dd { (connection.scopes_granted.join(" ")) }
            dt { "Default of its owner" } dd { @if connection.default { "yes" } @else { "no" } }
            @if connection.revocation() != v1::Revocation::Unspecified {
                dt { "Revocation" } dd { (word(connection.revocation().as_str_name(), "REVOCATION_")) }
            }
            @for (name, time) in times { dt { (name) } dd { (time) } }
            @for (name, value) in &connection.labels { dt { "Label " (name) } dd { (value) } }
            @for (name, hint) in &connection.hints { dt { "Hint of " (name) } dd { code { (hint) } } }
        }
        @if let Some(rotation) = &connection.rotation { (rotated(rotation)) }
    }
}

fn account(connection: &v1::Connection) -> Markup {
    html! {
        (connection.external_account_id)
        @if !connection.found_account_id.is_empty() {
            strong { " The last test found another account: " (connection.found_account_id) }
        }
    }
}

fn rotated(rotation: &v1::CredentialRotation) -> Markup {
    html! {
        @if !rotation.failure_reason.is_empty() {
            p { "The last replacement of its key failed: " code { (rotation.failure_reason) } }
        }
        @if rotation.left_key_time.is_some() {
            p { "Keys left at the provider: " (rotation.left_keys) ". Delete them there, and then " code { "credvault connections update --left-key-removed" } "." }
        }
    }
}

/// The connection as its tenant sees it: only that has how far services have synchronised it.
async fn whole(console: &Console, tenant: &str, id: &str) -> Result<v1::Connection, Refusal> {
    let request = v1::GetConnectionRequest { connection_id: id.to_owned() };
    let answer = console.vault.connections(tenant)?.get_connection(request).await?.into_inner();
    answer.connection.ok_or_else(|| Refusal::missing("This connection"))
}

fn synced(connection: &v1::Connection) -> Markup {
    if connection.sync_states.is_empty() {
        return html! { p { "No service has reported a synchronisation." } };
    }
    let row = |sync: &v1::SyncState| {
        vec![
            html! { (sync.resource) },
            html! { (word(sync.status().as_str_name(), "SYNC_STATUS_")) " " (sync.error) },
            html! { (number(sync.items_synced)) },
            html! { (number(sync.items_failed)) },
            when(sync.success_time.as_ref()),
            when(sync.update_time.as_ref()),
        ]
    };
    let rows: Vec<_> = connection.sync_states.iter().map(row).collect();
    let headings = ["Resource", "Status", "Items", "Failed", "Last success", "Last report"];
    table("Synchronisation", &headings, &rows)
}

async fn usage(console: &Console, tenant: &str, id: &str) -> Result<Markup, Refusal> {
    let filter = v1::UsageFilter { connection_id: id.to_owned(), ..Default::default() };
    let request = v1::GetUsageRequest {
        filter: Some(filter),
        group_by: vec![v1::UsageGroup::Day.into()],
        page_size: 100,
        ..Default::default()
    };
    let rows = console.vault.connections(tenant)?.get_usage(request).await?.into_inner().rows;
    let days = last_days(console.clock.now(), DAYS);
    let of_day = |day: &str, value: fn(&v1::UsageCounts) -> i64| -> i64 {
        rows.iter().filter(|row| row.day == day).filter_map(|row| row.counts.as_ref()).map(value).sum()
    };
    let series = |name, tone, value: fn(&v1::UsageCounts) -> i64| Series {
        name,
        tone,
        values: days.iter().map(|day| of_day(day, value)).collect(),
    };
    let vault = [
        series("fetches", Tone::Good, |counts| counts.fetches),
        series("refreshes", Tone::Quiet, |counts| counts.refreshes),
    ];
    let services = [
        series("calls that succeeded", Tone::Good, |counts| (counts.calls - counts.errors).max(0)),
        series("refused for a rate", Tone::Warn, |counts| counts.rate_limit_hits),
        series("failed otherwise", Tone::Bad, |counts| (counts.errors - counts.rate_limit_hits).max(0)),
    ];
    Ok(html! {
        (bars("Fetches and refreshes, counted by the vault", &days, &vault))
        (bars("Calls to the provider, as services report them", &days, &services))
    })
}

async fn versions(console: &Console, tenant: &str, id: &str) -> Result<Markup, Refusal> {
    let request = v1::ListCredentialVersionsRequest {
        connection_id: id.to_owned(),
        page_size: 50,
        ..Default::default()
    };
    let listed = console.vault.versions(tenant)?.list_credential_versions(request).await?.into_inner();
    if listed.versions.is_empty() {
        return Ok(html! { p { "It has no credential." } });
    }
    let rows: Vec<_> = listed.versions.iter().map(version).collect();
    let headings = ["Version", "State", "Stored", "Expires", "Destroyed", "Kept in", "Hints"];
    Ok(html! {
        (table("Versions", &headings, &rows))
        @if !listed.next_page_token.is_empty() { p class="quiet" { "These are the newest 50." } }
    })
}

fn version(version: &v1::CredentialVersion) -> Vec<Markup> {
    let hints: Vec<_> = version.hints.iter().map(|(name, hint)| format!("{name}: {hint}")).collect();
    vec![
        html! { (version.version) @if version.rolled_back_from > 0 { " (as " (version.rolled_back_from) ")" } },
        html! {
            (word(version.state().as_str_name(), "CREDENTIAL_VERSION_STATE_"))
            @if version.current { ", current" }
        },
        when(version.create_time.as_ref()),
        when(version.expire_time.as_ref()),
        when(version.destroy_time.as_ref()),
        html! { @if version.store.is_empty() { "database" } @else { (version.store) } },
        html! { (hints.join(", ")) },
    ]
}

async fn latest(
    console: &Console,
    tenant: &str,
    filter: v1::AuditFilter,
    reads: Reads,
) -> Result<Markup, Refusal> {
    let id = filter.connection_id.clone();
    let mut request =
        v1::ListAuditEventsRequest { filter: Some(filter), page_size: LOOKED_AT, ..Default::default() };
    let mut client = console.vault.audit(tenant)?;
    let mut found = Vec::new();
    for _ in 0..CALLS {
        let page = client.list_audit_events(request.clone()).await?.into_inner();
        let is_shown = |event: &v1::AuditEvent| reads.shows(console, &event.service, &event.action);
        found.extend(page.events.into_iter().filter(is_shown));
        request.page_token = page.next_page_token;
        if found.len() >= RECORDS || request.page_token.is_empty() {
            break;
        }
    }
    found.truncate(RECORDS);
    let all = link("/audit", &[("tenant", tenant), ("connection", id.as_str())]);
    Ok(html! { (records(tenant, &found, &id)) p { a href=(all) { "All its records" } } })
}
