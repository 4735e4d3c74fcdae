//! "Production Deployment" and "Troubleshooting": what is checked before, and what each trouble says of itself.

use std::collections::BTreeMap;

use credvault_proto::v1;
use credvault_simulator::{CLIENT_ID, CLIENT_SECRET};

use super::{
    REDIRECTS, SCOPES, SESSION, connect, consent, get, organisation, refreshed, register, started, user,
};
use crate::harness::browser::Browser;
use crate::harness::provider::{Connected, begin, state};
use crate::harness::receiver::Receiver;
use crate::harness::{
    Client, Process, VaultBuilder, by_id, by_provider, eventually, get as get_http, refusal,
};
use crate::on_both;

on_both![the_checklist_of_a_deployment_holds, each_trouble_says_what_to_do];

/// "Production Deployment": "Pre-deployment Checklist" and "Deployment Steps".
async fn the_checklist_of_a_deployment_holds(builder: VaultBuilder) {
    let connected = started(builder).await;
    let vault = &connected.vault;
    let operator = vault.client("operator").await;
    // "OAuth app created in Kustomer with production URLs"; "Update Kustomer OAuth app with production URLs".
    register(&connected, REDIRECTS[1]).await;
    register(&connected, REDIRECTS[0]).await;
    let apps = operator.admin().list_o_auth_apps(v1::ListOAuthAppsRequest::default()).await.unwrap();
    let apps = apps.into_inner().apps;
    let app = apps.iter().find(|app| app.provider == "kustomer").unwrap();
    assert_eq!((app.redirect_uri.as_str(), app.default_scopes.len()), (REDIRECTS[0], SCOPES.len()));
    // "Environment variables configured".
    let file = vault.folder.path().join("credvault.toml").display().to_string();
    let checked = Process::run(vault.folder.path(), &["config", "check", "--config", &file]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    // "Database schema deployed", "Deploy database schema": `credvault migrate`, without which no vault is ready.
    // "API endpoints deployed and tested", "Deploy API endpoints".
    let admin = vault.instance.as_ref().unwrap().admin_address;
    eventually("readiness", || async { get_http(admin, "/readyz").await.0 == 200 }).await;
    // "OAuth callback URL working": it answers, and does nothing for a browser that no consent has sent.
    let page = Browser::of(&connected).get("/oauth/callback/kustomer", &BTreeMap::new()).await;
    assert!(page.status >= 400 && !page.body.contains("data-"), "{}", page.body);
    // "SSL certificate installed (required for OAuth)": on both sides. Who shows none is not served.
    let served = match Client::connect(vault.address(), vault.authority.pem(), None).await {
        Ok(bare) => bare.acting_for("acme", None).fetch(by_provider("kustomer")).await.is_ok(),
        Err(_) => false,
    };
    assert!(!served);
    errors_have_somewhere_to_go(&operator).await;
    // "Test OAuth flow end-to-end": "Use different Kustomer accounts to verify multi-user support".
    for (name, account) in [("ann", "Acme"), ("ben", "Beta")] {
        let user = user(&connected, name).await;
        connect(&user, account).await;
        let credential = user.fetch(by_provider("kustomer")).await.unwrap();
        assert_eq!(credential.account_name, account);
        assert!(connected.accepts(&credential).await);
    }
}

/// The item "Error monitoring configured" of the checklist.
async fn errors_have_somewhere_to_go(operator: &Client) {
    let receiver = Receiver::start().await;
    let put = v1::PutEventEndpointRequest { url: receiver.url.clone(), ..Default::default() };
    let put = operator.admin().put_event_endpoint(put).await.unwrap().into_inner();
    let endpoint_id = put.endpoint.unwrap().id;
    let test = v1::TestEventEndpointRequest { endpoint_id, ..Default::default() };
    assert!(operator.admin().test_event_endpoint(test).await.unwrap().into_inner().delivered);
    assert_eq!(receiver.types(), ["endpoint.test"]);
}

/// The "Common Issues" of the section "Troubleshooting".
async fn each_trouble_says_what_to_do(builder: VaultBuilder) {
    let connected = started(builder).await;
    let ann = user(&connected, "ann").await;
    register(&connected, REDIRECTS[0]).await;
    let id = ann.create(organisation("Acme")).await.unwrap().id;
    the_redirect_uri_is_another(&connected, &ann, &id).await;
    the_app_is_not_accepted(&connected, &ann, &id).await;
    consent(&ann, &id, "Acme").await.unwrap();
    a_page_of_another_origin_is_refused(&ann, &id).await;
    the_grant_has_ended(&connected, &ann, &id).await;
    a_trace_leads_to_each_call(&connected).await;
}

/// "OAuth Redirect Mismatch": `redirect_uri_mismatch`, "including trailing slashes".
async fn the_redirect_uri_is_another(connected: &Connected, ann: &Client, id: &str) {
    // The answer says what is sent, so that the two can be compared.
    let with_slash = format!("{}/", REDIRECTS[0]);
    assert_eq!(register(connected, &with_slash).await.redirect_uri, with_slash);
    let begun = begin(ann, id, SESSION).await;
    let page = reqwest::get(&begun.authorization_url).await.unwrap();
    assert_eq!(page.status().as_u16(), 400);
    assert!(page.text().await.unwrap().contains("redirect_uri"));
    assert_eq!(state(ann, id).await.0, v1::ConnectionState::Connecting);
    assert_eq!(register(connected, REDIRECTS[0]).await.redirect_uri, REDIRECTS[0]);
}

/// "Invalid Client": `invalid_client`, "Verify Client ID and Client Secret are correct".
async fn the_app_is_not_accepted(connected: &Connected, ann: &Client, id: &str) {
    let operator = connected.vault.client("operator").await;
    let with_secret = async |client_secret: &str| {
        let request = v1::PutOAuthAppRequest {
            provider: "kustomer".into(),
            client_id: CLIENT_ID.into(),
            client_secret: client_secret.to_owned(),
            redirect_uri: REDIRECTS[0].into(),
            ..Default::default()
        };
        operator.admin().put_o_auth_app(request).await.unwrap();
    };
    with_secret("CANARY-of-another-app").await;
    let refused = consent(ann, id, "Acme").await.unwrap_err();
    assert_eq!(refusal(&refused), "Unavailable PROVIDER_UNAVAILABLE");
    assert!(refused.message().contains("PutOAuthApp"), "{refused:?}");
    assert!(!format!("{refused:?}").contains("CANARY"), "{refused:?}");
    with_secret(CLIENT_SECRET).await;
}

/// "CORS Issues": `CORS policy blocked`, "Ensure your domain is whitelisted", in the vault's own setting.
async fn a_page_of_another_origin_is_refused(ann: &Client, id: &str) {
    let request = v1::BeginAuthorizationRequest {
        connection_id: id.to_owned(),
        return_origin: "https://evil.example".into(),
        ..Default::default()
    };
    let refused = ann.connections().begin_authorization(request).await.unwrap_err();
    assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
    assert!(refused.message().contains("public.origins"), "{refused:?}");
}

/// "Token Refresh Failed": "Check if refresh token is valid and hasn't been revoked".
async fn the_grant_has_ended(connected: &Connected, ann: &Client, id: &str) {
    connected.provider.revoke_account("Acme");
    let ended = refreshed(ann, id).await.unwrap_err();
    assert_eq!(refusal(&ended), "FailedPrecondition REAUTHORIZATION_REQUIRED");
    let health = get(ann, id).await.health.unwrap();
    assert_eq!(health.state(), v1::HealthState::Error);
    let error = health.last_error.unwrap();
    assert_eq!(error.provider_code, "invalid_grant");
    assert!(error.customer_text.contains("connect your account again"), "{error:?}");
    // What it says helps.
    consent(ann, id, "Acme").await.unwrap();
    assert!(connected.accepts(&ann.fetch(by_id(id)).await.unwrap()).await);
    assert_eq!(get(ann, id).await.health.unwrap().state(), v1::HealthState::Ok);
}

/// "Debug Mode": always on, for each call has a trace and a reason on record, and no token.
async fn a_trace_leads_to_each_call(connected: &Connected) {
    let events = connected.vault.client("app").await.acting_for("acme", None).events().await;
    let reasons = |reason: &str| events.iter().any(|event| event.reason == reason);
    assert!(reasons("REAUTHORIZATION_REQUIRED") && reasons("FIELDS_INVALID"));
    assert!(events.iter().all(|event| event.trace_id.len() == 32));
    let recorded = format!("{events:?}");
    assert!(!recorded.contains("sim_") && !recorded.contains("CANARY"));
}
