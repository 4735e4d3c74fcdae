//! The policy tester: may this service make that call, and which policy says so? The vault asks the policies that it uses; the
//! call itself is not made.

use axum::Extension;
use axum::extract::State;
use credvault_proto::v1;
use maud::{Markup, html};

use super::actions::options;
use super::{Given, Shared};
use crate::console::Console;
use crate::fields::Fields;
use crate::frame::{Answer, Page, Section, choice, input, table};
use crate::refusal::{Refusal, shown};
use crate::words::{Tone, badge, owner};

/// The action that is chosen where the address names none.
const USUAL: &str = "FetchCredential";

/// The groups of the list of actions.
const SERVICES: [&str; 5] =
    ["VaultService", "ConnectionService", "AuditService", "AdminService", "Permission"];

const OWNERS: [(&str, &str); 4] =
    [("", "none"), ("tenant", "the tenant"), ("user", "the owning user"), ("platform", "the platform")];

const SOURCES: [(&str, &str); 5] = [
    ("", "as usual"),
    ("header", "a header"),
    ("token", "a token"),
    ("assertion", "an assertion"),
    ("none", "nothing"),
];

/// The form, and below it the answer once a service is named.
pub(crate) async fn show(State(console): Shared, Extension(fields): Given) -> Answer {
    let answer = match fields.get("service") {
        "" => None,
        _ => Some(answer(&console, &fields).await),
    };
    let body = html! {
        p {
            "May a service make a call, and which policy says so? The vault asks the policies that it uses at the moment. It does "
            "not make the call."
        }
        (form(&fields))
        @if let Some(answer) = answer {
            section aria-labelledby="answer" { h2 id="answer" { "Answer" } (shown(answer)) }
        }
    };
    Ok(Page::new(Section::Policy, "Policy", &fields, body))
}

fn form(fields: &Fields) -> Markup {
    let text = |name, label| input("text", name, label, fields.get(name));
    let more = ["purpose", "source", "from"];
    html! {
        form class="filter" method="get" action="/policy" {
            (text("service", "Service (SPIFFE ID)"))
            (actions(fields.get("action")))
            (text("tenant", "Tenant (empty: the platform)"))
            (text("user", "User"))
            (text("connection", "Connection (id)"))
            (text("provider", "or provider"))
            (choice("owner", "and owner", fields.get("owner"), &OWNERS))
            (text("owner_user", "Owning user"))
            details open[more.iter().any(|name| !fields.get(name).is_empty())] {
                summary { "More facts" }
                (text("purpose", "Purpose"))
                (choice("source", "The tenant is vouched for by", fields.get("source"), &SOURCES))
                (text("from", "Address that the call comes from"))
            }
            button { "Ask" }
        }
    }
}

/// The choice of an action, by the gRPC service that has it.
fn actions(chosen: &str) -> Markup {
    let chosen = if chosen.is_empty() { USUAL } else { chosen };
    html! { label { "Action " select name="action" { (options(&SERVICES, chosen)) } } }
}

async fn answer(console: &Console, fields: &Fields) -> Result<Markup, Refusal> {
    let request = request(fields)?;
    let explained = console.vault.admin().explain_policy(request.clone()).await?.into_inner();
    let rows: Vec<_> = explained.decisions.iter().map(row).collect();
    let lacking: Vec<&str> = explained.not_given.iter().map(|fact| label(fact)).collect();
    Ok(html! {
        (verdict(&request, &explained)?)
        (table("Decisions", &["Action", "Decision", "Policies that decide"], &rows))
        @if !lacking.is_empty() {
            p class="quiet" { "Policies may also look at what the question does not name: " (lacking.join(", ")) "." }
        }
        p class="quiet" {
            "This is what policies say. A call that they permit may still fail for the state of tenant or connection, a limit, or "
            "a source rule of the tenant."
        }
    })
}

