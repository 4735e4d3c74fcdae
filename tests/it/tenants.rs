//! Who says which tenant: missing, foreign, disagreeing, and only where policy trusts the service to say so.

use credvault_proto::v1;

use crate::harness::{VaultBuilder, by_id, by_provider, generic, refusal};
use crate::on_both;

on_both![a_tenant_must_be_named_by_a_service_that_may, refusals_are_on_record_where_they_belong];

async fn a_tenant_must_be_named_by_a_service_that_may(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    app.create(generic("main", "CANARY")).await.unwrap();
    let fetch = by_provider("generic");
    let nobody = app.without_tenant();
    assert_eq!(refusal(&nobody.fetch(fetch.clone()).await.unwrap_err()), "Unauthenticated TENANT_MISSING");
    let only_user = nobody.with("x-user-id", "u1");
    assert_eq!(refusal(&only_user.fetch(fetch.clone()).await.unwrap_err()), "Unauthenticated TENANT_MISSING");
    // The gateway may fetch, but is trusted with no header.
    let gateway = vault.client("gateway").await.acting_for("acme", None);
    assert_eq!(refusal(&gateway.fetch(fetch.clone()).await.unwrap_err()), "PermissionDenied POLICY_DENIED");
    for (name, value) in [("x-tenant-id", "not a tenant"), ("x-tenant-id", ":platform"), ("x-tenant-id", "")]
    {
        let odd = nobody.with(name, value);
        assert_eq!(
            refusal(&odd.fetch(fetch.clone()).await.unwrap_err()),
            "InvalidArgument FIELDS_INVALID",
            "{value}"
        );
    }
    let twice = app.with("x-tenant-id", "acme");
    assert_eq!(refusal(&twice.fetch(fetch.clone()).await.unwrap_err()), "InvalidArgument FIELDS_INVALID");
    let unknown = app.acting_for("nobody", None);
    assert_eq!(refusal(&unknown.fetch(fetch.clone()).await.unwrap_err()), "NotFound TENANT_NOT_FOUND");
    // Tenants' ids are case-sensitive.
    let shouted = app.acting_for("ACME", None);
    assert_eq!(refusal(&shouted.fetch(fetch).await.unwrap_err()), "NotFound TENANT_NOT_FOUND");
}

async fn refusals_are_on_record_where_they_belong(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    app.without_tenant().fetch(by_id(&id)).await.unwrap_err();
    app.acting_for("nobody", None).fetch(by_id(&id)).await.unwrap_err();
    vault.tenant("frozen").await;
    let forbidden = app.acting_for("frozen", None).fetch(by_provider("generic")).await.unwrap_err();
    assert_eq!(refusal(&forbidden), "NotFound CREDENTIAL_NOT_CONFIGURED");
    let frozen = app.acting_for("frozen", None);
    let own = frozen.create(generic("main", "CANARY")).await.unwrap().id;
    let forbidden = frozen.fetch(by_id(&own)).await.unwrap_err();
    assert_eq!(refusal(&forbidden), "PermissionDenied POLICY_DENIED");
    assert!(forbidden.message().contains("never-for-frozen"));
    assert!(forbidden.message().contains("ask the security team"));
    app.admin()
        .suspend_tenant(v1::SuspendTenantRequest { tenant_id: "acme".into(), ..Default::default() })
        .await
        .unwrap_err();

    let reasons = |events: Vec<v1::AuditEvent>| {
        events
            .into_iter()
            .rev()
            .filter(|event| !event.reason.is_empty())
            .map(|event| event.reason)
            .collect::<Vec<_>>()
    };
    assert_eq!(reasons(frozen.events().await), ["CREDENTIAL_NOT_CONFIGURED", "POLICY_DENIED"]);
    assert_eq!(reasons(app.events().await), Vec::<String>::new());
    // A call without a verified tenant is in the platform's log, and so is refused administration.
    let expected = ["TENANT_MISSING", "TENANT_NOT_FOUND", "POLICY_DENIED"];
    assert_eq!(reasons(vault.client("operator").await.events().await), expected);
}
