//! From "API Changes" to "Phase 4: Testing & Validation": the endpoints, what is stored, and who reaches it.

use credvault_proto::v1;
use tonic_types::StatusExt as _;

use super::{
    TENANT, account, connect, connections, fields, get, hook, keys_of, put, request_of, settings, start,
    tested, verified,
};
use crate::harness::provider::Connected;
use crate::harness::{Client, VaultBuilder, by_id, by_provider, input, owned_by, refusal};
use crate::on_both;

on_both![
    each_endpoint_works_for_the_user_of_the_request,
    what_is_stored_is_checked_sealed_and_kept_to_its_user
];

async fn each_endpoint_works_for_the_user_of_the_request(builder: VaultBuilder) {
    // "API Changes", "Controller Updates Required": the user comes with the authenticated request, for the back end may name
    // the tenant and the user, and no body can name another.
    let connected = start(builder).await;
    let (seven, eight) = (request_of(&connected.vault, "7").await, request_of(&connected.vault, "8").await);
    // "New Endpoints Needed": GET /integrations/credentials/status, before there is anything.
    assert_eq!(status(&seven).await, [v1::RequirementState::Missing; 2]);
    // POST /integrations/woocommerce/credentials
    let keys = keys_of(&connected, "shop-7").await;
    let created = seven.create(connect("shop-7", "", &keys)).await.unwrap();
    assert_eq!(created.owner.unwrap().user_id, "7");
    // POST /integrations/amazon/credentials
    let refresh_token = connected.provider.issue("seller-7", &["read"]).refresh_token;
    let seller = seven.create(seller(&refresh_token, "na")).await.unwrap();
    assert_eq!(tested(&seven, &seller.id).await.unwrap(), v1::TestOutcome::Works);
    assert_eq!(status(&seven).await, [v1::RequirementState::Connected; 2]);
    assert_eq!(status(&eight).await, [v1::RequirementState::Missing; 2]);
    replaced_and_deleted(&connected, &seven, &created.id).await;
    // "Example Controller Update": `request.user.id` decides, whatever the rest of the request says.
    let foreign = owned_by("7", connect("shop-7", "second", &keys));
    assert_eq!(refusal(&eight.create(foreign).await.unwrap_err()), "PermissionDenied POLICY_DENIED");
}

fn seller(refresh_token: &str, region: &str) -> v1::CreateConnectionRequest {
    v1::CreateConnectionRequest {
        provider: "amazon_sp_seller".into(),
        auth_mode: "self_authorized".into(),
        config: settings(&[
            ("region", region),
            ("lwa_client_id", credvault_simulator::CLIENT_ID),
            ("selling_partner_id", "A7SELLER"),
        ]),
        credential: Some(input(&[
            ("lwa_client_secret", credvault_simulator::CLIENT_SECRET),
            ("refresh_token", refresh_token),
        ])),
        ..Default::default()
    }
}

/// Whether WooCommerce and Amazon are configured for the user of the request.
async fn status(client: &Client) -> [v1::RequirementState; 2] {
    let requirements = ["woocommerce", "amazon_sp_seller"]
        .map(|provider| v1::Requirement { provider: provider.into(), ..Default::default() });
    let request = v1::CheckRequirementsRequest { requirements: requirements.into(), ..Default::default() };
    let checks = client.connections().check_requirements(request).await.unwrap().into_inner().checks;
    [checks[0].state(), checks[1].state()]
}

