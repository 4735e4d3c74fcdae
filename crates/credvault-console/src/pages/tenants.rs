//! The list of tenants that policy shows to this operator.

use axum::Extension;
use axum::extract::State;
use credvault_proto::v1;
use maud::{Markup, html};

use super::{Given, Shared};
use crate::fields::link;
use crate::frame::{Answer, Page, Paging, Section, choice, table};
use crate::refusal::Refusal;
use crate::words::{Tone, badge, when, word};

const STATES: [(&str, &str); 3] = [("", "any"), ("active", "active"), ("suspended", "suspended")];

/// A page of the list.
pub(crate) async fn list(State(console): Shared, Extension(fields): Given) -> Answer {
    let request = v1::ListTenantsRequest {
        page_token: fields.get("page").to_owned(),
        state: parsed(fields.get("state"))?.into(),
        ..Default::default()
    };
    let listed = console.vault.admin().list_tenants(request).await?.into_inner();
    let rows: Vec<_> = listed.tenants.iter().map(row).collect();
    let (carried, next) = (vec![("state", fields.get("state"))], listed.next_page_token.as_str());
    let paging = Paging { path: "/tenants", carried, next, seen: fields.number("seen"), shown: rows.len() };
    let body = html! {
        form class="filter" method="get" action="/tenants" {
            (choice("state", "State", fields.get("state"), &STATES))
            button { "Filter" }
        }
        @if rows.is_empty() {
            p { "There is no such tenant, or policy shows none to this operator." }
        } @else {
            (table("Tenants", &["Tenant", "Name", "State", "Created", "Changed"], &rows))
            (paging.links())
        }
    };
    Ok(Page::new(Section::Tenants, "Tenants", &fields, body))
}

fn parsed(name: &str) -> Result<v1::TenantState, Refusal> {
    match name {
        "" => Ok(v1::TenantState::Unspecified),
        "active" => Ok(v1::TenantState::Active),
        "suspended" => Ok(v1::TenantState::Suspended),
        _ => Err(Refusal::of_field("state", "must be active or suspended")),
    }
}

fn row(tenant: &v1::Tenant) -> Vec<Markup> {
    vec![
        html! { a href=(link("/tenant", &[("tenant", tenant.id.as_str())])) { (tenant.id) } },
        html! { (tenant.display_name) },
        state(tenant),
        when(tenant.create_time.as_ref()),
        when(tenant.update_time.as_ref()),
    ]
}

/// Whether the vault serves a tenant.
pub(crate) fn state(tenant: &v1::Tenant) -> Markup {
    let tone = match tenant.state() {
        v1::TenantState::Active => Tone::Good,
        v1::TenantState::Suspended => Tone::Bad,
        v1::TenantState::Unspecified => Tone::Quiet,
    };
    badge(tone, &word(tenant.state().as_str_name(), "TENANT_STATE_"))
}
