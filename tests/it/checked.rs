//! The object that policy was asked about is the object that is used, and policy is asked about every one: after a
//! refresh, in lists, and where a browser finishes what a service began.

use credvault::proto::v1;

use crate::browser::{CALLBACK, connected};
use crate::harness::browser::Browser;
use crate::harness::provider::{Connected, STRICT, connection_request};
use crate::harness::receiver::Receiver;
use crate::harness::{
    Client, POLICIES, TestVault, by_id, by_provider, eventually, generic, input, owned_by, refusal,
};
use crate::on_both;

/// A vault with policies for the service `narrow` beside those of all tests.
async fn with_policies(vault: TestVault, narrow: &str) -> TestVault {
    let mut vault = vault;
    vault.stop().await;
    let service = "principal == Service::\"spiffe://test.local/narrow\"";
    vault.write("policies.cedar", &format!("{POLICIES}\n{}", narrow.replace("NARROW", service)));
    vault
}

async fn narrow(vault: &TestVault) -> Client {
    vault.client("narrow").await.acting_for("acme", None)
}

/// A connection of this client's space with tokens that end in `left` seconds.
async fn with_tokens(connected: &Connected, client: &Client, account: &str, left: i64) -> String {
    use credvault_domain::Clock as _;
    let tokens = connected.provider.issue(account, &["read"]);
    let fields =
        [("access_token", tokens.access_token.as_str()), ("refresh_token", tokens.refresh_token.as_str())];
    let seconds = connected.vault.clock.now().seconds() + left;
    let expiry = v1::credential_input::Expiry::ExpireTime(prost_types::Timestamp { seconds, nanos: 0 });
    let credential = Some(v1::CredentialInput { expiry: Some(expiry), ..input(&fields) });
    let request = v1::CreateConnectionRequest { owner: None, credential, ..connection_request(account) };
    client.create(request).await.unwrap().id
}

/// Begins a fetch by provider of tokens that have ended, and holds the provider's answer back meanwhile.
async fn fetch_while<F: Future<Output = ()>>(
    connected: &Connected,
    client: &Client,
    meanwhile: impl FnOnce() -> F,
) -> Result<v1::Credential, tonic::Status> {
    let provider = &connected.provider;
    let before = provider.counts().refreshes;
    provider.behave(|behaviour| behaviour.hold = true);
    let client = client.clone();
    let fetch = tokio::spawn(async move { client.fetch(by_provider("simulator")).await });
    eventually("the provider is asked", || async { provider.counts().refreshes > before }).await;
    meanwhile().await;
    provider.behave(|behaviour| behaviour.hold = false);
    fetch.await.unwrap()
}