async fn replaced_and_deleted(connected: &Connected, seven: &Client, id: &str) {
    // PUT /integrations/woocommerce/credentials: with settings, after the shop has accepted the keys.
    let keys = keys_of(connected, "shop-7-moved").await;
    let request = |keys: &[String; 2]| v1::PutCredentialRequest {
        connection_id: id.to_owned(),
        credential: Some(fields("shop-7", keys)),
        config: settings(&[("store_url", "https://shop-7-moved.example.com")]),
        verify: true,
        ..Default::default()
    };
    let mut wrong = keys.clone();
    wrong[1] = format!("cs_{}", "0".repeat(40));
    let refused = put(seven, request(&wrong)).await.unwrap_err();
    assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
    assert_eq!(account(&seven.fetch(by_id(id)).await.unwrap()).await.as_deref(), Some("shop-7"));
    assert_eq!(put(seven, request(&keys)).await.unwrap(), 2);
    assert_eq!(account(&seven.fetch(by_id(id)).await.unwrap()).await.as_deref(), Some("shop-7-moved"));
    // PUT and DELETE /integrations/amazon/credentials are the same calls: the provider is a matter of the connection.
    // DELETE /integrations/woocommerce/credentials: not served from now on, and for 30 days not lost.
    let delete = v1::DeleteConnectionRequest { connection_id: id.to_owned(), ..Default::default() };
    let deleted = seven.connections().delete_connection(delete).await.unwrap().into_inner();
    assert!(deleted.connection.unwrap().purge_time.is_some());
    let missing = seven.fetch(by_provider("woocommerce")).await.unwrap_err();
    assert_eq!(refusal(&missing), "NotFound CREDENTIAL_NOT_CONFIGURED");
    let undelete = v1::UndeleteConnectionRequest { connection_id: id.to_owned(), ..Default::default() };
    seven.connections().undelete_connection(undelete).await.unwrap();
    assert!(seven.fetch(by_provider("woocommerce")).await.is_ok());
}

async fn what_is_stored_is_checked_sealed_and_kept_to_its_user(builder: VaultBuilder) {
    let connected = start(builder).await;
    let (seven, eight) = (request_of(&connected.vault, "7").await, request_of(&connected.vault, "8").await);
    forms_are_checked(&connected, &seven).await;
    let keys = [keys_of(&connected, "shop-7").await, keys_of(&connected, "shop-8").await];
    let own = seven.create(connect("shop-7", "", &keys[0])).await.unwrap();
    let other = eight.create(connect("shop-8", "", &keys[1])).await.unwrap();
    // "Security Considerations", "Encryption": nothing of a credential is readable in the database.
    for secret in [&keys[0][0], &keys[0][1], &hook("shop-7")] {
        assert_eq!(connected.vault.found_in(secret).await, None);
    }
    // "Use environment-specific encryption keys": a key for each tenant, under the root key of the environment.
    let operator = connected.vault.client("operator").await;
    let request = v1::GetKeyStatusRequest { tenant_id: TENANT.into() };
    let keys_of_tenant = operator.admin().get_key_status(request).await.unwrap().into_inner();
    assert_eq!(keys_of_tenant.root_key.unwrap().source, "file");
    assert_eq!(keys_of_tenant.tenant_keys[0].sealed_credentials, 2);
    // "Access Control": "users can only access their own credentials".
    for refused in [
        seven.fetch(by_id(&other.id)).await.unwrap_err(),
        put(&seven, put_keys(&other.id, fields("shop-7", &keys[0]))).await.unwrap_err(),
        tested(&seven, &other.id).await.unwrap_err(),
    ] {
        assert_eq!(refusal(&refused), "NotFound CONNECTION_NOT_FOUND");
    }
    webhooks_are_each_users_own(&seven, &eight, &own.id, &other.id).await;
    the_phases_of_their_plan(&connected, &seven, &own).await;
}

fn put_keys(id: &str, credential: v1::CredentialInput) -> v1::PutCredentialRequest {
    v1::PutCredentialRequest {
        connection_id: id.to_owned(),
        credential: Some(credential),
        ..Default::default()
    }
}

/// "Credential Storage Format": theirs took any JSON. Here each field has its form, and a refusal repeats no value.
async fn forms_are_checked(connected: &Connected, seven: &Client) {
    let good = keys_of(connected, "shop-7").await;
    let names = |refused: &tonic::Status| {
        assert_eq!(refusal(refused), "InvalidArgument FIELDS_INVALID");
        assert!(!format!("{refused:?}").contains("CANARY"), "{refused:?}");
        let details = refused.get_error_details();
        let violations = &details.bad_request().unwrap().field_violations;
        violations.iter().map(|one| one.field.clone()).collect::<Vec<_>>().join(" ")
    };
    // "WooCommerce Credentials": the key has no form of theirs, the secret is missing, the address is no https.
    let mut shop = connect("shop-7", "", &good);
    shop.credential = Some(input(&[("consumer_key", "CANARY"), ("webhook_secret", "wh_CANARY")]));
    shop.config = settings(&[("store_url", "http://shop-7.example.com")]);
    let wrong = names(&seven.create(shop).await.unwrap_err());
    for field in ["consumer_key", "consumer_secret", "store_url"] {
        assert!(wrong.contains(field), "{wrong}");
    }
    // "Amazon Credentials": an access token in place of the refresh token, and a region of AWS.
    let wrong = names(&seven.create(seller("Atza|CANARY", "us-east-1")).await.unwrap_err());
    assert!(wrong.contains("refresh_token") && wrong.contains("region"), "{wrong}");
    assert!(connections(seven, "7").await.is_empty(), "nothing was stored");
}

