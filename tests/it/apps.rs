//! Secret settings of apps: sealed, kept, shown as hints only, and good for the webhooks that they sign.

use credvault_proto::v1;

use crate::harness::provider::{Connected, STRICT, app_request, connection_request};
use crate::harness::{Client, VaultBuilder, input, refusal};
use crate::on_both;

const SIGNING: &str = "CANARY_signing_secret_of_the_app";
const BODY: &str = r#"{"shop":"s-1"}"#;

/// A connection of this shop.
fn of_shop(account: &str, shop: &str) -> v1::CreateConnectionRequest {
    let config = prost_types::Struct { fields: [("shop".to_owned(), prost_types::Value::from(shop))].into() };
    v1::CreateConnectionRequest { config: Some(config), ..connection_request(account) }
}

fn with_settings(settings: &[(&str, &str)]) -> v1::PutOAuthAppRequest {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    v1::PutOAuthAppRequest { settings: settings.collect(), ..app_request() }
}

async fn put(operator: &Client, request: v1::PutOAuthAppRequest) -> Result<v1::OAuthApp, tonic::Status> {
    Ok(operator.admin().put_o_auth_app(request).await?.into_inner().app.unwrap())
}

async fn verdict(connected: &Connected, app: &Client, id: &str, secret: &str) -> v1::WebhookVerdict {
    verified(connected, app, id, secret).await.verdict()
}

/// What the vault says to a webhook that this secret has signed.
async fn verified(connected: &Connected, app: &Client, id: &str, secret: &str) -> v1::VerifyWebhookResponse {
    use credvault_domain::Clock as _;
    let time = connected.vault.clock.now().seconds().to_string();
    let signature = credvault_testkit::hmac_sha256(secret.as_bytes(), format!("{time}.{BODY}").as_bytes());
    let header = |name: &str, value: &str| v1::WebhookHeader { name: name.into(), value: value.into() };
    let request = v1::VerifyWebhookRequest {
        connection_id: id.to_owned(),
        headers: vec![header("X-Signature", &signature), header("X-Time", &time)],
        body: BODY.as_bytes().to_vec(),
        ..Default::default()
    };
    app.vault().verify_webhook(request).await.unwrap().into_inner()
}

on_both![a_secret_setting_signs_webhooks_and_is_shown_as_a_hint_only];

async fn a_secret_setting_signs_webhooks_and_is_shown_as_a_hint_only(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let operator = connected.vault.client("operator").await;
    let app = connected.vault.app("acme").await;
    let id = app.create(of_shop("main", "s-1")).await.unwrap().id;
    assert_eq!(verdict(&connected, &app, &id, SIGNING).await, v1::WebhookVerdict::Invalid);

    let stored = put(&operator, with_settings(&[("application_id", "x1"), ("signing_secret", SIGNING)]))
        .await
        .unwrap();
    let listed = operator
        .admin()
        .list_o_auth_apps(v1::ListOAuthAppsRequest::default())
        .await
        .unwrap()
        .into_inner()
        .apps;
    assert_eq!(listed, std::slice::from_ref(&stored));
    assert_eq!(stored.settings, [("application_id".to_owned(), "x1".to_owned())].into());
    assert!(stored.hints.contains_key("client_secret"), "{stored:?}");
    assert!(stored.hints["signing_secret"].contains('…'), "{stored:?}");
    assert!(!format!("{stored:?}").contains(SIGNING));
    assert!(connected.vault.holds("oauth_apps", "application_id").await);
    assert!(!connected.vault.holds("oauth_apps", SIGNING).await);
    assert_eq!(verdict(&connected, &app, &id, SIGNING).await, v1::WebhookVerdict::Valid);

    // What the app's key signs is not for a connection of another shop.
    let globex = connected.vault.app("globex").await;
    let other = globex.create(of_shop("main", "s-2")).await.unwrap().id;
    assert_eq!(verdict(&connected, &globex, &other, SIGNING).await, v1::WebhookVerdict::Invalid);

    // What is left out or empty stays, as the app's secret does; plain settings are replaced.
    for kept in [with_settings(&[]), with_settings(&[("signing_secret", "")])] {
        let stored =
            put(&operator, v1::PutOAuthAppRequest { client_secret: String::new(), ..kept }).await.unwrap();
        assert!(stored.settings.is_empty(), "{stored:?}");
        assert_eq!(stored.hints.len(), 2, "{stored:?}");
    }
    connected.vault.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(verdict(&connected, &app, &id, SIGNING).await, v1::WebhookVerdict::Valid);
    put(&operator, with_settings(&[("signing_secret", "another_secret_of_the_app")])).await.unwrap();
    connected.vault.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(verdict(&connected, &app, &id, SIGNING).await, v1::WebhookVerdict::Invalid);
}

