//! "Migration Guide" and "Rollback Plan": shared credentials serve those who have none of their own, and every step can be
//! taken back.

use credvault_proto::v1;
use credvault_simulator::{CLIENT_ID, CLIENT_SECRET};

use super::{TENANT, account, connect, connections, fields, import, keys_of, put, request_of, start};
use crate::harness::provider::Connected;
use crate::harness::{Client, VaultBuilder, by_id, by_provider, refusal};
use crate::on_both;

on_both![shared_variables_serve_until_each_user_has_moved];

async fn shared_variables_serve_until_each_user_has_moved(builder: VaultBuilder) {
    // "Migration Guide"
    let mut connected = start(builder).await;
    variables_become_the_platforms(&connected).await;
    users_move_one_by_one(&connected).await;
    let told = dependants(&mut connected).await;
    // User 7 was served the shared shop once and has moved; user 8 still depends on it.
    assert_eq!(told, [("7".to_owned(), 1), ("8".to_owned(), 2)]);
    every_step_can_be_taken_back(&connected).await;
    the_shared_credentials_end(&connected).await;
}

/// "Environment Variables (Optional - for backward compatibility)"
async fn variables_become_the_platforms(connected: &Connected) {
    let [key, secret] = keys_of(connected, "shared-shop").await;
    let refresh_token = connected.provider.issue("shared-seller", &["read"]).refresh_token;
    let variables = format!(
        "# WooCommerce (legacy)\nWC_API_URL=https://example.com\nWC_CONSUMER_KEY={key}\nWC_CONSUMER_SECRET={secret}\n\
         WC_WEBHOOK_SECRET=wh_CANARY\n\n\
         # Amazon (legacy)\nAMZ_CLIENT_ID={CLIENT_ID}\nAMZ_CLIENT_SECRET={CLIENT_SECRET}\n\
         AMZ_REFRESH_TOKEN={refresh_token}\nAMZ_REGION=us-east-1\nAMZ_SELLER_ID=A1B2C3D4E5\n\
         AMZ_WEBHOOK_SECRET=amzn_wh_CANARY\n"
    );
    let vault = &connected.vault;
    vault.write("legacy.env", &variables);
    for expected in [[2, 0, 0], [0, 2, 0]] {
        let counts = import(vault, "operator", &["env", "--from", "legacy.env"]).await;
        assert_eq!(counts, expected);
    }
    // "Keep existing env vars": what they hold serves every user, and no user sees who else it serves.
    let seven = request_of(vault, "7").await;
    for (provider, expected) in [("woocommerce", "shared-shop"), ("amazon_sp_seller", "shared-seller")] {
        let shared = seven.fetch(by_provider(provider)).await.unwrap();
        assert_eq!(shared.owner.as_ref().unwrap().kind(), v1::OwnerKind::Platform);
        assert_eq!(account(&shared).await.as_deref(), Some(expected));
    }
    assert!(connections(&seven, "7").await.is_empty());
}

/// "For Existing Users": "allow users to migrate credentials gradually".
async fn users_move_one_by_one(connected: &Connected) {
    let seven = request_of(&connected.vault, "7").await;
    let keys = keys_of(connected, "shop-7").await;
    seven.create(connect("shop-7", "", &keys)).await.unwrap();
    assert_eq!(shop_of(&seven).await, "shop-7");
    let eight = request_of(&connected.vault, "8").await;
    for _ in 0..2 {
        assert_eq!(shop_of(&eight).await, "shared-shop");
    }
}

/// The shop whose keys a request gets.
async fn shop_of(client: &Client) -> String {
    account(&client.fetch(by_provider("woocommerce")).await.unwrap()).await.unwrap()
}

/// The users that were served the shared shop, and how often. The counts are written by the end of a vault at the latest.
async fn dependants(connected: &mut Connected) -> Vec<(String, i64)> {
    connected.vault.stop().await;
    connected.vault.start().await;
    let operator = connected.vault.client("operator").await;
    let request = v1::ListPlatformDependantsRequest { provider: "woocommerce".into(), ..Default::default() };
    let listed = operator.admin().list_platform_dependants(request).await.unwrap().into_inner().dependants;
    let told = listed.into_iter().map(|one| {
        assert_eq!((one.tenant_id.as_str(), one.provider.as_str()), (TENANT, "woocommerce"));
        (one.user_id, one.fetch_count)
    });
    told.collect()
}

/// The section "Rollback Plan", each way back.
async fn every_step_can_be_taken_back(connected: &Connected) {
    let vault = &connected.vault;
    let seven = request_of(vault, "7").await;
    let id = connections(&seven, "7").await[0].id.clone();
    // "Database: the new table doesn't affect existing functionality": a version that was a mistake is taken back.
    let keys = keys_of(connected, "mistake").await;
    let replace = v1::PutCredentialRequest {
        connection_id: id.clone(),
        credential: Some(fields("shop-7", &keys)),
        ..Default::default()
    };
    assert_eq!(put(&seven, replace).await.unwrap(), 2);
    assert_eq!(shop_of(&seven).await, "mistake");
    let back = v1::RollbackCredentialRequest { connection_id: id.clone(), version: 1, ..Default::default() };
    seven.vault().rollback_credential(back).await.unwrap();
    assert_eq!(shop_of(&seven).await, "shop-7");
    // "Services: legacy methods still exist": without a connection of its own, a user is served the shared one again.
    let delete = v1::DeleteConnectionRequest { connection_id: id.clone(), ..Default::default() };
    seven.connections().delete_connection(delete).await.unwrap();
    assert_eq!(shop_of(&seven).await, "shared-shop");
    let undelete = v1::UndeleteConnectionRequest { connection_id: id.clone(), ..Default::default() };
    seven.connections().undelete_connection(undelete).await.unwrap();
    assert_eq!(shop_of(&seven).await, "shop-7");
    // "Controllers: can temporarily bypass userId requirements": such a call never gets what is a user's.
    let nobody = vault.client("portal").await.acting_for(TENANT, None);
    assert_eq!(shop_of(&nobody).await, "shared-shop");
    assert_eq!(refusal(&nobody.fetch(by_id(&id)).await.unwrap_err()), "NotFound CONNECTION_NOT_FOUND");
    // "Environment Variables: still functional for global credentials": as long as the platform keeps them.
    assert_eq!(shop_of(&request_of(vault, "9").await).await, "shared-shop");
}

/// The end of the transition: a user who has not moved gets an error that says so; it does not concern the others.
async fn the_shared_credentials_end(connected: &Connected) {
    let vault = &connected.vault;
    let (seven, eight) = (request_of(vault, "7").await, request_of(vault, "8").await);
    let connection_id = eight.fetch(by_provider("woocommerce")).await.unwrap().connection_id;
    let operator = vault.client("operator").await;
    let delete = v1::DeleteConnectionRequest { connection_id, ..Default::default() };
    operator.connections().delete_connection(delete).await.unwrap();
    let missing = eight.fetch(by_provider("woocommerce")).await.unwrap_err();
    assert_eq!(refusal(&missing), "NotFound CREDENTIAL_NOT_CONFIGURED");
    assert_eq!(shop_of(&seven).await, "shop-7");
}
