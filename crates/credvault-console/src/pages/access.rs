//! Who may use a connection under the policies of the vault, and who did in the last 30 days: a part of the connection's page.

use credvault_proto::v1;
use maud::{Markup, html};

use crate::call_needs::call_needs;
use crate::console::Console;
use crate::frame::table;
use crate::refusal::Refusal;
use crate::words::{Tone, badge, number, when};

/// How many kinds of use the page shows.
const USES: i32 = 50;

/// The report about a connection of a tenant, or of the platform.
pub(crate) async fn access(console: &Console, tenant: &str, id: &str) -> Result<Markup, Refusal> {
    let request = v1::GetAccessReportRequest {
        tenant_id: tenant.to_owned(),
        connection_id: id.to_owned(),
        page_size: USES,
        ..Default::default()
    };
    Ok(report(&console.vault.admin().get_access_report(request).await?.into_inner()))
}

fn report(report: &v1::GetAccessReportResponse) -> Markup {
    let uses: Vec<_> = report.uses.iter().map(use_row).collect();
    html! {
        h3 { "Who may" }
        @if let Some(may) = &report.may { (who_may(may, report.owner.as_ref())) }
        h3 { "Who did in the last 30 days" }
        @if uses.is_empty() {
            p { "No service has fetched it or checked a webhook with it." }
        } @else {
            (table("Who did", &["Service", "User", "Purpose", "Action", "Answered", "Refused", "Failed", "First", "Last"], &uses))
        }
        @if !report.next_page_token.is_empty() {
            p class="quiet" { "These are the first " (USES) ". " code { "credvault connections access" } " shows all." }
        }
    }
}

fn who_may(may: &v1::AccessPermissions, owner: Option<&v1::Owner>) -> Markup {
    let rows: Vec<_> = may.services.iter().flat_map(|access| rows(access, owner)).collect();
    let by_attributes = ids(&may.policies_by_attributes);
    html! {
        @if rows.is_empty() {
            p { "The policies permit it to no service." }
        } @else {
            (table("Who may", &["Service", "Action", "Decision", "What a call needs", "Policies"], &rows))
        }
        @if !by_attributes.is_empty() {
            p {
                "These policies permit it by trust domain or path, so to services that have not called, too: " strong { (by_attributes) } "."
            }
        }
        @if may.more_services {
            p class="quiet" { "There are more services than the vault asks the policies about." }
        }
    }
}

/// What a service may do, a row for each action.
fn rows(access: &v1::ServiceAccess, owner: Option<&v1::Owner>) -> Vec<Vec<Markup>> {
    let row = |action: &v1::ActionAccess| {
        let said = if action.permitted { (Tone::Good, "permitted") } else { (Tone::Quiet, "denied") };
        vec![
            html! {
                @if access.any_service_of.is_empty() { code { (access.service) } }
                @else { "any other service of " code { (access.any_service_of) } }
            },
            html! { (action.action) },
            badge(said.0, said.1),
            html! { (call_needs(action, owner)) },
            html! { (ids(&action.policies)) },
        ]
    };
    access.actions.iter().map(row).collect()
}

fn ids(policies: &[v1::DecidingPolicy]) -> String {
    policies.iter().map(|policy| policy.id.as_str()).collect::<Vec<_>>().join(", ")
}

fn use_row(one: &v1::AccessUse) -> Vec<Markup> {
    vec![
        html! { code { (one.service) } },
        html! { (one.user_id) },
        html! { (one.purpose) },
        html! { (one.action) },
        html! {
            (number(one.answered_count))
            @if one.released_count > 0 { " (" (number(one.released_count)) " with a refresh token or the like)" }
        },
        html! { (number(one.denied_count)) },
        html! { (number(one.failed_count)) },
        when(one.first_time.as_ref()),
        when(one.last_time.as_ref()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(permitted: bool) -> v1::ActionAccess {
        let policy = v1::DecidingPolicy { id: "<script>".to_owned(), ..Default::default() };
        v1::ActionAccess {
            action: "FetchCredential".to_owned(),
            permitted,
            policies: vec![policy],
            tenant_sources: vec!["token".to_owned(), "header".to_owned()],
            purpose_rule: v1::PurposeRule::Any.into(),
            ..Default::default()
        }
    }

    #[test]
    fn what_policies_and_callers_name_is_escaped() {
        let service = v1::ServiceAccess {
            any_service_of: "one.test".to_owned(),
            actions: vec![fetch(true), fetch(false)],
            ..Default::default()
        };
        let may = v1::AccessPermissions { services: vec![service], ..Default::default() };
        let one = v1::AccessUse { purpose: "<script>".to_owned(), answered_count: 2, ..Default::default() };
        let found = v1::GetAccessReportResponse { may: Some(may), uses: vec![one], ..Default::default() };
        let text = report(&found).into_string();
        assert!(!text.contains("<script>") && text.contains("&lt;script&gt;"), "{text}");
        assert!(text.contains("any other service of <code>one.test</code>"), "{text}");
        assert!(text.contains("permitted") && text.contains("denied"), "{text}");
        let none =
            report(&v1::GetAccessReportResponse { may: Some(Default::default()), ..Default::default() });
        let none = none.into_string();
        assert!(none.contains("to no service") && none.contains("No service has fetched it"), "{none}");
    }
}
