//! The way of a credential: stored, fetched, replaced, rolled back, refused.

use std::time::Duration;

use credvault_proto::v1;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::provider::{STRICT, connection_request};
use crate::harness::{VaultBuilder, by_id, by_provider, generic, input, owned_by, refusal};
use crate::on_both;

on_both![
    a_credential_goes_in_and_comes_out_ready_for_use,
    a_lookup_goes_from_user_to_tenant_to_platform,
    versions_are_listed_rolled_back_to_and_destroyed,
    only_where_tokens_rotate_a_rollback_is_refused,
    a_credential_with_a_ttl_is_served_until_then,
    a_batch_has_an_outcome_for_each,
    an_item_of_a_batch_is_refused_as_its_own_call_is,
    a_disabled_connection_and_a_suspended_tenant_are_not_served,
];

async fn a_credential_goes_in_and_comes_out_ready_for_use(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let config = [("shop".to_owned(), prost_types::Value::from("acme.myshopify.com"))];
    let shop = app
        .create(v1::CreateConnectionRequest {
            provider: "shopify".into(),
            account_name: "eu".into(),
            auth_mode: "access_token".into(),
            config: Some(prost_types::Struct { fields: config.into() }),
            credential: Some(input(&[
                ("access_token", "shpat_CANARY0123456789"),
                ("webhook_secret", "CANARYhook"),
            ])),
            labels: [("team".to_owned(), "orders".to_owned())].into(),
            ..Default::default()
        })
        .await
        .unwrap();
    assert_eq!(shop.state(), v1::ConnectionState::Connected);
    assert_eq!(shop.current_version, 1);
    assert!(shop.default);
    assert_eq!(shop.hints["access_token"], "shpa…6789");

    let fetched = app.fetch(by_id(&shop.id)).await.unwrap();
    assert_eq!(fetched.fields["access_token"], "shpat_CANARY0123456789");
    assert!(!fetched.fields.contains_key("webhook_secret"), "a webhook secret stays inside");
    let auth = fetched.request_auth.unwrap();
    assert_eq!(auth.base_url, "https://acme.myshopify.com/admin/api/2026-10");
    assert_eq!(auth.headers["X-Shopify-Access-Token"], "shpat_CANARY0123456789");
    assert_eq!(fetched.cache_duration.unwrap().seconds, 60);

    // A service with FetchRefreshToken gets everything, and needs the purpose that its policy asks for.
    let sync = vault.client("sync").await.acting_for("acme", None);
    let denied = sync.fetch(by_id(&shop.id)).await.unwrap_err();
    assert_eq!(refusal(&denied), "PermissionDenied POLICY_DENIED");
    let request = v1::FetchCredentialRequest { purpose: "order sync".into(), ..by_id(&shop.id) };
    assert_eq!(sync.fetch(request).await.unwrap().fields["webhook_secret"], "CANARYhook");
    let events = app.events().await;
    let event = events.iter().find(|event| event.purpose == "order sync").unwrap();
    assert_eq!(event.action, "FetchCredential");
    assert_eq!(event.version, 1);
    assert_eq!(event.policies, ["sync-fetches-shopify", "sync"]);
}

async fn a_lookup_goes_from_user_to_tenant_to_platform(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let operator = vault.client("operator").await;
    let missing = app.fetch(by_provider("generic")).await.unwrap_err();
    assert_eq!(refusal(&missing), "NotFound CREDENTIAL_NOT_CONFIGURED");

    let mut platform = generic("shared", "CANARY platform");
    platform.owner = None;
    let shared = operator.create(platform).await.unwrap();
    assert_eq!(shared.owner.unwrap().kind(), v1::OwnerKind::Platform);
    assert_eq!(app.token(by_provider("generic")).await.unwrap(), "CANARY platform");

    app.create(generic("main", "CANARY tenant")).await.unwrap();
    assert_eq!(app.token(by_provider("generic")).await.unwrap(), "CANARY tenant");

    app.create(owned_by("u1", generic("mine", "CANARY user"))).await.unwrap();
    assert_eq!(app.token(by_provider("generic")).await.unwrap(), "CANARY tenant");
    let of_user = v1::FetchCredentialRequest { user_id: "u1".into(), ..by_provider("generic") };
    let fetched = app.fetch(of_user).await.unwrap();
    assert_eq!(fetched.fields["token"], "CANARY user");
    assert_eq!(fetched.owner.unwrap().user_id, "u1");
    // The verified user of the call counts, too.
    let user = app.acting_for("acme", Some("u1"));
    assert_eq!(user.token(by_provider("generic")).await.unwrap(), "CANARY user");

    // A user whom policy keeps to himself does not reach the others.
    let portal = vault.client("portal").await.acting_for("acme", Some("u2"));
    assert_eq!(portal.token(by_provider("generic")).await.unwrap(), "CANARY tenant");
    let other = v1::FetchCredentialRequest { user_id: "u1".into(), ..by_provider("generic") };
    assert_eq!(refusal(&portal.fetch(other).await.unwrap_err()), "PermissionDenied POLICY_DENIED");
    // Without an owner in the request, what a user creates is the user's.
    let mut own = generic("own", "CANARY own");
    own.owner = None;
    assert_eq!(portal.create(own).await.unwrap().owner.unwrap().user_id, "u2");
}

