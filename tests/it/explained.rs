//! What the policies in use say about calls that might be made: the same as a call would meet, to administrators alone, and
//! nothing about connections of other tenants.

use credvault_proto::v1;
use tonic::Status;

use crate::harness::{Client, TestVault, VaultBuilder, by_id, generic, owned_by, refusal};
use crate::isolation::UNKNOWN;
use crate::on_both;

on_both![
    an_explanation_says_what_a_call_would_meet,
    a_connection_is_explained_with_its_own_facts_and_in_its_tenant_alone,
    policy_decides_who_may_ask_about_what,
];

/// A fetch by a service, for a tenant, of a connection.
fn fetch(service: &str, tenant: &str, connection: &str) -> v1::ExplainPolicyRequest {
    v1::ExplainPolicyRequest {
        service: format!("spiffe://test.local/{service}"),
        action: "FetchCredential".into(),
        tenant_id: tenant.into(),
        connection_id: connection.into(),
        ..Default::default()
    }
}

fn tenants_own() -> Option<v1::Owner> {
    Some(v1::Owner { kind: v1::OwnerKind::Tenant.into(), user_id: String::new() })
}

/// A fetch by a service, for a tenant, of the tenant's own connection at a provider.
fn fetch_at(service: &str, tenant: &str, provider: &str) -> v1::ExplainPolicyRequest {
    let provider = provider.to_owned();
    v1::ExplainPolicyRequest { provider, owner: tenants_own(), ..fetch(service, tenant, "") }
}

async fn explain(
    client: &Client,
    request: v1::ExplainPolicyRequest,
) -> Result<v1::ExplainPolicyResponse, Status> {
    Ok(client.admin().explain_policy(request).await?.into_inner())
}

/// Each decision with the policies that decide.
fn decisions(explained: &v1::ExplainPolicyResponse) -> Vec<(&str, bool, Vec<&str>)> {
    let mut found = Vec::new();
    for one in &explained.decisions {
        assert_eq!(one.permitted, one.denial.is_empty(), "{one:?}");
        let policies = one.policies.iter().map(|policy| policy.id.as_str()).collect();
        found.push((one.action.as_str(), one.permitted, policies));
    }
    assert_eq!(explained.permitted, found.iter().all(|(_, permitted, _)| *permitted), "{explained:?}");
    found
}

async fn an_explanation_says_what_a_call_would_meet(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    vault.tenant("frozen").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    let operator = vault.client("operator").await;
    let permitted = explain(&operator, fetch("app", "acme", &id)).await.unwrap();
    assert_eq!(
        decisions(&permitted),
        [("AssertTenant", true, vec!["app"]), ("FetchCredential", true, vec!["app"])]
    );
    assert_eq!((permitted.provider.as_str(), permitted.owner.clone()), ("generic", tenants_own()));
    assert_eq!(permitted.not_given, ["user_id", "purpose"]);
    let policy = &permitted.decisions[1].policies[0];
    assert!(policy.file.ends_with(".cedar") && policy.effect() == v1::PolicyEffect::Permit, "{policy:?}");
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY");

    let denied = explain(&operator, fetch("sync", "acme", &id)).await.unwrap();
    assert_eq!(decisions(&denied)[1], ("FetchCredential", false, vec![]));
    let sync = vault.client("sync").await.acting_for("acme", None);
    let refused = sync.fetch(by_id(&id)).await.unwrap_err();
    assert!(refused.message().contains(&denied.decisions[1].denial), "{refused:?}");
    let narrow =
        v1::ExplainPolicyRequest { purpose: "order sync".into(), ..fetch_at("sync", "acme", "shopify") };
    let permitted = explain(&operator, narrow).await.unwrap();
    assert_eq!(decisions(&permitted)[1], ("FetchCredential", true, vec!["sync-fetches-shopify"]));

    let frozen = explain(&operator, fetch_at("app", "frozen", "shopify")).await.unwrap();
    assert_eq!(decisions(&frozen)[1], ("FetchCredential", false, vec!["never-for-frozen"]));
    let policy = &frozen.decisions[1].policies[0];
    assert_eq!(policy.effect(), v1::PolicyEffect::Forbid);
    assert_eq!(policy.annotations["advice"], "ask the security team");
    assert!(frozen.decisions[1].denial.ends_with("ask the security team"), "{frozen:?}");
    questions_that_no_call_asks_are_refused(&operator).await;
}

async fn questions_that_no_call_asks_are_refused(operator: &Client) {
    let of = |action: &str| v1::ExplainPolicyRequest { action: action.into(), ..fetch("app", "acme", "") };
    for request in [
        of("FetchCredential"),
        of("PutTool"),
        of("FetchCredentials"),
        v1::ExplainPolicyRequest { service: "CANARY".into(), ..fetch_at("app", "acme", "shopify") },
        v1::ExplainPolicyRequest { source_address: "CANARY".into(), ..fetch_at("app", "acme", "shopify") },
        v1::ExplainPolicyRequest { connection_id: UNKNOWN.into(), ..fetch_at("app", "acme", "shopify") },
        v1::ExplainPolicyRequest { connection_id: "CANARY".into(), ..of("FetchCredential") },
    ] {
        let refused = explain(operator, request).await.unwrap_err();
        assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
        assert!(!format!("{refused:?}").contains("CANARY"), "{refused:?}");
    }
}