fn request(fields: &Fields) -> Result<v1::ExplainPolicyRequest, Refusal> {
    let text = |name: &str| fields.get(name).to_owned();
    let action = fields.get("action");
    Ok(v1::ExplainPolicyRequest {
        service: text("service"),
        action: if action.is_empty() { USUAL.to_owned() } else { action.to_owned() },
        tenant_id: fields.tenant().to_owned(),
        tenant_source: text("source"),
        user_id: text("user"),
        connection_id: text("connection"),
        provider: text("provider"),
        owner: named_owner(fields)?,
        purpose: text("purpose"),
        source_address: text("from"),
    })
}

fn named_owner(fields: &Fields) -> Result<Option<v1::Owner>, Refusal> {
    let user_id = fields.get("owner_user").to_owned();
    let kind = match fields.get("owner") {
        "" if user_id.is_empty() => return Ok(None),
        "" | "user" => v1::OwnerKind::User,
        "tenant" => v1::OwnerKind::Tenant,
        "platform" => v1::OwnerKind::Platform,
        _ => return Err(Refusal::of_field("owner", "must be one of the list")),
    };
    Ok(Some(v1::Owner { kind: kind.into(), user_id }))
}

/// A fact of the question, as the form names it.
fn label(fact: &str) -> &str {
    match fact {
        "user_id" => "the user",
        "provider" => "the provider",
        "owner" => "the owner",
        "purpose" => "the purpose",
        _ => fact,
    }
}

/// The answer in one sentence: the first decision that denies the call, or the one about its action.
fn verdict(
    request: &v1::ExplainPolicyRequest,
    explained: &v1::ExplainPolicyResponse,
) -> Result<Markup, Refusal> {
    let denied = explained.decisions.iter().find(|decision| !decision.permitted);
    let decision = denied.or(explained.decisions.last());
    let decision = decision.ok_or_else(|| Refusal::missing("A decision about this call"))?;
    let ids: Vec<&str> = decision.policies.iter().map(|policy| policy.id.as_str()).collect();
    let (policies, permit) =
        if ids.len() == 1 { ("the policy ", " permits it") } else { ("the policies ", " permit it") };
    Ok(html! {
        p {
            @if denied.is_some() { (badge(Tone::Bad, "denied")) } @else { (badge(Tone::Good, "permitted")) }
            " " code { (request.service) }
            @if denied.is_some() { " may not call " } @else { " may call " }
            code { (request.action) } (about(request, explained)) ": "
            @if denied.is_some() { (decision.denial) } @else { (policies) strong { (ids.join(", ")) } (permit) }
            "."
        }
    })
}

/// What the call is about, as the end of a clause.
fn about(request: &v1::ExplainPolicyRequest, explained: &v1::ExplainPolicyResponse) -> Markup {
    html! {
        @if request.tenant_id.is_empty() { " for the platform" } @else { " for the tenant " code { (request.tenant_id) } }
        @if !request.user_id.is_empty() { " and its user " code { (request.user_id) } }
        @if !explained.provider.is_empty() {
            ", with a connection" (whose(explained.owner.as_ref())) " at " code { (explained.provider) }
        }
    }
}

fn whose(named: Option<&v1::Owner>) -> Markup {
    let article = if named.is_some_and(|owner| owner.user_id.is_empty()) { "the " } else { "" };
    html! { @if named.is_some() { " of " (article) (owner(named)) } }
}

fn row(decision: &v1::PolicyDecision) -> Vec<Markup> {
    let said = if decision.permitted { (Tone::Good, "permitted") } else { (Tone::Bad, "denied") };
    vec![html! { code { (decision.action) } }, badge(said.0, said.1), policies(decision)]
}

fn policies(decision: &v1::PolicyDecision) -> Markup {
    if decision.policies.is_empty() {
        return html! { "no policy permits it" };
    }
    html! {
        @for policy in &decision.policies {
            div {
                strong { (policy.id) } " (" (effect(policy)) ") in " code { (policy.file) }
                @for (name, text) in &policy.annotations { div class="quiet" { (name) ": " (text) } }
            }
        }
    }
}

