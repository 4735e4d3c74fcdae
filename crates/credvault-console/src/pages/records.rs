//! Records of the audit log as a table, and what they have in common: which service and user did what, how often.

use credvault_domain::{Action, ActionKind};
use credvault_proto::v1;
use maud::{Markup, html};

use crate::console::Console;
use crate::fields::link;
use crate::frame::table;
use crate::refusal::Refusal;
use crate::words::{number, outcome, when};

const HEADINGS: [&str; 7] = ["Time", "Service", "User", "Action", "About", "Outcome", "More"];

/// Which records are shown, as to what this console reads to show its pages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// All records, those of its own reads among them.
    All,
    /// All but its own reads: what others did, and what the console changed.
    OfOthers,
}

impl Reads {
    /// Whether a call of this service and action is shown.
    pub(crate) fn shows(self, console: &Console, service: &str, action: &str) -> bool {
        let is_read = || Action::from_stored(action).is_some_and(|action| action.kind() == ActionKind::Read);
        self == Self::All || service != console.target.caller || !is_read()
    }
}

/// Records of the audit log, newest first. `here` is the connection whose page has them, to which no link is needed.
pub(crate) fn records(tenant: &str, events: &[v1::AuditEvent], here: &str) -> Markup {
    if events.is_empty() {
        return html! { p { "There is no such record." } };
    }
    let rows: Vec<_> = events.iter().map(|event| row(tenant, event, here)).collect();
    table("Audit records", &HEADINGS, &rows)
}

fn row(tenant: &str, event: &v1::AuditEvent, here: &str) -> Vec<Markup> {
    let about = if event.provider.is_empty() { "connection" } else { event.provider.as_str() };
    let page = link("/connection", &[("tenant", tenant), ("id", event.connection_id.as_str())]);
    vec![
        when(event.time.as_ref()),
        html! { (short(&event.service)) },
        html! { (event.user_id) },
        html! { (event.action) },
        html! {
            @if event.connection_id.is_empty() { (event.provider) }
            @else if event.connection_id == here { (about) }
            @else { a href=(page) { (about) } }
        },
        html! { (outcome(event)) @if !event.reason.is_empty() { " " code { (event.reason) } } },
        more(event),
    ]
}

/// The rest of a record, which is seldom asked for.
fn more(event: &v1::AuditEvent) -> Markup {
    let version = if event.version == 0 { String::new() } else { event.version.to_string() };
    let index = event.index.map(|index| index.to_string()).unwrap_or_default();
    let facts = [
        ("Record", event.id.as_str()),
        ("Place in the log", index.as_str()),
        ("Service", event.service.as_str()),
        ("Tenant by", event.tenant_source.as_str()),
        ("Connection", event.connection_id.as_str()),
        ("Owner", event.owner_user_id.as_str()),
        ("Version", version.as_str()),
        ("Purpose", event.purpose.as_str()),
        ("From", event.source_address.as_str()),
        ("Trace id", event.trace_id.as_str()),
    ];
    let lists = [
        ("Changed", &event.changed_fields),
        ("Released", &event.released_fields),
        ("Policies", &event.policies),
    ];
    html! {
        details {
            summary { "Details" }
            dl {
                @for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) { dt { (name) } dd { (value) } }
                @for (name, values) in lists.iter().filter(|(_, values)| !values.is_empty()) {
                    dt { (name) } dd { (values.join(", ")) }
                }
            }
        }
    }
}

/// The end of a SPIFFE ID, which tells services of one domain apart.
fn short(service: &str) -> &str {
    let path = service.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/'));
    path.map_or(service, |(_, path)| path)
}

/// Which service and user did what, how often, with which outcome: the highest counts.
pub(crate) async fn who_did(
    console: &Console,
    tenant: &str,
    filter: v1::AuditFilter,
    reads: Reads,
) -> Result<Markup, Refusal> {
    const MOST: usize = 50;
    let groups =
        [v1::AuditGroup::Service, v1::AuditGroup::User, v1::AuditGroup::Action, v1::AuditGroup::Outcome];
    let group_by = groups.iter().map(|group| i32::from(*group)).collect();
    let request = v1::SummarizeAuditEventsRequest { filter: Some(filter), group_by };
    let answer = console.vault.audit(tenant)?.summarize_audit_events(request).await?.into_inner();
    let is_shown = |summary: &&v1::AuditSummary| reads.shows(console, key(summary, 0), key(summary, 2));
    let rows: Vec<_> = answer.summaries.iter().filter(is_shown).take(MOST).map(summary).collect();
    if rows.is_empty() {
        return Ok(html! { p { "There is no such record." } });
    }
    let headings = ["Service", "User", "Action", "Outcome", "Count", "First", "Last"];
    Ok(table("Who did what", &headings, &rows))
}

/// What the records of a sum have in common: service, user, action, outcome.
fn key(summary: &v1::AuditSummary, index: usize) -> &str {
    summary.keys.get(index).map_or("", String::as_str)
}

fn summary(summary: &v1::AuditSummary) -> Vec<Markup> {
    let mut cells = vec![html! { (short(key(summary, 0))) }];
    cells.extend([1, 2, 3].map(|index| html! { (key(summary, index)) }));
    cells.push(html! { (number(summary.count)) });
    cells.extend([&summary.first_time, &summary.last_time].map(|time| when(time.as_ref())));
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_links_to_another_page_only_and_its_details_have_the_trace_id() {
        let event = v1::AuditEvent {
            connection_id: "c1".to_owned(),
            provider: "shopify".to_owned(),
            trace_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
            ..Default::default()
        };
        let text = records("acme", std::slice::from_ref(&event), "").into_string();
        assert!(text.contains("href=\"/connection?tenant=acme&amp;id=c1\">shopify</a>"), "{text}");
        assert!(text.contains("<dt>Trace id</dt><dd>0af7651916cd43dd8448eb211c80319c</dd>"), "{text}");
        let text = records("acme", &[event], "c1").into_string();
        assert!(!text.contains("<a ") && text.contains(">shopify<"), "{text}");
    }
}
