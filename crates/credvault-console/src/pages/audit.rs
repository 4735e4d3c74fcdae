//! The audit log of a tenant, or of the platform: searched by filters, summed by who did what, and exported. What is wrong with
//! a search is said in its form, which stays.

use axum::Extension;
use axum::extract::State;
use credvault_proto::v1;
use maud::{Markup, html};

use super::audit_filter::{RENAMED, carried, filter, form, recent};
use super::records::{Reads, records, who_did};
use super::{Given, Shared};
use crate::console::Console;
use crate::fields::{Fields, link};
use crate::frame::{Answer, Page, Paging, Section};
use crate::refusal::Refusal;

/// A page of the log.
pub(crate) async fn search(State(console): Shared, Extension(fields): Given) -> Answer {
    let found = found(&console, &fields).await.map_err(|refusal| refusal.renamed(&RENAMED));
    let refusal = found.as_ref().err();
    let title = if sums(&fields) { "Audit: who did what" } else { "Audit" };
    let body = html! {
        (recent(&fields, refusal, console.clock.now()))
        (form(&fields, refusal))
        @match &found {
            Ok(found) => { (found) }
            Err(refusal) => { (refusal.shown()) }
        }
    };
    Ok(Page::new(Section::Audit, title, &fields, body).with_status_of(refusal))
}

/// Whether the records are summed in place of being listed.
fn sums(fields: &Fields) -> bool {
    fields.get("view") == "sums"
}

async fn found(console: &Console, fields: &Fields) -> Result<Markup, Refusal> {
    let tenant = fields.tenant();
    let filter = filter(console, fields).await?;
    if sums(fields) {
        return who_did(console, tenant, filter, Reads::All).await;
    }
    let page_token = fields.get("page").to_owned();
    let request = v1::ListAuditEventsRequest { filter: Some(filter), page_token, ..Default::default() };
    let listed = console.vault.audit(tenant)?.list_audit_events(request).await?.into_inner();
    let (next, shown) = (listed.next_page_token.as_str(), listed.events.len());
    let paging =
        Paging { path: "/audit", carried: carried(fields), next, seen: fields.number("seen"), shown };
    Ok(html! {
        (exports(fields))
        (records(tenant, &listed.events, ""))
        (paging.links())
    })
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
