//! From "Overview" to "AmazonService Changes": the table moves in, and each user has accounts of its own.

use credvault_proto::v1;

use super::{
    TENANT, account, connect, connections, for_user, get, hook, import, keys_of, request_of, rows, start,
    verified,
};
use crate::harness::provider::Connected;
use crate::harness::{VaultBuilder, by_id, by_provider, refusal};
use crate::on_both;

on_both![the_table_moves_in_and_each_user_has_accounts_of_its_own];

async fn the_table_moves_in_and_each_user_has_accounts_of_its_own(builder: VaultBuilder) {
    // "Per-User Integration Credentials Implementation", "Overview": WooCommerce and Amazon, for users 7 and 8.
    let connected = start(builder).await;
    rows_become_connections(&connected).await;
    each_user_calls_with_its_own(&connected).await;
    calls_side_by_side_do_not_mix(&connected).await;
    what_a_user_had_goes_with_the_user(&connected).await;
}

async fn rows_become_connections(connected: &Connected) {
    // "Database Schema Changes": the rows of their table are the connections of ours, and come along as they are.
    let vault = &connected.vault;
    vault.write("rows.jsonl", &rows(connected).await);
    for (mode, expected) in [("--dry-run", [4, 0, 0]), ("--update", [4, 0, 0]), ("--update", [0, 4, 0])] {
        let arguments = ["pixelpim", "--from", "rows.jsonl", "--tenant", TENANT, mode];
        let counts = import(vault, "app", &arguments).await;
        assert_eq!(counts, expected);
        let stored = if mode == "--dry-run" { 0 } else { 4 };
        assert_eq!(vault.count("connections").await, stored);
    }
    // "New Model: `UserIntegrationCredentials`": `userId`, `integrationType`, `isActive`, and the times of the row.
    let app = vault.app(TENANT).await;
    for (user, active) in [("7", true), ("8", false)] {
        let all = connections(&app, user).await;
        let mut shown: Vec<_> = all.iter().map(|one| (one.provider.as_str(), one.enabled)).collect();
        shown.sort_unstable();
        assert_eq!(shown, [("amazon_sp_seller", active), ("woocommerce", true)]);
        for one in &all {
            assert_eq!(one.state(), v1::ConnectionState::Connected);
            assert!(one.labels["imported_from"].starts_with("pixelpim/"), "{one:?}");
            assert!(one.create_time.is_some() && one.update_time.is_some());
        }
    }
    // `@@unique([userId, integrationType])`: unique for each account name, so the same account does not come twice.
    let seven = request_of(vault, "7").await;
    let keys = keys_of(connected, "shop-7-new").await;
    let again = seven.create(connect("shop-7-new", "default", &keys)).await.unwrap_err();
    assert_eq!(refusal(&again), "AlreadyExists CONNECTION_EXISTS");
}

/// "Problem Statement": "all users accessed the same accounts". "Solution": "complete data isolation between users".
async fn each_user_calls_with_its_own(connected: &Connected) {
    // "Service Modifications", "BaseIntegrationService Updates": the user is part of each call.
    let vault = &connected.vault;
    let app = vault.app(TENANT).await;
    let (seven, eight) = (request_of(vault, "7").await, request_of(vault, "8").await);
    // "WooCommerceService Changes": `getUserCredentials(userId)` and `connectWithCredentials(userId)` are one call.
    for (client, user) in [(&seven, "7"), (&eight, "8")] {
        let shop = format!("shop-{user}");
        let own = client.fetch(by_provider("woocommerce")).await.unwrap();
        assert_eq!(account(&own).await.as_deref(), Some(shop.as_str()));
        // A service that exports a product in the background names the user instead.
        let named = app.fetch(for_user("woocommerce", user)).await.unwrap();
        assert_eq!(
            (named.connection_id.as_str(), named.tag.as_str()),
            (own.connection_id.as_str(), own.tag.as_str())
        );
        // `validateWebhookSignature(userId)`: the secret of the row works, and stays inside.
        assert!(!own.fields.contains_key("webhook_secret"));
        let told = verified(client, &own.connection_id, &hook(&shop), r#"{"id": 1}"#).await;
        assert_eq!(told.verdict(), v1::WebhookVerdict::Valid, "{told:?}");
    }
    // "AmazonService Changes": the vault renews the access token by itself; the refresh token and the secret stay inside.
    let seller = seven.fetch(by_provider("amazon_sp_seller")).await.unwrap();
    assert_eq!(account(&seller).await.as_deref(), Some("seller-7"));
    assert!(connected.provider.counts().refreshes_granted >= 1);
    assert_eq!(seller.fields.keys().collect::<Vec<_>>(), ["access_token"]);
    let off = eight.fetch(by_provider("amazon_sp_seller")).await.unwrap_err();
    assert_eq!(refusal(&off), "FailedPrecondition CONNECTION_DISABLED");
}

/// "Connection Reuse Logic": theirs remembered one `currentUserId` for all requests. Here nothing is shared between calls.
async fn calls_side_by_side_do_not_mix(connected: &Connected) {
    let vault = &connected.vault;
    let users = ["7", "8"];
    let clients = [request_of(vault, "7").await, request_of(vault, "8").await];
    let calls = (0..40).map(|call| clients[call % 2].fetch(by_provider("woocommerce")));
    let fetched = futures::future::try_join_all(calls).await.unwrap();
    for (call, credential) in fetched.iter().enumerate() {
        assert_eq!(credential.owner.as_ref().unwrap().user_id, users[call % 2]);
        // What may be reused, and for how long, the answer says.
        assert_eq!(credential.tag, fetched[call % 2].tag);
        assert_eq!(credential.cache_duration.unwrap().seconds, 60);
    }
}

/// What "onDelete: Cascade" was for.
async fn what_a_user_had_goes_with_the_user(connected: &Connected) {
    let vault = &connected.vault;
    let app = vault.app(TENANT).await;
    let shop = app.fetch(for_user("woocommerce", "8")).await.unwrap().connection_id;
    let delete =
        v1::DeleteUserRequest { tenant_id: TENANT.into(), user_id: "8".into(), ..Default::default() };
    let deleted = vault.client("operator").await.admin().delete_user(delete).await.unwrap().into_inner();
    assert_eq!(deleted.removed_connections, 2);
    assert!(connections(&app, "8").await.is_empty());
    assert_eq!(refusal(&app.fetch(by_id(&shop)).await.unwrap_err()), "NotFound CONNECTION_NOT_FOUND");
    let gone = app.fetch(for_user("woocommerce", "8")).await.unwrap_err();
    assert_eq!(refusal(&gone), "NotFound CREDENTIAL_NOT_CONFIGURED");
    let kept = app.fetch(for_user("woocommerce", "7")).await.unwrap();
    assert_eq!(get(&app, &kept.connection_id).await.state(), v1::ConnectionState::Connected);
}