/// A mode whose tokens are tested at the shop.
const AT_SHOP: &str = "rotates = 'yes'
[modes.at_shop]
display_name = 'Token of a shop'
kind = 'static'
secret.access_token = { title = 'Token', required = true }
request = { headers = { Authorization = 'Bearer {secret.access_token}' } }
[modes.at_shop.test.call]
url = '{url}/me?shop={config.shop}'
headers = { Authorization = 'Bearer {secret.access_token}' }
";

fn with_token(request: v1::CreateConnectionRequest, token: &str) -> v1::CreateConnectionRequest {
    let credential = Some(input(&[("access_token", token)]));
    v1::CreateConnectionRequest { auth_mode: "at_shop".into(), credential, ..request }
}

on_both![what_the_apps_key_signs_is_for_the_account_that_the_provider_has_confirmed];

async fn what_the_apps_key_signs_is_for_the_account_that_the_provider_has_confirmed(builder: VaultBuilder) {
    let connected = builder.start_with_provider(AT_SHOP).await;
    put(&connected.vault.client("operator").await, with_settings(&[("signing_secret", SIGNING)]))
        .await
        .unwrap();
    let acme = connected.vault.app("acme").await;
    let globex = connected.vault.app("globex").await;
    let told = async |client: &Client, id: &str| {
        let told = verified(&connected, client, id, SIGNING).await;
        assert_eq!(told.account_matched, told.problem.is_empty(), "{told:?}");
        (told.verdict(), told.account_matched)
    };

    // The provider accepts acme's token at its shop.
    let tokens = connected.provider.issue("s-1", &["read"]);
    let shop = acme.create(with_token(of_shop("shop", "s-1"), &tokens.access_token)).await.unwrap().id;
    assert_eq!(
        told(&acme, &shop).await,
        (v1::WebhookVerdict::Invalid, false),
        "the provider has not confirmed it yet"
    );
    let test = v1::TestConnectionRequest { connection_id: shop.clone() };
    acme.connections().test_connection(test).await.unwrap();
    assert_eq!(told(&acme, &shop).await, (v1::WebhookVerdict::Valid, true));
    assert_eq!(told(&acme, &shop).await, (v1::WebhookVerdict::Repeated, true));

    // Others say that it is theirs, with a credential and without: that moves nothing, and uses nothing up.
    connected.vault.clock.advance(std::time::Duration::from_secs(1));
    let pasted = with_token(of_shop("pasted", "s-1"), "CANARY pasted");
    let pasted = globex.create(pasted).await.unwrap().id;
    assert_eq!(told(&globex, &pasted).await, (v1::WebhookVerdict::Invalid, false));
    let claiming = globex.create(of_shop("claiming", "s-1")).await.unwrap().id;
    assert_eq!(told(&globex, &claiming).await, (v1::WebhookVerdict::Valid, false), "it is the provider's");
    // A delivery for an account without a connection concerns the app as a whole. Each counts once.
    let whole = globex.create(connection_request("whole")).await.unwrap().id;
    assert_eq!(told(&globex, &whole).await, (v1::WebhookVerdict::Repeated, false));
    assert_eq!(told(&acme, &shop).await, (v1::WebhookVerdict::Valid, true));

    // A new credential may be another account's.
    let put = v1::PutCredentialRequest {
        connection_id: shop.clone(),
        credential: Some(input(&[("access_token", "CANARY new")])),
        ..Default::default()
    };
    acme.vault().put_credential(put).await.unwrap();
    connected.vault.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(told(&acme, &shop).await, (v1::WebhookVerdict::Invalid, false));
}

#[tokio::test]
async fn another_app_needs_its_own_secrets_and_an_unknown_setting_is_refused() {
    let connected = VaultBuilder::sqlite().start_with_provider(STRICT).await;
    let operator = connected.vault.client("operator").await;
    put(&operator, with_settings(&[("signing_secret", SIGNING)])).await.unwrap();
    let other = |settings: &[(&str, &str)]| v1::PutOAuthAppRequest {
        client_id: "another-app".into(),
        ..with_settings(settings)
    };
    let lacking = put(&operator, other(&[])).await.unwrap_err();
    assert_eq!(refusal(&lacking), "FailedPrecondition STATE_INVALID");
    put(&operator, other(&[("signing_secret", "CANARY_of_another_app")])).await.unwrap();

    let unknown = put(&operator, with_settings(&[("signing_secrt", "CANARY")])).await.unwrap_err();
    assert_eq!(refusal(&unknown), "InvalidArgument FIELDS_INVALID");
    assert!(unknown.message().contains("application_id, signing_secret"), "{unknown:?}");
    assert!(!format!("{unknown:?}").contains("CANARY"));
    assert!(!unknown.message().contains("secrt"));
    let none = v1::PutOAuthAppRequest { provider: "generic".into(), ..with_settings(&[("x", "CANARY")]) };
    assert!(put(&operator, none).await.unwrap_err().message().contains("it takes none"));
}
