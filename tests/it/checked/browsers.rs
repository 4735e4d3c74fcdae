//! Policy where a browser finishes what a service began.

use credvault_proto::v1;

use super::{narrow, with_policies};
use crate::browser::{CALLBACK, connected};
use crate::harness::VaultBuilder;
use crate::harness::browser::Browser;
use crate::harness::provider::connection_request;
use crate::on_both;

on_both![a_browser_completes_what_its_beginner_may_complete];

async fn a_browser_completes_what_its_beginner_may_complete(builder: VaultBuilder) {
    // Of the call that began it: what vouched for the tenant, and from where it came, not from where a browser does.
    let builder = with_policies(
        builder,
        r#"
            permit (NARROW, action in [Action::"AssertTenant", Action::"BeginAuthorization"], resource);
            @id("completes-shared")
            permit (NARROW, action == Action::"CompleteAuthorization", resource)
            when { context.provider == "simulator" && context.owner == "tenant" && context.tenant_source == "header"
                && !(context has user) && context.source.isLoopback() };
        "#,
    );
    let connected = connected(builder).await;
    let app = connected.vault.app("acme").await;
    let narrow = narrow(&connected.vault).await;
    let shared = app.create(connection_request("shared")).await.unwrap().id;
    let mut owned = connection_request("mine");
    owned.owner = Some(v1::Owner { kind: v1::OwnerKind::User.into(), user_id: "u1".into() });
    let owned = app.create(owned).await.unwrap().id;
    for (client, id, status) in [
        (narrow.clone(), &shared, 200),
        (narrow.acting_for("acme", Some("u1")), &shared, 403),
        (narrow.acting_for("acme", Some("u1")), &owned, 403),
    ] {
        let begun = crate::browser::begin(&client, id, "", "").await;
        let mut browser = Browser::of(&connected);
        let parameters = browser.allow(&begun).await;
        let page = browser.get(CALLBACK, &parameters).await;
        let done = browser.confirm(&page).await;
        assert_eq!(done.status, status, "{}", done.body);
        assert!(!done.body.contains("spiffe://"), "{}", done.body);
        let record = app.events().await.remove(0);
        assert_eq!(record.action, "CompleteAuthorization");
        assert_eq!(record.service, "spiffe://test.local/narrow");
        let (outcome, policies): (_, &[&str]) = match status {
            200 => (v1::AuditOutcome::Ok, &["completes-shared"]),
            _ => (v1::AuditOutcome::Denied, &[]),
        };
        assert_eq!(record.outcome(), outcome);
        assert_eq!(record.policies.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), policies);
    }
    assert_eq!(connected.vault.count("credential_versions").await, 1);
}
