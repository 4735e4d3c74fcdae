//! The audit log of a tenant, or of the platform: searched by filters, summed by who did what, and exported.

use axum::Extension;
use axum::extract::State;
use credvault_proto::v1;
use maud::{Markup, html};

use super::records::{records, who_did};
use super::selection::day;
use super::{Given, Shared};
use crate::fields::{Fields, link};
use crate::frame::{Answer, Page, Paging, Section, choice, input};
use crate::refusal::{Refusal, shown};

/// The names of the filter's fields, which links carry on.
const NAMES: [&str; 8] =
    ["since", "before", "service", "user", "action", "connection", "provider", "outcome"];

const OUTCOMES: [(&str, &str); 4] = [("", "any"), ("ok", "ok"), ("denied", "denied"), ("failed", "failed")];

/// A page of the log.
pub(crate) async fn search(State(console): Shared, Extension(fields): Given) -> Answer {
    let tenant = fields.tenant();
    let filter = filter(&fields)?;
    if fields.get("view") == "sums" {
        let sums = shown(who_did(&console, tenant, filter).await);
        let body = html! { (form(&fields)) (sums) };
        return Ok(Page::new(Section::Audit, "Audit: who did what", &fields, body));
    }
    let page_token = fields.get("page").to_owned();
    let request = v1::ListAuditEventsRequest { filter: Some(filter), page_token, ..Default::default() };
    let listed = console.vault.audit(tenant)?.list_audit_events(request).await?.into_inner();
    let (next, shown) = (listed.next_page_token.as_str(), listed.events.len());
    let paging =
        Paging { path: "/audit", carried: carried(&fields), next, seen: fields.number("seen"), shown };
    let body = html! {
        (form(&fields))
        (exports(&fields))
        (records(tenant, &listed.events))
        (paging.links())
    };
    Ok(Page::new(Section::Audit, "Audit", &fields, body))
}

/// The filter of the fields, as the API takes it.
pub(crate) fn filter(fields: &Fields) -> Result<v1::AuditFilter, Refusal> {
    let outcome = match fields.get("outcome") {
        "" => v1::AuditOutcome::Unspecified,
        "ok" => v1::AuditOutcome::Ok,
        "denied" => v1::AuditOutcome::Denied,
        "failed" => v1::AuditOutcome::Failed,
        _ => return Err(Refusal::of_field("outcome", "must be ok, denied or failed")),
    };
    Ok(v1::AuditFilter {
        start_time: day(fields, "since")?,
        end_time: day(fields, "before")?,
        service: fields.get("service").to_owned(),
        user_id: fields.get("user").to_owned(),
        action: fields.get("action").to_owned(),
        connection_id: fields.get("connection").to_owned(),
        outcome: outcome.into(),
        provider: fields.get("provider").to_owned(),
    })
}

fn carried(fields: &Fields) -> Vec<(&'static str, &str)> {
    let mut carried = vec![("tenant", fields.tenant())];
    carried.extend(NAMES.iter().map(|name| (*name, fields.get(name))));
    carried
}

fn form(fields: &Fields) -> Markup {
    let field = |kind, name, label| input(kind, name, label, fields.get(name));
    html! {
        form class="filter" method="get" action="/audit" {
            input type="hidden" name="tenant" value=(fields.tenant());
            (field("date", "since", "Since"))
            (field("date", "before", "Before"))
            (field("text", "action", "Action"))
            (field("text", "service", "Service (SPIFFE ID)"))
            (field("text", "user", "User"))
            (field("text", "provider", "Provider"))
            (field("text", "connection", "Connection (id)"))
            (choice("outcome", "Outcome", fields.get("outcome"), &OUTCOMES))
            button { "Search" }
            button name="view" value="sums" { "Who did what" }
        }
    }
}

fn exports(fields: &Fields) -> Markup {
    let address = |format| {
        let mut pairs = carried(fields);
        pairs.push(("format", format));
        link("/audit/export", &pairs)
    };
    html! {
        p {
            "Export what the search finds: "
            a href=(address("csv")) download { "CSV" } ", "
            a href=(address("jsonl")) download { "JSON lines" }
        }
    }
}
