//! "Error Handling", "Testing" and "Support": what callers are told, and what they can check by themselves.

use credvault_proto::v1;
use tonic_types::StatusExt as _;

use super::{
    TENANT, account, connect, connections, for_user, get, hook, import, keys_of, request_of, rows, start,
    tested, verified,
};
use crate::harness::provider::Connected;
use crate::harness::{self, Client, VaultBuilder, by_id, by_provider, eventually, refusal};
use crate::on_both;

on_both![errors_say_what_is_wrong_and_what_to_do];

async fn errors_say_what_is_wrong_and_what_to_do(builder: VaultBuilder) {
    // "Error Handling"
    let connected = start(builder).await;
    let seven = request_of(&connected.vault, "7").await;
    missing_credentials(&connected, &seven).await;
    their_tests(&connected, &seven).await;
    support(&connected).await;
    let id = connections(&seven, "7").await[0].id.clone();
    a_forged_webhook(&connected, &seven, &id).await;
    keys_that_the_shop_has_withdrawn(&connected, &seven, &id).await;
    a_shop_that_is_away(connected, &seven).await;
}

/// "Common Error Scenarios", "Missing Credentials": 'WooCommerce credentials not configured for this user'.
async fn missing_credentials(connected: &Connected, seven: &Client) {
    for (client, request) in [
        (seven, by_provider("woocommerce")),
        (&connected.vault.app(TENANT).await, for_user("woocommerce", "7")),
    ] {
        let missing = client.fetch(request).await.unwrap_err();
        assert_eq!(refusal(&missing), "NotFound CREDENTIAL_NOT_CONFIGURED");
        let details = missing.get_error_details();
        let facts = &details.error_info().unwrap().metadata;
        assert_eq!((facts["provider"].as_str(), facts["user"].as_str()), ("woocommerce", "7"));
    }
}

/// The section "Testing", with a dry run.
async fn their_tests(connected: &Connected, seven: &Client) {
    // "Unit Tests": 'should connect with user-specific credentials', 'should export product with user credentials'.
    let keys = keys_of(connected, "shop-7").await;
    let id = seven.create(connect("shop-7", "", &keys)).await.unwrap().id;
    assert_eq!(tested(seven, &id).await.unwrap(), v1::TestOutcome::Works);
    let credential = seven.fetch(by_provider("woocommerce")).await.unwrap();
    assert_eq!(account(&credential).await.as_deref(), Some("shop-7"));
    // "Integration Tests": storage and retrieval, calls with different users' credentials, signatures for each user,
    // and isolation between users.
    let eight = request_of(&connected.vault, "8").await;
    let keys = keys_of(connected, "shop-8").await;
    let other = eight.create(connect("shop-8", "", &keys)).await.unwrap().id;
    let credential = eight.fetch(by_id(&other)).await.unwrap();
    assert_eq!(account(&credential).await.as_deref(), Some("shop-8"));
    assert_eq!(refusal(&eight.fetch(by_id(&id)).await.unwrap_err()), "NotFound CONNECTION_NOT_FOUND");
    let signed = verified(&eight, &other, &hook("shop-7"), "{}").await;
    assert_eq!(signed.verdict(), v1::WebhookVerdict::Invalid);
}

