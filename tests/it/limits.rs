//! Limits of tenants: quotas and rates with numbers of a tenant's own, who spends whose allowance, and what a refusal says.

mod replicas;

use std::time::Duration;

use credvault_proto::v1;
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::harness::{Client, VaultBuilder, by_provider, generic, owned_by, refusal};
use crate::on_both;

on_both![a_tenant_has_limits_of_its_own, neither_a_user_nor_a_service_spends_the_whole_allowance];

async fn set(
    operator: &Client,
    tenant: &str,
    limits: &[(v1::LimitKind, Option<i64>)],
) -> Vec<v1::TenantLimit> {
    let change = |(kind, value): &(v1::LimitKind, Option<i64>)| v1::LimitChange {
        kind: (*kind).into(),
        value: *value,
    };
    let request = v1::SetTenantLimitsRequest {
        tenant_id: tenant.to_owned(),
        changes: limits.iter().map(change).collect(),
        ..Default::default()
    };
    operator.admin().set_tenant_limits(request).await.unwrap().into_inner().limits
}

async fn limit(operator: &Client, tenant: &str, kind: v1::LimitKind) -> v1::TenantLimit {
    let request = v1::GetTenantLimitsRequest { tenant_id: tenant.to_owned() };
    let found = operator.admin().get_tenant_limits(request).await.unwrap().into_inner();
    found.limits.into_iter().find(|limit| limit.kind() == kind).unwrap()
}

/// What a refusal by a limit says to a program: limit, whose, number.
fn reached(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert!(details.quota_failure().is_some_and(|quota| !quota.violations.is_empty()), "{status:?}");
    let of = |key: &str| info.metadata.get(key).cloned().unwrap_or_default();
    format!("{} {} of {} {}", info.reason, of("limit"), of("of"), of("most"))
}

fn retry_of(status: &Status) -> Option<Duration> {
    status.get_error_details().retry_info().and_then(|info| info.retry_delay)
}

