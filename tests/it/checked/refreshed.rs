//! Policy after a refresh: the connection that is served is the one that policy permitted.

use credvault_proto::v1;

use super::{narrow, with_policies};

use crate::harness::provider::{Connected, STRICT, connection_request};
use crate::harness::{Client, VaultBuilder, by_provider, eventually, input, refusal};
use crate::on_both;

/// A connection of this client's namespace with tokens that end in `left` seconds.
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

on_both![
    after_a_refresh_the_connection_is_the_one_that_was_checked,
    what_is_gone_after_a_refresh_is_looked_for_anew_and_policy_asked_again,
];

async fn after_a_refresh_the_connection_is_the_one_that_was_checked(builder: VaultBuilder) {
    let builder = with_policies(
        builder,
        r#"
            permit (NARROW, action == Action::"AssertTenant", resource);
            @id("platform-only")
            permit (NARROW, action == Action::"FetchCredential", resource) when { context.owner == "platform" };
        "#,
    );
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let operator = connected.vault.client("operator").await;
    let platform = with_tokens(&connected, &operator, "platform-shop", -60).await;
    let narrow = narrow(&connected.vault).await;
    let credential = fetch_while(&connected, &narrow, || async {
        with_tokens(&connected, &app, "own-shop", 3600).await;
    })
    .await
    .unwrap();
    assert_eq!(credential.connection_id, platform);
    assert_eq!(credential.owner.as_ref().unwrap().kind(), v1::OwnerKind::Platform);
    assert!(connected.accepts(&credential).await);
    let records = app.events().await;
    let record = records.iter().find(|record| record.action == "FetchCredential").unwrap();
    assert_eq!(record.connection_id, platform);
    assert_eq!(record.policies, ["platform-only"]);
    // From now on the tenant's own comes first, and is not for this service.
    assert_eq!(
        refusal(&narrow.fetch(by_provider("simulator")).await.unwrap_err()),
        "PermissionDenied POLICY_DENIED"
    );
}

async fn what_is_gone_after_a_refresh_is_looked_for_anew_and_policy_asked_again(builder: VaultBuilder) {
    let builder = with_policies(
        builder,
        r#"
            permit (NARROW, action == Action::"AssertTenant", resource);
            permit (NARROW, action == Action::"FetchCredential", resource) when { context.owner == "tenant" };
            @id("strict-has-its-own")
            @advice("connect an account of your own")
            forbid (principal, action in Action::"Fetching", resource == Tenant::"strict")
                when { context has owner && context.owner == "platform" };
            forbid (principal == Service::"spiffe://test.local/portal", action in Action::"Fetching", resource)
                when { context has owner && context.owner == "platform" };
        "#,
    );
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    with_tokens(&connected, &connected.vault.client("operator").await, "platform-shop", 3600).await;
    let own = with_tokens(&connected, &app, "own-shop", -60).await;
    let narrow = narrow(&connected.vault).await;
    let refused = fetch_while(&connected, &narrow, || async {
        let delete = v1::DeleteConnectionRequest { connection_id: own, ..Default::default() };
        app.connections().delete_connection(delete).await.unwrap();
    })
    .await
    .unwrap_err();
    assert_eq!(refusal(&refused), "PermissionDenied POLICY_DENIED", "the platform's is not what it may have");
    // A caller that may have the platform's gets it.
    let credential = app.fetch(by_provider("simulator")).await.unwrap();
    assert_eq!(credential.owner.unwrap().kind(), v1::OwnerKind::Platform);
    the_platforms_credentials_are_forbidden(&connected).await;
}

/// A policy keeps a tenant, or a service for every tenant, from what is the platform's. What is the tenant's own is served.
async fn the_platforms_credentials_are_forbidden(connected: &Connected) {
    let strict = connected.vault.app("strict").await;
    let refused = strict.fetch(by_provider("simulator")).await.unwrap_err();
    assert_eq!(refusal(&refused), "PermissionDenied POLICY_DENIED");
    assert!(refused.message().contains("connect an account of your own"), "{}", refused.message());
    let record = strict.events().await.into_iter().find(|record| record.action == "FetchCredential").unwrap();
    assert_eq!(record.policies, ["strict-has-its-own"]);
    let portal = connected.vault.client("portal").await;
    let refused = portal.acting_for("acme", None).fetch(by_provider("simulator")).await.unwrap_err();
    assert_eq!(refusal(&refused), "PermissionDenied POLICY_DENIED");
    let own = with_tokens(connected, &strict, "strict-shop", 3600).await;
    for client in [strict, portal.acting_for("strict", None)] {
        assert_eq!(client.fetch(by_provider("simulator")).await.unwrap().connection_id, own);
    }
}