async fn a_connection_is_explained_with_its_own_facts_and_in_its_tenant_alone(builder: VaultBuilder) {
    let vault = builder.start().await;
    let victim = vault.app("victim").await;
    vault.tenant("intruder").await;
    let own = victim.create(generic("main", "CANARY victim")).await.unwrap().id;
    let users = victim.create(owned_by("u1", generic("mine", "CANARY user"))).await.unwrap().id;
    let operator = vault.client("operator").await;
    let platform =
        operator.create(v1::CreateConnectionRequest { owner: None, ..generic("p", "CANARY") }).await;
    let platform = platform.unwrap().id;
    for (tenant, foreign) in
        [("intruder", &own), ("intruder", &users), ("intruder", &platform), ("", &own), ("victim", &platform)]
    {
        let refused = explain(&operator, fetch("app", tenant, foreign)).await.unwrap_err();
        let unknown = explain(&operator, fetch("app", tenant, UNKNOWN)).await.unwrap_err();
        assert_eq!(refusal(&refused), "NotFound CONNECTION_NOT_FOUND", "{tenant}");
        assert_eq!(refused.message(), unknown.message(), "{tenant}");
    }
    // Of a user's connection, a service that names another user needs a permission more.
    let for_another = v1::ExplainPolicyRequest { user_id: "u2".into(), ..fetch("portal", "victim", &users) };
    let explained = explain(&operator, for_another).await.unwrap();
    assert_eq!(decisions(&explained)[1], ("AccessOtherUsers", false, vec![]));
    assert_eq!(explained.owner.unwrap().user_id, "u1");
    let for_itself = v1::ExplainPolicyRequest { user_id: "u1".into(), ..fetch("portal", "victim", &users) };
    assert!(explain(&operator, for_itself).await.unwrap().permitted);
    let of_platform = explain(&operator, fetch("operator", "", &platform)).await.unwrap();
    assert_eq!(decisions(&of_platform)[0], ("ActForPlatform", true, vec!["operator"]));
    a_suspended_tenant_is_explained_and_every_question_recorded(&vault, &operator, &own).await;
}

async fn a_suspended_tenant_is_explained_and_every_question_recorded(
    vault: &TestVault,
    operator: &Client,
    own: &str,
) {
    let suspend = v1::SuspendTenantRequest { tenant_id: "victim".into(), ..Default::default() };
    operator.admin().suspend_tenant(suspend).await.unwrap();
    assert!(explain(operator, fetch("app", "victim", own)).await.unwrap().permitted);
    let resume = v1::ResumeTenantRequest { tenant_id: "victim".into(), ..Default::default() };
    operator.admin().resume_tenant(resume).await.unwrap();
    let records = vault.client("app").await.acting_for("victim", None).events().await;
    let asked: Vec<_> = records.iter().filter(|record| record.action == "ExplainPolicy").collect();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked.iter().all(|record| record.policies == ["operator"] && record.provider == "generic"));
    assert_eq!(asked[0].connection_id, own);
    let refused = operator.events().await;
    let refused =
        refused.iter().filter(|record| record.action == "ExplainPolicy" && !record.reason.is_empty());
    assert!(refused.clone().all(|record| record.reason == "CONNECTION_NOT_FOUND"));
    assert!(refused.count() > 0);
}

async fn policy_decides_who_may_ask_about_what(builder: VaultBuilder) {
    let builder = builder.policies(
        r#"@id("asks-nothing-about-generic")
        forbid (principal == Service::"spiffe://test.local/operator", action == Action::"ExplainPolicy", resource)
        when { context has provider && context.provider == "generic" };"#,
    );
    let vault = builder.start().await;
    let acme = vault.app("acme").await.create(generic("main", "CANARY")).await.unwrap().id;
    let other = vault.app("other").await.create(generic("main", "CANARY")).await.unwrap().id;
    let denied = async |client: &Client, request: v1::ExplainPolicyRequest| {
        refusal(&explain(client, request).await.unwrap_err()) == "PermissionDenied POLICY_DENIED"
    };
    let admin = vault.client("acme-admin").await;
    assert!(explain(&admin, fetch("app", "acme", &acme)).await.unwrap().permitted);
    for id in [other.as_str(), UNKNOWN, ""] {
        assert!(denied(&admin, fetch("app", "other", id)).await);
        assert!(denied(&admin, fetch("app", "", id)).await);
    }
    let operator = vault.client("operator").await;
    assert!(denied(&operator, fetch("app", "acme", &acme)).await);
    assert!(denied(&operator, fetch_at("app", "acme", "generic")).await);
    assert!(explain(&operator, fetch_at("app", "acme", "shopify")).await.unwrap().permitted);
    // Services that may fetch may not ask.
    assert!(denied(&vault.client("app").await, fetch("app", "acme", &acme)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_cannot_be_evaluated_is_named() {
    let odd = r#"@id("odd") forbid (principal, action == Action::"GetTenant", resource)
        when { 9223372036854775807 + 1 == 0 };"#;
    let vault = VaultBuilder::sqlite().policies(odd).start().await;
    vault.tenant("acme").await;
    let request = v1::ExplainPolicyRequest { action: "GetTenant".into(), ..fetch("operator", "acme", "") };
    let explained = explain(&vault.client("operator").await, request).await.unwrap();
    assert_eq!(decisions(&explained), [("GetTenant", false, vec!["odd"])]);
    assert!(explained.decisions[0].policies[0].unevaluated, "{explained:?}");
}