async fn a_tenant_has_limits_of_its_own(builder: VaultBuilder) {
    let vault = builder.start().await;
    let (app, other) = (vault.app("acme").await, vault.app("other").await);
    let operator = vault.client("operator").await;
    let numbers = [(v1::LimitKind::Connections, Some(2)), (v1::LimitKind::UserConnections, Some(1))];
    let limits = set(&operator, "acme", &numbers).await;
    assert_eq!(limits.len(), 13);
    assert!(limits.iter().all(|limit| limit.in_use.is_none()));

    let id = app.create(owned_by("u1", generic("a", "CANARY 1"))).await.unwrap().id;
    let full = app.create(owned_by("u1", generic("b", "CANARY"))).await.unwrap_err();
    assert_eq!(reached(&full), "QUOTA_EXCEEDED user_connections of user 1");
    assert!(full.message().contains("SetTenantLimits") && retry_of(&full).is_none(), "{full:?}");
    app.create(generic("c", "CANARY")).await.unwrap();
    let full = app.create(generic("d", "CANARY")).await.unwrap_err();
    assert_eq!(reached(&full), "QUOTA_EXCEEDED connections of tenant 2");
    let found = limit(&operator, "acme", v1::LimitKind::Connections).await;
    let expected = (2, 100_000, Some(2), Some(2));
    assert_eq!((found.value, found.default_value, found.override_value, found.in_use), expected);
    assert_eq!(limit(&operator, "acme", v1::LimitKind::UserConnections).await.in_use, Some(1));
    // Another tenant has the defaults, and what was set is taken away again.
    for account in ["a", "b", "c"] {
        other.create(generic(account, "CANARY")).await.unwrap();
    }
    set(
        &operator,
        "acme",
        &[(v1::LimitKind::Connections, None), (v1::LimitKind::CredentialVersions, Some(2))],
    )
    .await;
    app.create(generic("d", "CANARY")).await.unwrap();
    for value in ["CANARY 2", "CANARY 3"] {
        app.put(&id, value).await.unwrap();
    }
    let list = v1::ListCredentialVersionsRequest { connection_id: id, ..Default::default() };
    let versions = app.vault().list_credential_versions(list).await.unwrap().into_inner().versions;
    assert_eq!(versions.iter().map(|version| version.version).collect::<Vec<_>>(), [3, 2]);

    let wrong = v1::LimitChange { kind: v1::LimitKind::UserSharePercent.into(), value: Some(101) };
    let request = |tenant: &str, change| v1::SetTenantLimitsRequest {
        tenant_id: tenant.to_owned(),
        changes: vec![change],
        ..Default::default()
    };
    let refused = operator.admin().set_tenant_limits(request("acme", wrong)).await.unwrap_err();
    assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
    assert!(refused.message().contains("changes[0].value must be 1 to 100"), "{}", refused.message());
    let ghost =
        operator.admin().set_tenant_limits(request("ghost", v1::LimitChange { value: None, ..wrong })).await;
    assert_eq!(refusal(&ghost.unwrap_err()), "NotFound TENANT_NOT_FOUND");
    // An administrator of one tenant sets no other's.
    let admin = vault.client("acme-admin").await;
    let refused = admin.admin().set_tenant_limits(request("other", wrong)).await.unwrap_err();
    assert_eq!(refusal(&refused), "PermissionDenied POLICY_DENIED");
    assert!(
        vault.metrics().await.contains(r#"credvault_limit_refusals_total{limit="connections",of="tenant"} "#)
    );
}

/// How many calls in a row are served, and what then refuses.
async fn served(client: &Client, most: usize) -> (usize, String) {
    for calls in 0..most {
        let status = client.fetch(by_provider("generic")).await.unwrap_err();
        if refusal(&status) == "ResourceExhausted RATE_LIMITED" {
            assert!(retry_of(&status).unwrap() > Duration::ZERO);
            return (calls, reached(&status));
        }
        assert_eq!(refusal(&status), "NotFound CREDENTIAL_NOT_CONFIGURED");
    }
    (most, String::new())
}

async fn neither_a_user_nor_a_service_spends_the_whole_allowance(builder: VaultBuilder) {
    let builder = builder.settings(|settings, _| {
        // Slow enough that nothing comes back while the test runs on a busy machine, for whatever is served.
        (settings.limits.user_share_percent, settings.limits.service_share_percent) = (25, 75);
    });
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let operator = vault.client("operator").await;
    set(&operator, "acme", &[(v1::LimitKind::FetchesPerSecond, Some(1))]).await;
    // One a second for the tenant, and one at once for each user and service of it.
    let u1 = app.acting_for("acme", Some("u1"));
    let batch = v1::BatchFetchCredentialsRequest { requests: vec![by_provider("generic"); 2] };
    let never = u1.vault().batch_fetch_credentials(batch).await.unwrap_err();
    assert_eq!(refusal(&never), "InvalidArgument FIELDS_INVALID");
    let (calls, refused) = served(&u1, 50).await;
    assert!(calls < 50 && refused == "RATE_LIMITED fetches_per_second of user 1", "{calls} {refused}");
    // Calls that fetch nothing, and other tenants, go on.
    app.connections().list_connections(v1::ListConnectionsRequest::default()).await.unwrap();
    let other = vault.app("other").await;
    assert_eq!(served(&other, 20).await.1, "");
    // Of two a second, a service has one, which leaves the other one for other services.
    set(&operator, "other", &[(v1::LimitKind::FetchesPerSecond, Some(2))]).await;
    let (calls, refused) = served(&other, 50).await;
    assert!(calls < 50 && refused == "RATE_LIMITED fetches_per_second of service 1", "{calls} {refused}");
    let portal = vault.client("portal").await.acting_for("other", None);
    assert_eq!(served(&portal, 1).await, (1, String::new()));
    set(&operator, "acme", &[(v1::LimitKind::FetchesPerSecond, None)]).await;
    assert_eq!(served(&u1, 20).await.1, "");
}