fn effect(policy: &v1::DecidingPolicy) -> &'static str {
    match (policy.effect(), policy.unevaluated) {
        (_, true) => "cannot be evaluated, so it denies",
        (v1::PolicyEffect::Forbid, false) => "forbid",
        (v1::PolicyEffect::Permit | v1::PolicyEffect::Unspecified, false) => "permit",
    }
}

#[cfg(test)]
mod tests {
    use credvault_domain::Action;

    use super::*;

    fn decision(permitted: bool, ids: &[&str], denial: &str) -> v1::PolicyDecision {
        let policy = |id: &&str| v1::DecidingPolicy {
            id: (*id).to_owned(),
            file: "shops.cedar".to_owned(),
            effect: v1::PolicyEffect::Permit.into(),
            ..Default::default()
        };
        v1::PolicyDecision {
            action: "FetchCredential".to_owned(),
            permitted,
            policies: ids.iter().map(policy).collect(),
            denial: denial.to_owned(),
        }
    }

    /// The text of the verdict, without its marks.
    fn sentence(decisions: Vec<v1::PolicyDecision>) -> String {
        let fields = Fields::parse(b"service=spiffe://one.test/sync&tenant=acme&user=u1");
        let Ok(request) = request(&fields) else { panic!("refused") };
        let explained = v1::ExplainPolicyResponse {
            permitted: decisions.iter().all(|decision| decision.permitted),
            decisions,
            provider: "shopify".to_owned(),
            owner: Some(v1::Owner { kind: v1::OwnerKind::User.into(), user_id: "u1".to_owned() }),
            ..Default::default()
        };
        let Ok(verdict) = verdict(&request, &explained) else { panic!("refused") };
        let mut text = String::new();
        let mut inside = false;
        for each in verdict.into_string().chars() {
            match each {
                '<' => inside = true,
                '>' => inside = false,
                each if !inside => text.push(each),
                _ => {}
            }
        }
        text
    }

    #[test]
    fn the_answer_is_one_sentence_with_the_policy_that_says_so() {
        let about =
            "FetchCredential for the tenant acme and its user u1, with a connection of user u1 at shopify";
        let permitted = sentence(vec![decision(true, &["delegate"], ""), decision(true, &["shops"], "")]);
        let whole =
            format!("permitted spiffe://one.test/sync may call {about}: the policy shops permits it.");
        assert_eq!(permitted, whole);
        let two = sentence(vec![decision(true, &["shops", "all"], "")]);
        assert!(two.ends_with("the policies shops, all permit it."), "{two}");
        let denied =
            sentence(vec![decision(false, &[], "no policy permits it"), decision(true, &["shops"], "")]);
        let whole = format!("denied spiffe://one.test/sync may not call {about}: no policy permits it.");
        assert_eq!(denied, whole);
    }

    #[test]
    fn an_owner_is_the_one_that_the_form_names() {
        let owner = |query: &str| named_owner(&Fields::parse(query.as_bytes()));
        let kind = |query| owner(query).ok().flatten().map(|owner| (owner.kind(), owner.user_id));
        assert!(owner("").is_ok_and(|owner| owner.is_none()));
        assert_eq!(kind("owner_user=u1"), Some((v1::OwnerKind::User, "u1".to_owned())));
        assert_eq!(kind("owner=tenant"), Some((v1::OwnerKind::Tenant, String::new())));
        assert!(
            owner("owner=CANARY").is_err_and(|refusal| !refusal.shown().into_string().contains("CANARY"))
        );
    }

    #[test]
    fn every_action_is_in_the_list_once_and_what_a_policy_says_is_escaped() {
        let text = actions("").into_string();
        let options = text.matches("<option").count();
        assert_eq!(options, Action::ALL.len(), "an action belongs to no group");
        assert!(text.contains("<option value=\"FetchCredential\" selected>"), "{text}");
        let hostile = decision(true, &["<script>"], "");
        assert!(!policies(&hostile).into_string().contains("<script>"));
    }
}