/// The section "Support": where to look.
async fn support(connected: &Connected) {
    let vault = &connected.vault;
    // "Check the service logs for detailed error messages": the audit log has each refusal, with its reason.
    let seven = request_of(vault, "7").await;
    let refused = v1::AuditFilter { outcome: v1::AuditOutcome::Failed.into(), ..Default::default() };
    let request = v1::ListAuditEventsRequest { filter: Some(refused), ..Default::default() };
    let records = seven.audit().list_audit_events(request).await.unwrap().into_inner().events;
    assert_eq!(records.last().unwrap().reason, "CREDENTIAL_NOT_CONFIGURED", "{records:?}");
    // "Verify user credentials are properly configured": what a fetch would find, and the next step where it finds nothing.
    let requirements = ["woocommerce", "amazon_sp_seller"]
        .map(|provider| v1::Requirement { provider: provider.into(), ..Default::default() });
    let request = v1::CheckRequirementsRequest { requirements: requirements.into(), ..Default::default() };
    let checks = seven.connections().check_requirements(request).await.unwrap().into_inner().checks;
    assert_eq!(checks[0].state(), v1::RequirementState::Connected);
    assert_eq!(checks[1].state(), v1::RequirementState::Missing);
    assert!(!checks[1].next_step_text.is_empty());
    // "Ensure database migrations have been applied": a vault that is ready has a database in order.
    let admin = vault.instance.as_ref().unwrap().admin_address;
    eventually("readiness", || async { harness::get(admin, "/readyz").await.0 == 200 }).await;
    // "Test with a single user first before multi-user scenarios": one row, tried without a change.
    let rows = rows(connected).await;
    vault.write("one.jsonl", rows.lines().nth(1).unwrap());
    let before = vault.count("connections").await;
    let arguments = ["pixelpim", "--from", "one.jsonl", "--tenant", TENANT, "--dry-run"];
    assert_eq!(import(vault, "app", &arguments).await, [1, 0, 0]);
    assert_eq!(vault.count("connections").await, before);
}

/// "Webhook Validation": "`false` return with proper logging".
async fn a_forged_webhook(connected: &Connected, seven: &Client, id: &str) {
    let forged = verified(seven, id, "a guess", r#"{"id": 18}"#).await;
    assert_eq!(forged.verdict(), v1::WebhookVerdict::Invalid);
    assert!(!forged.problem.is_empty());
    let record = newest(&connected.vault.app(TENANT).await, "VerifyWebhook").await;
    assert_eq!((record.user_id.as_str(), record.connection_id.as_str()), ("7", id));
}

async fn newest(client: &Client, action: &str) -> v1::AuditEvent {
    client.events().await.into_iter().find(|event| event.action == action).unwrap()
}

/// "Invalid Credentials": the provider's word, in words for the customer and for the operator.
async fn keys_that_the_shop_has_withdrawn(connected: &Connected, seven: &Client, id: &str) {
    let tag = seven.fetch(by_id(id)).await.unwrap().tag;
    connected.provider.revoke_account("shop-7");
    // A service was answered 401, and says so.
    let report = v1::FetchCredentialRequest { rejected_tag: tag, ..by_id(id) };
    let dead = seven.fetch(report).await.unwrap_err();
    assert_eq!(refusal(&dead), "FailedPrecondition REAUTHORIZATION_REQUIRED");
    let shown = get(seven, id).await;
    assert_eq!(shown.state(), v1::ConnectionState::Error);
    assert_eq!(shown.error.unwrap().reason, "REAUTHORIZATION_REQUIRED");
    let error = shown.health.unwrap().last_error.unwrap();
    assert!(error.customer_text.contains("WooCommerce"), "{error:?}");
    assert!(!error.operator_text.is_empty(), "{error:?}");
    // Keys that the shop accepts mend it.
    let credential = Some(super::fields("shop-7", &keys_of(connected, "shop-7").await));
    let request = v1::PutCredentialRequest {
        connection_id: id.to_owned(),
        credential,
        verify: true,
        ..Default::default()
    };
    assert_eq!(super::put(seven, request).await.unwrap(), 2);
    assert_eq!(get(seven, id).await.state(), v1::ConnectionState::Connected);
}

/// "Connection Failures": "detailed error messages with user context". An outage says nothing of the keys.
async fn a_shop_that_is_away(connected: Connected, seven: &Client) {
    let id = connections(seven, "7").await[0].id.clone();
    let Connected { vault, provider } = connected;
    provider.stop().await;
    assert_eq!(refusal(&tested(seven, &id).await.unwrap_err()), "Unavailable PROVIDER_UNAVAILABLE");
    let record = newest(&vault.app(TENANT).await, "TestConnection").await;
    assert_eq!((record.user_id.as_str(), record.reason.as_str()), ("7", "PROVIDER_UNAVAILABLE"));
    assert_eq!((record.connection_id, record.provider.as_str()), (id.clone(), "woocommerce"));
    assert_eq!(get(seven, &id).await.state(), v1::ConnectionState::Connected);
}
