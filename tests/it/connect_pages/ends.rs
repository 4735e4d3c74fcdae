//! What ends a page: its time, its tenant's suspension or erasure, its user's deletion, the loss of the service's right.

use std::time::Duration;

use credvault_proto::v1;

use super::{acting, opened, reason, request};
use crate::harness::provider::STRICT;
use crate::harness::{POLICIES, VaultBuilder, eventually};
use crate::on_both;

on_both![
    a_page_ends_with_its_time,
    a_page_ends_with_its_user_and_its_tenant,
    a_page_ends_with_the_right_of_its_service,
];

async fn a_page_ends_with_its_time(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let short = v1::CreateConnectSessionRequest {
        lifetime: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        ..request()
    };
    let page = opened(&connected.vault, "u1", short).await;
    let visit = page.visit().await.unwrap();
    connected.vault.clock.advance(Duration::from_secs(60));
    assert_eq!(reason(page.visit().await), "STATE_EXPIRED");
    let made = super::session(&acting(&connected.vault, "u1").await, request()).await;
    connected.vault.clock.advance(Duration::from_secs(1800));
    assert_eq!(reason(page.visits.open(&super::token(&made), &page.browser).await), "STATE_EXPIRED");
    assert_eq!(visit.terms().origin.as_deref(), Some("https://app.example.com"));
}

async fn a_page_ends_with_its_user_and_its_tenant(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let vault = &connected.vault;
    let [mine, theirs] = [opened(vault, "u1", request()).await, opened(vault, "u2", request()).await];
    let operator = vault.client("operator").await;
    let delete =
        v1::DeleteUserRequest { tenant_id: "acme".into(), user_id: "u1".into(), ..Default::default() };
    operator.admin().delete_user(delete).await.unwrap();
    assert_eq!(reason(mine.visit().await), "STATE_INVALID");
    let visit = theirs.visit().await.unwrap();
    let suspend = v1::SuspendTenantRequest { tenant_id: "acme".into(), ..Default::default() };
    operator.admin().suspend_tenant(suspend).await.unwrap();
    // Also for a request that had come in before.
    assert_eq!(reason(visit.connections(String::new()).await), "TENANT_SUSPENDED");
    assert_eq!(reason(theirs.visit().await), "STATE_INVALID");
    let resume = v1::ResumeTenantRequest { tenant_id: "acme".into(), ..Default::default() };
    operator.admin().resume_tenant(resume).await.unwrap();
    assert_eq!(reason(theirs.visit().await), "STATE_INVALID", "it does not come back");
    let page = opened(vault, "u2", request()).await;
    let mut erase = v1::EraseTenantRequest { tenant_id: "acme".into(), ..Default::default() };
    erase.confirmation_token =
        operator.admin().erase_tenant(erase.clone()).await.unwrap().into_inner().confirmation_token;
    operator.admin().erase_tenant(erase).await.unwrap();
    let gone = reason(page.visit().await);
    assert!(["STATE_INVALID", "TENANT_NOT_FOUND"].contains(&gone), "{gone}");
    eventually("the rows of the sessions go", || async { vault.count("connect_sessions").await == 0 }).await;
}

async fn a_page_ends_with_the_right_of_its_service(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let vault = &connected.vault;
    let page = opened(vault, "u1", request()).await;
    let visit = page.visit().await.unwrap();
    let without = [
        // The service may not name the tenant any more.
        r#"@id("late") forbid (principal, action == Action::"AssertTenant", resource == Tenant::"acme");"#,
        // It may not have pages.
        r#"@id("late") forbid (principal, action == Action::"CreateConnectSession", resource);"#,
    ];
    for forbidden in without {
        vault.write("policies.cedar", &format!("{POLICIES}\n{forbidden}"));
        eventually("the page is refused", || async { page.visit().await.is_err() }).await;
        assert_eq!(reason(page.visit().await), "POLICY_DENIED");
        vault.write("policies.cedar", POLICIES);
        eventually("the page is served again", || async { page.visit().await.is_ok() }).await;
    }
    // A request that had come in before is held against the policies of its own moment.
    let silent = r#"@id("late") forbid (principal, action == Action::"ListConnections", resource);"#;
    vault.write("policies.cedar", &format!("{POLICIES}\n{silent}"));
    eventually("the list is refused", || async { visit.connections(String::new()).await.is_err() }).await;
    assert_eq!(reason(visit.connections(String::new()).await), "POLICY_DENIED");
}