async fn versions_are_listed_rolled_back_to_and_destroyed(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY one")).await.unwrap().id;
    app.put(&id, "CANARY two").await.unwrap();
    let stale = v1::PutCredentialRequest {
        connection_id: id.clone(),
        credential: Some(input(&[("token", "CANARY stale")])),
        expected_version: Some(1),
        ..Default::default()
    };
    assert_eq!(refusal(&app.vault().put_credential(stale).await.unwrap_err()), "Aborted VERSION_MISMATCH");
    let rollback =
        v1::RollbackCredentialRequest { connection_id: id.clone(), version: 1, ..Default::default() };
    let version = app.vault().rollback_credential(rollback).await.unwrap().into_inner().version.unwrap();
    assert_eq!(version.version, 3);
    assert_eq!(version.rolled_back_from, 1);
    assert!(version.current);
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY one");
    let second = v1::FetchCredentialRequest { version: 2, ..by_id(&id) };
    assert_eq!(app.token(second.clone()).await.unwrap(), "CANARY two");

    let destroy =
        v1::DestroyCredentialVersionRequest { connection_id: id.clone(), version: 2, ..Default::default() };
    let destroyed =
        app.vault().destroy_credential_version(destroy).await.unwrap().into_inner().version.unwrap();
    assert_eq!(destroyed.state(), v1::CredentialVersionState::Destroyed);
    assert_eq!(refusal(&app.fetch(second).await.unwrap_err()), "NotFound VERSION_NOT_FOUND");
    let mut list =
        v1::ListCredentialVersionsRequest { connection_id: id.clone(), page_size: 2, ..Default::default() };
    let mut versions = Vec::new();
    loop {
        let page = app.vault().list_credential_versions(list.clone()).await.unwrap().into_inner();
        versions.extend(page.versions.iter().map(|version| (version.version, version.current)));
        if page.next_page_token.is_empty() {
            break;
        }
        list.page_token = page.next_page_token;
    }
    assert_eq!(versions, [(3, true), (2, false), (1, false)]);
}

/// A provider whose tokens come from a consent and are never refreshed.
const LASTING: &str = "id = 'lasting'\ndisplay_name = 'Lasting'\n[modes.oauth2_code]\ndisplay_name = 'OAuth'\n\
    kind = 'oauth2_code'\nsecret.access_token = { title = 'Access token', required = true }\n\
    [modes.oauth2_code.authorize]\nurl = 'https://lasting.example/authorize'\nquery = { state = '{flow.state}' }\n\
    [modes.oauth2_code.exchange]\nurl = 'https://lasting.example/token'\nform = { code = '{flow.code}' }\n";

async fn only_where_tokens_rotate_a_rollback_is_refused(builder: VaultBuilder) {
    let connected = builder.provider_file("lasting", LASTING).start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let rolled_back = async |provider: &str| {
        let request = v1::CreateConnectionRequest {
            provider: provider.into(),
            credential: Some(input(&[("access_token", "CANARY one")])),
            ..connection_request(provider)
        };
        let connection_id = app.create(request).await.unwrap().id;
        let put = v1::PutCredentialRequest {
            connection_id: connection_id.clone(),
            credential: Some(input(&[("access_token", "CANARY two")])),
            ..Default::default()
        };
        app.vault().put_credential(put).await.unwrap();
        let back = v1::RollbackCredentialRequest { connection_id, version: 1, ..Default::default() };
        app.vault().rollback_credential(back).await
    };
    let version = rolled_back("lasting").await.unwrap().into_inner().version.unwrap();
    assert_eq!((version.version, version.rolled_back_from), (3, 1));
    let spent = rolled_back("simulator").await.unwrap_err();
    assert_eq!(refusal(&spent), "FailedPrecondition STATE_INVALID");
    assert!(spent.message().contains("tokens rotate"), "{spent:?}");
}

async fn a_credential_with_a_ttl_is_served_until_then(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let mut request = generic("main", "unused");
    let ttl = prost_types::Duration { seconds: 30, nanos: 0 };
    request.credential = Some(v1::CredentialInput {
        expiry: Some(v1::credential_input::Expiry::Ttl(ttl)),
        ..input(&[("token", "CANARY short")])
    });
    let id = app.create(request).await.unwrap().id;
    let fetched = app.fetch(by_id(&id)).await.unwrap();
    assert_eq!(fetched.cache_duration.unwrap().seconds, 30, "not longer than it lives");
    vault.clock.advance(Duration::from_secs(30));
    let expired = app.fetch(by_id(&id)).await.unwrap_err();
    assert_eq!(refusal(&expired), "FailedPrecondition CREDENTIAL_EXPIRED");
}

