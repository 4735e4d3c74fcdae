//! Policy in lists: an item that policy denies is left out.

use credvault_proto::v1;

use super::{narrow, with_policies};
use crate::harness::receiver::Receiver;
use crate::harness::{Client, VaultBuilder, by_id, generic, owned_by, refusal};
use crate::on_both;

on_both![lists_leave_out_what_policy_denies, every_list_leaves_out_what_policy_denies];

async fn lists_leave_out_what_policy_denies(builder: VaultBuilder) {
    let builder = with_policies(
        builder,
        r#"
            permit (NARROW, action in [Action::"AssertTenant", Action::"AccessOtherUsers", Action::"ListConnections",
                Action::"ListProviders", Action::"GetProvider"], resource);
            forbid (NARROW, action == Action::"ListConnections", resource) when { context has owner && context.owner == "user" };
            forbid (NARROW, action in [Action::"ListConnections", Action::"ListProviders"], resource)
                when { context has provider && context.provider == "xero" };
            forbid (NARROW, action == Action::"GetProvider", resource) when { context.provider == "xero" };
        "#,
    );
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let mut shared = Vec::new();
    for index in 0..6 {
        let request = generic(&format!("a{index}"), "CANARY");
        if index % 2 == 0 {
            app.create(owned_by("u1", request)).await.unwrap();
        } else {
            shared.push(app.create(request).await.unwrap().id);
        }
    }
    let narrow = narrow(&vault).await;
    // Page by page, whatever is left of a page.
    let mut seen = Vec::new();
    let mut request = v1::ListConnectionsRequest { page_size: 2, ..Default::default() };
    loop {
        let page = narrow.connections().list_connections(request.clone()).await.unwrap().into_inner();
        seen.extend(page.connections.into_iter().map(|connection| connection.id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(seen, shared);
    // A filter by what is denied is denied as a whole.
    for filter in [
        v1::ListConnectionsRequest {
            owner: Some(v1::Owner { kind: v1::OwnerKind::User.into(), user_id: "u1".into() }),
            ..Default::default()
        },
        v1::ListConnectionsRequest { provider: "xero".into(), ..Default::default() },
    ] {
        assert_eq!(
            refusal(&narrow.connections().list_connections(filter).await.unwrap_err()),
            "PermissionDenied POLICY_DENIED"
        );
    }
    providers_that_policy_denies_are_left_out(&app, &narrow).await;
}

async fn providers_that_policy_denies_are_left_out(app: &Client, narrow: &Client) {
    let all = v1::ListProvidersRequest { page_size: 500, ..Default::default() };
    let ids = async |client: &Client| {
        let listed = client.connections().list_providers(all.clone()).await.unwrap().into_inner();
        listed.providers.into_iter().map(|provider| provider.id).collect::<Vec<_>>()
    };
    let mut expected = ids(app).await;
    expected.retain(|id| id != "xero");
    assert_eq!(ids(narrow).await, expected);
    let get = |id: &str| v1::GetProviderRequest { provider: id.into() };
    assert_eq!(
        refusal(&narrow.connections().get_provider(get("xero")).await.unwrap_err()),
        "PermissionDenied POLICY_DENIED"
    );
    assert!(narrow.connections().get_provider(get("shopify")).await.is_ok());
}

async fn every_list_leaves_out_what_policy_denies(builder: VaultBuilder) {
    // Whole groups, as an operator writes them: an action that tells no owner or provider is not meant.
    let builder = with_policies(
        builder,
        r#"
            permit (NARROW, action in [Action::"AssertTenant", Action::"AccessOtherUsers", Action::"AuditService",
                Action::"AdminService"], resource);
            forbid (NARROW, action in Action::"Reading", resource == Tenant::"globex");
            forbid (NARROW, action in Action::"Reading", resource) when { context has owner && context.owner == "user" };
            forbid (NARROW, action in Action::"Reading", resource) when { context has provider && context.provider == "xero" };
            forbid (NARROW, action == Action::"DeleteUser", resource)
                when { context.owner == "user" && context has owner_user && context.owner_user == "u1" };
        "#,
    );
    let vault = builder.allow_loopback().start().await;
    let app = vault.app("acme").await;
    let operator = vault.client("operator").await;
    let narrow = narrow(&vault).await;
    vault.tenant("globex").await;
    let receiver = Receiver::start().await;
    let endpoint = v1::PutEventEndpointRequest {
        tenant_id: "acme".into(),
        url: receiver.url.clone(),
        ..Default::default()
    };
    operator.admin().put_event_endpoint(endpoint).await.unwrap();
    for provider in ["shopify", "xero"] {
        let put = v1::PutOAuthAppRequest {
            tenant_id: "acme".into(),
            provider: provider.into(),
            client_id: "id".into(),
            redirect_uri: "https://app.example.com/back".into(),
            ..Default::default()
        };
        operator.admin().put_o_auth_app(put).await.unwrap();
    }
    let shared = app.create(generic("shared", "CANARY")).await.unwrap().id;
    let owned = app.create(owned_by("u1", generic("mine", "CANARY"))).await.unwrap().id;
    app.fetch(by_id(&owned)).await.unwrap();

    lists_of_administration(&operator, &narrow).await;
    lists_of_deliveries(&operator, &narrow, &owned, &shared).await;
    lists_of_records(&app, &narrow, &owned, &shared).await;
    deletions_of_users(&operator, &narrow).await;
}

async fn users(client: &Client) -> usize {
    let request = v1::ListUsersRequest { tenant_id: "acme".into(), ..Default::default() };
    client.admin().list_users(request).await.unwrap().into_inner().users.len()
}

async fn lists_of_administration(operator: &Client, narrow: &Client) {
    let tenants = async |client: &Client| {
        let listed =
            client.admin().list_tenants(v1::ListTenantsRequest::default()).await.unwrap().into_inner();
        listed.tenants.into_iter().map(|tenant| tenant.id).collect::<Vec<_>>()
    };
    assert_eq!(tenants(operator).await, ["acme", "globex"]);
    assert_eq!(tenants(narrow).await, ["acme"]);
    assert_eq!(users(operator).await, 1);
    assert_eq!(users(narrow).await, 0);
    let apps = async |client: &Client| {
        let request = v1::ListOAuthAppsRequest { tenant_id: "acme".into(), ..Default::default() };
        let listed = client.admin().list_o_auth_apps(request).await.unwrap().into_inner();
        listed.apps.into_iter().map(|app| app.provider).collect::<Vec<_>>()
    };
    assert_eq!(apps(operator).await, ["shopify", "xero"]);
    assert_eq!(apps(narrow).await, ["shopify"]);
}

async fn lists_of_deliveries(operator: &Client, narrow: &Client, owned: &str, shared: &str) {
    let deliveries = async |client: &Client| {
        let request = v1::ListEventDeliveriesRequest { tenant_id: "acme".into(), ..Default::default() };
        client.admin().list_event_deliveries(request).await.unwrap().into_inner().deliveries
    };
    let all = deliveries(operator).await;
    let seen = deliveries(narrow).await;
    assert!(all.iter().any(|delivery| delivery.payload.contains(owned)), "{all:?}");
    assert!(!seen.is_empty(), "{seen:?}");
    assert!(seen.iter().all(|delivery| delivery.payload.contains(shared)), "{seen:?}");
}

async fn lists_of_records(app: &Client, narrow: &Client, owned: &str, shared: &str) {
    let all = app.events().await;
    let seen = narrow.events().await;
    let hidden = |event: &&v1::AuditEvent| event.connection_id == owned || event.provider == "xero";
    assert_eq!(all.iter().filter(hidden).count(), 3, "two of the connection, one of the app: {all:?}");
    assert_eq!(seen.iter().filter(hidden).count(), 0, "{seen:?}");
    assert!(seen.iter().any(|event| event.connection_id == shared));
    assert!(seen.iter().any(|event| event.provider == "shopify"));
    // What is counted has no items to leave out.
    let summary = v1::SummarizeAuditEventsRequest {
        group_by: vec![v1::AuditGroup::Provider.into()],
        ..Default::default()
    };
    let counted = narrow.audit().summarize_audit_events(summary).await.unwrap().into_inner().summaries;
    assert!(counted.iter().any(|row| row.keys == ["xero"]), "{counted:?}");
}

async fn deletions_of_users(operator: &Client, narrow: &Client) {
    let delete = async |user: &str| {
        let request =
            v1::DeleteUserRequest { tenant_id: "acme".into(), user_id: user.into(), ..Default::default() };
        narrow.admin().delete_user(request).await
    };
    assert_eq!(refusal(&delete("u1").await.unwrap_err()), "PermissionDenied POLICY_DENIED");
    delete("u2").await.unwrap();
    assert_eq!(users(operator).await, 1);
}