/// "Webhook Security": "each user has their own webhook secret".
async fn webhooks_are_each_users_own(seven: &Client, eight: &Client, own: &str, other: &str) {
    use v1::WebhookVerdict::{Invalid, Repeated, Valid};
    let body = r#"{"id": 17, "status": "processing"}"#;
    let first = verified(seven, own, &hook("shop-7"), body).await;
    assert_eq!((first.verdict(), first.account_matched), (Valid, true), "{first:?}");
    assert_eq!(first.delivery_id, "d17");
    // What was sent before says so, and the secret of another user's shop signs nothing here.
    assert_eq!(verified(seven, own, &hook("shop-7"), body).await.verdict(), Repeated);
    assert_eq!(verified(seven, own, &hook("shop-8"), body).await.verdict(), Invalid);
    assert_eq!(verified(eight, other, &hook("shop-8"), body).await.verdict(), Valid);
    // "Proper user context required for webhook processing".
    let request = v1::VerifyWebhookRequest { connection_id: other.to_owned(), ..Default::default() };
    let foreign = seven.vault().verify_webhook(request).await.unwrap_err();
    assert_eq!(refusal(&foreign), "NotFound CONNECTION_NOT_FOUND");
}

/// The section "Implementation Steps", phase by phase.
async fn the_phases_of_their_plan(connected: &Connected, seven: &Client, own: &v1::Connection) {
    // "Phase 1: Database & Services ✅ (Completed)": a test connects with the stored keys.
    assert_eq!(tested(seven, &own.id).await.unwrap(), v1::TestOutcome::Works);
    // "Phase 2: Controllers & API (Next Steps)": a service that no policy lets fetch gets nothing, for any user.
    let reader = connected.vault.client("reader").await.acting_for(TENANT, Some("7"));
    assert_eq!(refusal(&reader.fetch(by_id(&own.id)).await.unwrap_err()), "PermissionDenied POLICY_DENIED");
    // "Phase 3: Frontend Integration": a form is drawn from the schema, whose secrets are marked.
    let request = v1::GetProviderRequest { provider: "woocommerce".into() };
    let provider = seven.connections().get_provider(request).await.unwrap().into_inner().provider.unwrap();
    let schema = format!("{:?}", provider.auth_modes[0].credential_schema);
    assert!(schema.contains("writeOnly") && schema.contains("consumer_secret"), "{schema}");
    // "Update integration status displays": state, health and masked hints, and never a secret.
    let shown = get(seven, &own.id).await;
    assert_eq!(shown.health.as_ref().unwrap().state(), v1::HealthState::Ok);
    assert!(shown.last_verified_time.is_some());
    assert!(shown.hints["consumer_key"].starts_with("ck_") && shown.hints["consumer_key"].contains('…'));
    assert!(!format!("{shown:?}").contains("CANARY"), "{shown:?}");
    // "Phase 4: Testing & Validation": isolation, webhooks and all changes are above; here many users at the same time.
    let client = connected.vault.app(TENANT).await;
    let keys = keys_of(connected, "shop").await;
    for user in 100..130 {
        client.create(owned_by(&user.to_string(), connect("shop", "", &keys))).await.unwrap();
    }
    let calls = (100..130).map(|user| {
        let client = client.acting_for(TENANT, Some(&user.to_string()));
        async move { client.fetch(by_provider("woocommerce")).await }
    });
    let fetched = futures::future::try_join_all(calls).await.unwrap();
    for (user, credential) in (100..130).zip(fetched) {
        assert_eq!(credential.owner.unwrap().user_id, user.to_string());
    }
}
