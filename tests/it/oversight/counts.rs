//! How many connections there are by state and health: of one tenant, of the platform, and of all that the caller may see.

use credvault_proto::v1;

use crate::harness::{Client, VaultBuilder, generic, owned_by, refusal};
use crate::on_both;

on_both![connections_are_counted_over_the_tenants_that_the_caller_may_see];

/// The counts as state, health and number.
async fn counts(client: &Client, tenant: &str, all_tenants: bool) -> Vec<(&'static str, &'static str, i64)> {
    let request = v1::CountConnectionsRequest { tenant_id: tenant.into(), all_tenants };
    let counted = client.admin().count_connections(request).await.unwrap().into_inner();
    let row = |one: &v1::ConnectionCount| (one.state().as_str_name(), one.health().as_str_name(), one.count);
    counted.counts.iter().map(row).collect()
}

async fn connections_are_counted_over_the_tenants_that_the_caller_may_see(builder: VaultBuilder) {
    let builder = builder.policies(
        r#"@id("hidden")
        forbid (principal == Service::"spiffe://test.local/operator", action == Action::"CountConnections",
            resource == Tenant::"hidden");"#,
    );
    let vault = builder.start().await;
    for (tenant, connections) in [("acme", 2), ("other", 1), ("hidden", 4)] {
        let app = vault.app(tenant).await;
        for number in 0..connections {
            app.create(owned_by("u1", generic(&format!("a{number}"), "CANARY"))).await.unwrap();
        }
        app.create(v1::CreateConnectionRequest { credential: None, ..generic("empty", "") }).await.unwrap();
    }
    let operator = vault.client("operator").await;
    operator
        .create(v1::CreateConnectionRequest { owner: None, ..generic("shared", "CANARY") })
        .await
        .unwrap();
    let empty = |count| ("CONNECTION_STATE_DISCONNECTED", "HEALTH_STATE_NOT_CONNECTED", count);
    let well = |count| ("CONNECTION_STATE_CONNECTED", "HEALTH_STATE_OK", count);
    assert_eq!(counts(&operator, "acme", false).await, [empty(1), well(2)]);
    assert_eq!(counts(&operator, "", false).await, [well(1)]);
    assert_eq!(counts(&operator, "", true).await, [empty(2), well(4)]);

    let of =
        |tenant: &str, all_tenants| v1::CountConnectionsRequest { tenant_id: tenant.into(), all_tenants };
    let refused = async |client: &Client, request: v1::CountConnectionsRequest| {
        refusal(&client.admin().count_connections(request).await.unwrap_err())
    };
    assert_eq!(refused(&operator, of("hidden", false)).await, "PermissionDenied POLICY_DENIED");
    assert_eq!(refused(&operator, of("nowhere", false)).await, "NotFound TENANT_NOT_FOUND");
    assert_eq!(refused(&operator, of("acme", true)).await, "InvalidArgument FIELDS_INVALID");
    // What all tenants have together is not for the administrator of one.
    let admin = vault.client("acme-admin").await;
    assert_eq!(counts(&admin, "acme", false).await, [empty(1), well(2)]);
    for request in [of("", true), of("", false), of("other", false)] {
        assert_eq!(refused(&admin, request).await, "PermissionDenied POLICY_DENIED");
    }
    let records = operator.events().await;
    assert!(records.iter().any(|record| record.action == "CountConnections" && record.reason.is_empty()));
}