on_both! {
    async fn after_a_refresh_the_connection_is_the_one_that_was_checked(vault: TestVault) {
        let vault = with_policies(vault, r#"
            permit (NARROW, action == Action::"AssertTenant", resource);
            @id("platform-only")
            permit (NARROW, action == Action::"FetchCredential", resource) when { context.owner == "platform" };
        "#).await;
        let connected = Connected::start(vault, STRICT).await;
        let app = connected.vault.app("acme").await;
        let operator = connected.vault.client("operator").await;
        let platform = with_tokens(&connected, &operator, "platform-shop", -60).await;
        let narrow = narrow(&connected.vault).await;
        let credential = fetch_while(&connected, &narrow, || async {
            with_tokens(&connected, &app, "own-shop", 3600).await;
        }).await.unwrap();
        assert_eq!((credential.connection_id.as_str(), credential.owner.as_ref().unwrap().kind()), (platform.as_str(), v1::OwnerKind::Platform));
        assert!(connected.accepts(&credential).await);
        let records = app.events().await;
        let record = records.iter().find(|record| record.action == "FetchCredential").unwrap();
        assert_eq!((record.connection_id.as_str(), record.policies.as_slice()), (platform.as_str(), ["platform-only".to_owned()].as_slice()));
        // From now on the tenant's own comes first, and is not for this service.
        assert_eq!(refusal(&narrow.fetch(by_provider("simulator")).await.unwrap_err()), "PermissionDenied POLICY_DENIED");
    }

    async fn what_is_gone_after_a_refresh_is_looked_for_anew_and_policy_asked_again(vault: TestVault) {
        let vault = with_policies(vault, r#"
            permit (NARROW, action == Action::"AssertTenant", resource);
            permit (NARROW, action == Action::"FetchCredential", resource) when { context.owner == "tenant" };
        "#).await;
        let connected = Connected::start(vault, STRICT).await;
        let app = connected.vault.app("acme").await;
        with_tokens(&connected, &connected.vault.client("operator").await, "platform-shop", 3600).await;
        let own = with_tokens(&connected, &app, "own-shop", -60).await;
        let narrow = narrow(&connected.vault).await;
        let refused = fetch_while(&connected, &narrow, || async {
            let delete = v1::DeleteConnectionRequest { connection_id: own, ..Default::default() };
            app.connections().delete_connection(delete).await.unwrap();
        }).await.unwrap_err();
        assert_eq!(refusal(&refused), "PermissionDenied POLICY_DENIED", "the platform's is not what it may have");
        // Whoever may have that gets it.
        let credential = app.fetch(by_provider("simulator")).await.unwrap();
        assert_eq!(credential.owner.unwrap().kind(), v1::OwnerKind::Platform);
    }

    async fn lists_leave_out_what_policy_denies(vault: TestVault) {
        let mut vault = with_policies(vault, r#"
            permit (NARROW, action in [Action::"AssertTenant", Action::"AccessOtherUsers", Action::"ListConnections",
                Action::"ListProviders", Action::"GetProvider"], resource);
            forbid (NARROW, action == Action::"ListConnections", resource) when { context has owner && context.owner == "user" };
            forbid (NARROW, action in [Action::"ListConnections", Action::"ListProviders"], resource)
                when { context has provider && context.provider == "xero" };
            forbid (NARROW, action == Action::"GetProvider", resource) when { context.provider == "xero" };
        "#).await;
        vault.start().await;
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
        let (mut seen, mut request) = (Vec::new(), v1::ListConnectionsRequest { page_size: 2, ..Default::default() });
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
            v1::ListConnectionsRequest { owner: Some(v1::Owner { kind: v1::OwnerKind::User.into(), user_id: "u1".into() }), ..Default::default() },
            v1::ListConnectionsRequest { provider: "xero".into(), ..Default::default() },
        ] {
            assert_eq!(refusal(&narrow.connections().list_connections(filter).await.unwrap_err()), "PermissionDenied POLICY_DENIED");
        }
        let all = v1::ListProvidersRequest { page_size: 500, ..Default::default() };
        let ids = async |client: &Client| {
            let listed = client.connections().list_providers(all.clone()).await.unwrap().into_inner();
            listed.providers.into_iter().map(|provider| provider.id).collect::<Vec<_>>()
        };
        let mut expected = ids(&app).await;
        expected.retain(|id| id != "xero");
        assert_eq!(ids(&narrow).await, expected);
        let get = |id: &str| v1::GetProviderRequest { provider: id.into() };
        assert_eq!(refusal(&narrow.connections().get_provider(get("xero")).await.unwrap_err()), "PermissionDenied POLICY_DENIED");
        assert!(narrow.connections().get_provider(get("shopify")).await.is_ok());
    }

    async fn every_list_leaves_out_what_policy_denies(vault: TestVault) {
        // Whole groups, as an operator writes them: an action that tells no owner or provider is not meant.
        let mut vault = with_policies(vault, r#"
            permit (NARROW, action in [Action::"AssertTenant", Action::"AccessOtherUsers", Action::"AuditService",
                Action::"AdminService"], resource);
            forbid (NARROW, action in Action::"Reading", resource == Tenant::"globex");
            forbid (NARROW, action in Action::"Reading", resource) when { context has owner && context.owner == "user" };
            forbid (NARROW, action in Action::"Reading", resource) when { context has provider && context.provider == "xero" };
            forbid (NARROW, action == Action::"DeleteUser", resource)
                when { context.owner == "user" && context has owner_user && context.owner_user == "u1" };
        "#).await;
        vault.settings.broker.allowed_networks = vec!["127.0.0.0/8".into()];
        vault.start().await;
        let (app, operator, narrow) = (vault.app("acme").await, vault.client("operator").await, narrow(&vault).await);
        vault.tenant("globex").await;
        let receiver = Receiver::start().await;
        let endpoint = v1::PutEventEndpointRequest { tenant_id: "acme".into(), url: receiver.url.clone(), ..Default::default() };
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

        let tenants = async |client: &Client| {
            let listed = client.admin().list_tenants(v1::ListTenantsRequest::default()).await.unwrap().into_inner();
            listed.tenants.into_iter().map(|tenant| tenant.id).collect::<Vec<_>>()
        };
        assert_eq!((tenants(&operator).await, tenants(&narrow).await), (vec!["acme".into(), "globex".into()], vec!["acme".to_owned()]));
        let users = async |client: &Client| {
            let request = v1::ListUsersRequest { tenant_id: "acme".into(), ..Default::default() };
            client.admin().list_users(request).await.unwrap().into_inner().users.len()
        };
        assert_eq!((users(&operator).await, users(&narrow).await), (1, 0));
        let apps = async |client: &Client| {
            let request = v1::ListOAuthAppsRequest { tenant_id: "acme".into(), ..Default::default() };
            let listed = client.admin().list_o_auth_apps(request).await.unwrap().into_inner();
            listed.apps.into_iter().map(|app| app.provider).collect::<Vec<_>>()
        };
        assert_eq!((apps(&operator).await, apps(&narrow).await), (vec!["shopify".into(), "xero".into()], vec!["shopify".to_owned()]));
        let deliveries = async |client: &Client| {
            let request = v1::ListEventDeliveriesRequest { tenant_id: "acme".into(), ..Default::default() };
            client.admin().list_event_deliveries(request).await.unwrap().into_inner().deliveries
        };
        let (all, seen) = (deliveries(&operator).await, deliveries(&narrow).await);
        assert!(all.iter().any(|delivery| delivery.payload.contains(&owned)), "{all:?}");
        assert!(!seen.is_empty() && seen.iter().all(|delivery| delivery.payload.contains(&shared)), "{seen:?}");

        let (all, seen) = (app.events().await, narrow.events().await);
        let hidden = |event: &&v1::AuditEvent| event.connection_id == owned || event.provider == "xero";
        assert_eq!(all.iter().filter(hidden).count(), 3, "two of the connection, one of the app: {all:?}");
        assert_eq!(seen.iter().filter(hidden).count(), 0, "{seen:?}");
        assert!(seen.iter().any(|event| event.connection_id == shared) && seen.iter().any(|event| event.provider == "shopify"));
        // What is counted has no items to leave out.
        let summary = v1::SummarizeAuditEventsRequest { group_by: vec![v1::AuditGroup::Provider.into()], ..Default::default() };
        let counted = narrow.audit().summarize_audit_events(summary).await.unwrap().into_inner().summaries;
        assert!(counted.iter().any(|row| row.keys == ["xero"]), "{counted:?}");

        let delete = async |user: &str| {
            let request = v1::DeleteUserRequest { tenant_id: "acme".into(), user_id: user.into(), ..Default::default() };
            narrow.admin().delete_user(request).await
        };
        assert_eq!(refusal(&delete("u1").await.unwrap_err()), "PermissionDenied POLICY_DENIED");
        delete("u2").await.unwrap();
        assert_eq!(users(&operator).await, 1);
    }

    async fn a_browser_completes_what_its_beginner_may_complete(vault: TestVault) {
        // Of the call that began it: what vouched for the tenant, and from where it came, not from where a browser does.
        let vault = with_policies(vault, r#"
            permit (NARROW, action in [Action::"AssertTenant", Action::"BeginAuthorization"], resource);
            @id("completes-shared")
            permit (NARROW, action == Action::"CompleteAuthorization", resource)
            when { context.provider == "simulator" && context.owner == "tenant" && context.tenant_source == "header"
                && !(context has user) && context.source.isLoopback() };
        "#).await;
        let mut vault = vault;
        vault.start().await;
        let connected = connected(vault).await;
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
            assert_eq!((record.action.as_str(), record.service.as_str()), ("CompleteAuthorization", "spiffe://test.local/narrow"));
            let (outcome, policies): (_, &[&str]) = match status {
                200 => (v1::AuditOutcome::Ok, &["completes-shared"]),
                _ => (v1::AuditOutcome::Denied, &[]),
            };
            assert_eq!((record.outcome(), record.policies.iter().map(String::as_str).collect::<Vec<_>>().as_slice()), (outcome, policies));
        }
        assert_eq!(connected.vault.count("credential_versions").await, 1);
    }
}