async fn a_batch_has_an_outcome_for_each(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let mut requests = Vec::new();
    for i in 0..20 {
        let id = app.create(generic(&format!("a{i}"), &format!("CANARY {i}"))).await.unwrap().id;
        requests.push(by_id(&id));
    }
    requests.insert(3, by_id("0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e"));
    requests.insert(7, by_provider("nobody"));
    requests.insert(9, v1::FetchCredentialRequest::default());
    let batch = v1::BatchFetchCredentialsRequest { requests: requests.clone() };
    let results = app.vault().batch_fetch_credentials(batch).await.unwrap().into_inner().results;
    assert_eq!(results.len(), requests.len());
    let mut values = Vec::new();
    let mut reasons = Vec::new();
    for result in results {
        match result.outcome.unwrap() {
            v1::batch_fetch_credentials_result::Outcome::Credential(credential) => {
                values.push(credential.fields["token"].clone())
            }
            v1::batch_fetch_credentials_result::Outcome::Error(error) => {
                reasons.push((error.code, error.reason))
            }
        }
    }
    assert_eq!(values, (0..20).map(|i| format!("CANARY {i}")).collect::<Vec<_>>());
    let expected = [
        (Code::NotFound, "CONNECTION_NOT_FOUND"),
        (Code::NotFound, "PROVIDER_UNKNOWN"),
        (Code::InvalidArgument, "FIELDS_INVALID"),
    ];
    assert_eq!(reasons, expected.map(|(code, reason)| (i32::from(code), reason.to_owned())));
    // Each refusal of it is counted, as if it had been a call.
    let counted = r#"credvault_refusals_total{action="FetchCredential",reason="CONNECTION_NOT_FOUND"} 1"#;
    assert!(vault.metrics().await.contains(counted), "{}", vault.metrics().await);
    // Each fetch of it is on record by itself.
    let events = app.events().await;
    assert_eq!(events.iter().filter(|event| event.action == "FetchCredential").count(), requests.len());
}

async fn an_item_of_a_batch_is_refused_as_its_own_call_is(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    let requests = [by_id("0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e"), v1::FetchCredentialRequest::default()];
    let served = by_id(&id);
    let batch =
        v1::BatchFetchCredentialsRequest { requests: requests.iter().cloned().chain([served]).collect() };
    let answer = app.vault().batch_fetch_credentials(batch).await.unwrap();
    let trace = answer.metadata().get("x-trace-id").unwrap().to_str().unwrap().to_owned();
    let results = answer.into_inner().results;
    assert!(results[2].status.is_none());
    for (request, result) in requests.into_iter().zip(results) {
        let alone = app.fetch(request).await.unwrap_err();
        let status = result.status.unwrap();
        let item = Status::with_details(status.code.into(), &status.message, status.encode_to_vec().into());
        assert_eq!((refusal(&item), item.message()), (refusal(&alone), alone.message()));
        assert_eq!(item.get_details_error_info().unwrap().metadata["trace_id"], trace);
        let fields = |status: &Status| {
            let wrong = status.get_details_bad_request().map(|wrong| wrong.field_violations);
            wrong.unwrap_or_default().into_iter().map(|wrong| wrong.field).collect::<Vec<_>>()
        };
        assert_eq!(fields(&item), fields(&alone));
    }
}

async fn a_disabled_connection_and_a_suspended_tenant_are_not_served(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let connection = app.create(generic("main", "CANARY")).await.unwrap();
    let update = |enabled: bool, etag: &str| v1::UpdateConnectionRequest {
        connection: Some(v1::Connection {
            id: connection.id.clone(),
            enabled,
            etag: etag.to_owned(),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["enabled".into()] }),
        request_id: String::new(),
    };
    let updated =
        app.connections().update_connection(update(false, &connection.etag)).await.unwrap().into_inner();
    assert_ne!(updated.connection.unwrap().etag, connection.etag);
    assert_eq!(
        refusal(&app.fetch(by_id(&connection.id)).await.unwrap_err()),
        "FailedPrecondition CONNECTION_DISABLED"
    );
    let stale = app.connections().update_connection(update(true, &connection.etag)).await.unwrap_err();
    assert_eq!(refusal(&stale), "Aborted ETAG_MISMATCH");
    app.connections().update_connection(update(true, "")).await.unwrap();

    let operator = vault.client("operator").await;
    let suspend = v1::SuspendTenantRequest { tenant_id: "acme".into(), ..Default::default() };
    operator.admin().suspend_tenant(suspend).await.unwrap();
    let refused = app.fetch(by_id(&connection.id)).await.unwrap_err();
    assert_eq!(refusal(&refused), "FailedPrecondition TENANT_SUSPENDED");
    let listed = app.connections().list_connections(v1::ListConnectionsRequest::default()).await.unwrap_err();
    assert_eq!(refusal(&listed), "FailedPrecondition TENANT_SUSPENDED");
    let resume = v1::ResumeTenantRequest { tenant_id: "acme".into(), ..Default::default() };
    operator.admin().resume_tenant(resume).await.unwrap();
    assert_eq!(app.token(by_id(&connection.id)).await.unwrap(), "CANARY");
}
