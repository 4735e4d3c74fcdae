//! Source rules: from which addresses services may call for a tenant.

use credvault_proto::v1;
use tonic_types::StatusExt as _;

use crate::harness::{Client, VaultBuilder, by_id, eventually, generic, refusal};
use crate::on_both;

on_both![a_tenant_is_called_for_from_allowed_addresses_only, rules_count_on_every_replica];

async fn set(operator: &Client, tenant: &str, rules: &[(&str, &str)]) -> Vec<v1::SourceRule> {
    let rule = |(range, service): &(&str, &str)| v1::SourceRule {
        range: (*range).to_owned(),
        service: if service.is_empty() { String::new() } else { format!("spiffe://test.local/{service}") },
    };
    let request = v1::SetSourceRulesRequest {
        tenant_id: tenant.to_owned(),
        rules: rules.iter().map(rule).collect(),
        ..Default::default()
    };
    operator.admin().set_source_rules(request).await.unwrap().into_inner().rules
}

async fn a_tenant_is_called_for_from_allowed_addresses_only(builder: VaultBuilder) {
    let vault = builder.start().await;
    let (app, other) = (vault.app("acme").await, vault.app("other").await);
    let operator = vault.client("operator").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    // The test calls from 127.0.0.1.
    let kept =
        set(&operator, "acme", &[("10.0.0.0/8", ""), ("::ffff:192.0.2.0/120", ""), ("127.0.0.1", "sync")])
            .await;
    let ranges: Vec<_> = kept.iter().map(|rule| rule.range.as_str()).collect();
    assert_eq!(ranges, ["10.0.0.0/8", "192.0.2.0/24", "127.0.0.1/32"]);
    let refused = app.fetch(by_id(&id)).await.unwrap_err();
    assert_eq!(refusal(&refused), "PermissionDenied POLICY_DENIED");
    let details = refused.get_error_details();
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!(metadata["rules"], "source_rules");
    assert_eq!(metadata["action"], "FetchCredential");
    // Neither the rules nor the address are told, and the way out is.
    assert!(!refused.message().contains("10.0.0.0") && !refused.message().contains("127.0.0.1"));
    assert!(refused.message().contains("SetSourceRules"), "{}", refused.message());
    // Every kind of call, also one that looks nothing up, and for a connection that is not there.
    let calls = app.connections();
    let list = calls.clone().list_connections(v1::ListConnectionsRequest::default()).await.unwrap_err();
    let catalog = calls.clone().list_providers(v1::ListProvidersRequest::default()).await.unwrap_err();
    let unknown = app.fetch(by_id("0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e")).await.unwrap_err();
    for status in [&list, &catalog, &unknown] {
        assert_eq!(refusal(status), "PermissionDenied POLICY_DENIED", "{status:?}");
        assert_eq!(status.get_error_details().error_info().unwrap().metadata["rules"], "source_rules");
    }
    // A service with rules of its own, other tenants, and administration.
    let served = vault.client("sync").await.acting_for("acme", None).fetch(by_id(&id)).await.unwrap_err();
    assert!(!served.get_error_details().error_info().unwrap().metadata.contains_key("rules"), "{served:?}");
    other.create(generic("main", "CANARY")).await.unwrap();
    let get = v1::GetSourceRulesRequest { tenant_id: "acme".into() };
    let found = operator.admin().get_source_rules(get.clone()).await.unwrap().into_inner();
    assert!(found.rules == kept && found.update_time.is_some());

    // An administrator that names the tenant in its call's headers is not kept out either.
    let named = vault.client("operator").await.with("x-unused", "1");
    set(&named, "acme", &[("127.0.0.0/8", "")]).await;
    app.fetch(by_id(&id)).await.unwrap();
    let denied: Vec<_> =
        app.events().await.into_iter().filter(|event| event.policies == ["source_rules"]).collect();
    assert_eq!(denied.len(), 4);
    assert!(
        denied.iter().all(|event| event.reason == "POLICY_DENIED" && event.source_address == "127.0.0.1")
    );
    assert!(vault.metrics().await.contains("credvault_source_refusals_total"));

    wrong_rules_are_named_and_none_allow_everything(&operator).await;
    app.fetch(by_id(&id)).await.unwrap();
}

async fn wrong_rules_are_named_and_none_allow_everything(operator: &Client) {
    set(operator, "acme", &[("192.0.2.1", "")]).await;
    set(operator, "acme", &[]).await;
    let rules = vec![v1::SourceRule { range: "10.0.0.7/8".into(), service: "app".into() }];
    let wrong = v1::SetSourceRulesRequest { tenant_id: "acme".into(), rules, ..Default::default() };
    let refused = operator.admin().set_source_rules(wrong).await.unwrap_err();
    assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
    assert!(
        refused.message().contains("rules[0].range must have no bits behind its prefix"),
        "{}",
        refused.message()
    );
    assert!(refused.message().contains("rules[0].service must be a SPIFFE ID"), "{}", refused.message());
}

/// Two replicas of one database: what one was told counts on the other within a second.
async fn rules_count_on_every_replica(builder: VaultBuilder) {
    let mut vault = builder.start().await;
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    let mut other = None;
    if vault.database.is_some() {
        other = vault.instance.take();
        vault.start().await;
    }
    let operator = vault.client("operator").await;
    app.fetch(by_id(&id)).await.unwrap();
    set(&operator, "acme", &[("192.0.2.1", "")]).await;
    let here = vault.client("app").await.acting_for("acme", None);
    assert_eq!(refusal(&here.fetch(by_id(&id)).await.unwrap_err()), "PermissionDenied POLICY_DENIED");
    eventually("the other replica refuses, too", || async { app.fetch(by_id(&id)).await.is_err() }).await;
    set(&operator, "acme", &[]).await;
    here.fetch(by_id(&id)).await.unwrap();
    eventually("the other replica serves again", || async { app.fetch(by_id(&id)).await.is_ok() }).await;
    if let Some(other) = other {
        other.stop().await;
    }
}
