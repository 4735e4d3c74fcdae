//! One tenant: its state, its connections in numbers, its users and its limits. It is suspended and resumed here.

use axum::Extension;
use axum::extract::State;
use axum::response::Redirect;
use credvault_proto::v1;
use maud::{Markup, html};

use super::counts::Whose;
use super::{Done, Given, Shared, counts, tenants};
use crate::console::Console;
use crate::fields::{Fields, link};
use crate::frame::{Answer, Page, Section, table};
use crate::refusal::{Refusal, shown};
use crate::words::{number, when, word};

/// The page of a tenant.
pub(crate) async fn show(State(console): Shared, Extension(fields): Given) -> Answer {
    let id = fields.tenant();
    let request = v1::GetTenantRequest { tenant_id: id.to_owned() };
    let answer = console.vault.admin().get_tenant(request).await?.into_inner();
    let tenant = answer.tenant.ok_or_else(|| Refusal::missing("This tenant"))?;
    let (counted, users, limits) = tokio::join!(
        counts::shown(&console, Whose::Tenant(id)),
        users(&console, &fields),
        limits(&console, id)
    );
    let body = html! {
        p { (tenants::state(&tenant)) " " (tenant.display_name) ", created " (when(tenant.create_time.as_ref())) }
        (switch(&console, &tenant)?)
        section aria-labelledby="counts" { h2 id="counts" { "Connections" } (counted) }
        section aria-labelledby="users" { h2 id="users" { "Users" } (shown(users)) }
        section aria-labelledby="limits" { h2 id="limits" { "Limits" } (shown(limits)) }
    };
    Ok(Page::new(Section::Tenants, id, &fields, body))
}

/// The way to suspend or resume it, with what that means. It opens without a script.
fn switch(console: &Console, tenant: &v1::Tenant) -> Result<Markup, Refusal> {
    let (action, label, meaning) = match tenant.state() {
        v1::TenantState::Suspended => {
            ("/tenant/resume", "Resume", "The vault serves its calls again at once.")
        }
        v1::TenantState::Active | v1::TenantState::Unspecified => (
            "/tenant/suspend",
            "Suspend",
            "From then on the vault refuses every call for the tenant with TENANT_SUSPENDED. Nothing is deleted, and it \
             can be resumed.",
        ),
    };
    let request_id = console.request_id()?;
    Ok(html! {
        details class="ask" {
            summary { (label) "…" }
            form method="post" action=(action) {
                (console.form_key()) (request_id)
                input type="hidden" name="tenant" value=(tenant.id);
                p { (meaning) }
                button class="act" { (label) " " (tenant.id) }
            }
        }
    })
}

async fn users(console: &Console, fields: &Fields) -> Result<Markup, Refusal> {
    let request = v1::ListUsersRequest {
        tenant_id: fields.tenant().to_owned(),
        page_token: fields.get("users_page").to_owned(),
        ..Default::default()
    };
    let listed = console.vault.admin().list_users(request).await?.into_inner();
    if listed.users.is_empty() {
        return Ok(html! { p { "No user owns a connection, and no service has called for one." } });
    }
    let rows: Vec<_> = listed.users.iter().map(|user| row(fields.tenant(), user)).collect();
    let onward =
        link("/tenant", &[("tenant", fields.tenant()), ("users_page", listed.next_page_token.as_str())]);
    let headings = ["User", "Connections", "Broken", "First seen", "Last seen", "Last used"];
    Ok(html! {
        (table("Users", &headings, &rows))
        @if !listed.next_page_token.is_empty() { p { a rel="next" href={ (onward) "#users" } { "More users" } } }
    })
}

fn row(tenant: &str, user: &v1::User) -> Vec<Markup> {
    let owned = link("/connections", &[("tenant", tenant), ("user", user.id.as_str())]);
    vec![
        html! { a href=(owned) { (user.id) } },
        html! { (number(user.connection_count)) },
        html! { (number(user.broken_connection_count)) },
        when(user.first_seen_time.as_ref()),
        when(user.last_seen_time.as_ref()),
        when(user.last_used_time.as_ref()),
    ]
}

async fn limits(console: &Console, id: &str) -> Result<Markup, Refusal> {
    let request = v1::GetTenantLimitsRequest { tenant_id: id.to_owned() };
    let answer = console.vault.admin().get_tenant_limits(request).await?.into_inner();
    let row = |limit: &v1::TenantLimit| {
        let number =
            |value: Option<i64>| html! { @if let Some(value) = value { (number(value)) } @else { "–" } };
        vec![
            html! { (word(limit.kind().as_str_name(), "LIMIT_KIND_")) },
            html! { (number(Some(limit.value))) @if limit.override_value.is_some() { " (its own)" } },
            number(limit.in_use),
        ]
    };
    let rows: Vec<_> = answer.limits.iter().map(row).collect();
    Ok(html! {
        (table("Limits", &["Limit", "Number", "In use"], &rows))
        p class="quiet" { code { "credvault limits set " (id) } " gives it other numbers; 0 may mean no limit." }
    })
}

/// Suspends the tenant of the form.
pub(crate) async fn suspend(State(console): Shared, Extension(fields): Given) -> Done {
    let (tenant_id, request_id) = (fields.tenant().to_owned(), fields.get("request_id").to_owned());
    console.vault.admin().suspend_tenant(v1::SuspendTenantRequest { tenant_id, request_id }).await?;
    Ok(Redirect::to(&link("/tenant", &[("tenant", fields.tenant()), ("done", "suspended")])))
}

/// Resumes the tenant of the form.
pub(crate) async fn resume(State(console): Shared, Extension(fields): Given) -> Done {
    let (tenant_id, request_id) = (fields.tenant().to_owned(), fields.get("request_id").to_owned());
    console.vault.admin().resume_tenant(v1::ResumeTenantRequest { tenant_id, request_id }).await?;
    Ok(Redirect::to(&link("/tenant", &[("tenant", fields.tenant()), ("done", "resumed")])))
}
