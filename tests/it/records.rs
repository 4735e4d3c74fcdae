//! What records say: what left the vault, and who asked for it, the vault itself included; and what an outage of the log
//! costs a caller.

use std::time::{Duration, Instant};

use credvault_proto::v1;

use crate::harness::provider::STRICT;
use crate::harness::{
    Client, TestVault, VaultBuilder, by_id, by_provider, generic, input, owned_by, refusal,
};
use crate::on_both;

fn shop(owner: Option<v1::Owner>) -> v1::CreateConnectionRequest {
    let config = [("shop".to_owned(), prost_types::Value::from("acme.myshopify.com"))];
    v1::CreateConnectionRequest {
        owner,
        provider: "shopify".into(),
        auth_mode: "access_token".into(),
        config: Some(prost_types::Struct { fields: config.into() }),
        credential: Some(input(&[
            ("access_token", "shpat_CANARY0123456789"),
            ("webhook_secret", "CANARYhook"),
        ])),
        ..Default::default()
    }
}

on_both![
    what_is_kept_inside_otherwise_is_named_when_it_leaves,
    an_apps_secret_leaves_with_the_permission_in_the_apps_space_only,
    a_record_names_what_the_call_was_about,
    the_vaults_own_work_is_recorded_by_name_and_trace,
];

async fn what_is_kept_inside_otherwise_is_named_when_it_leaves(builder: VaultBuilder) {
    // The tenant's secrets are for this service, the platform's are not.
    let vault = builder.policies(r#"
            @id("fetcher") permit (principal == Service::"spiffe://test.local/fetcher",
                action in [Action::"AssertTenant", Action::"FetchCredential", Action::"BatchFetchCredentials"], resource);
            @id("all-of-acme") permit (principal == Service::"spiffe://test.local/fetcher",
                action == Action::"FetchRefreshToken", resource == Tenant::"acme");
        "#).start().await;
    let app = vault.app("acme").await;
    let fetcher = vault.client("fetcher").await.acting_for("acme", None);
    vault.client("operator").await.create(shop(None)).await.unwrap();
    let newest = async || newest(&app, "FetchCredential").await;

    // The platform's, by a service that may have all of the tenant's.
    let credential = fetcher.fetch(by_provider("shopify")).await.unwrap();
    assert_eq!(credential.owner.unwrap().kind(), v1::OwnerKind::Platform);
    assert!(!credential.fields.contains_key("webhook_secret"));
    let record = newest().await;
    assert_eq!(record.released_fields, Vec::<String>::new());
    assert_eq!(record.policies, ["fetcher"]);

    let tenant = v1::Owner { kind: v1::OwnerKind::Tenant.into(), user_id: String::new() };
    let id = app.create(shop(Some(tenant))).await.unwrap().id;
    let released = vec!["webhook_secret".to_owned()];
    let policies = vec!["fetcher".to_owned(), "all-of-acme".to_owned()];
    assert_eq!(fetcher.fetch(by_id(&id)).await.unwrap().fields["webhook_secret"], "CANARYhook");
    let record = newest().await;
    assert_eq!(record.released_fields, released.clone());
    assert_eq!(record.policies, policies.clone());
    let batch = v1::BatchFetchCredentialsRequest { requests: vec![by_id(&id)] };
    fetcher.vault().batch_fetch_credentials(batch).await.unwrap();
    let record = newest().await;
    assert_eq!(record.released_fields, released);
    assert_eq!(record.policies, policies);
    // Without the permission, it stays inside and is on no record.
    assert!(!app.fetch(by_id(&id)).await.unwrap().fields.contains_key("webhook_secret"));
    assert_eq!(newest().await.released_fields, Vec::<String>::new());
}

/// A provider that requires its app's secret in every call.
const CARRIER: &str = "id = 'carrier'\ndisplay_name = 'Carrier'\n[modes.key]\ndisplay_name = 'Key'\nkind = 'static'\n\
    secret.key = { title = 'Key', required = true }\n[modes.key.request]\nheaders = { X-Key = '{secret.key}' }\n\
    basic = { user = '{app.client_id}', password = '{app.client_secret}' }\n";

async fn an_apps_secret_leaves_with_the_permission_in_the_apps_space_only(builder: VaultBuilder) {
    let builder = builder.provider_file("carrier", CARRIER).policies(
        r#"
            @id("fetchers") permit (principal, action in [Action::"AssertTenant", Action::"FetchCredential",
                Action::"BatchFetchCredentials"], resource) when { principal.path like "/fetcher*" };
            @id("of-the-platform") permit (principal == Service::"spiffe://test.local/fetcher-2",
                action == Action::"FetchRefreshToken", resource == Platform::"platform")
            when { context.provider == "carrier" && context.owner == "platform" };
        "#,
    );
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let operator = vault.client("operator").await;
    store_app(&operator, "").await;
    let tenant = v1::Owner { kind: v1::OwnerKind::Tenant.into(), user_id: String::new() };
    let create = v1::CreateConnectionRequest {
        owner: Some(tenant),
        provider: "carrier".into(),
        credential: Some(input(&[("key", "CANARY-key")])),
        ..Default::default()
    };
    let id = app.create(create).await.unwrap().id;
    let newest = async || newest(&app, "FetchCredential").await;
    let fetcher = async |name: &str| vault.client(name).await.acting_for("acme", None);
    let without = fetcher("fetcher-1").await;
    let with = fetcher("fetcher-2").await;

    let refused = without.fetch(by_id(&id)).await.unwrap_err();
    assert_eq!(refusal(&refused), "PermissionDenied POLICY_DENIED");
    let says = ["secret of the app", "FetchRefreshToken"];
    assert!(says.iter().all(|part| refused.message().contains(part)), "{refused:?}");
    assert_eq!(newest().await.released_fields, Vec::<String>::new());
    let batch = v1::BatchFetchCredentialsRequest { requests: vec![by_id(&id)] };
    let results = without.vault().batch_fetch_credentials(batch).await.unwrap().into_inner().results;
    assert!(!format!("{results:?}").contains("CANARY"));
    assert!(format!("{results:?}").contains("POLICY_DENIED"));

    let credential = with.fetch(by_id(&id)).await.unwrap();
    let headers = credential.request_auth.unwrap().headers;
    assert!(headers["Authorization"].starts_with("Basic "));
    assert_eq!(headers["X-Key"], "CANARY-key");
    let record = newest().await;
    assert_eq!(record.released_fields, ["app.client_secret"]);
    assert_eq!(record.policies, ["fetchers", "of-the-platform"]);

    // The tenant's own app is not the platform's.
    store_app(&operator, "acme").await;
    assert_eq!(refusal(&with.fetch(by_id(&id)).await.unwrap_err()), "PermissionDenied POLICY_DENIED");
}

async fn store_app(operator: &Client, tenant: &str) {
    let put = v1::PutOAuthAppRequest {
        tenant_id: tenant.into(),
        provider: "carrier".into(),
        client_id: "carrier-app".into(),
        client_secret: "CANARY-of-the-app".into(),
        redirect_uri: "https://app.example.com/back".into(),
        ..Default::default()
    };
    operator.admin().put_o_auth_app(put).await.unwrap();
}

async fn a_record_names_what_the_call_was_about(builder: VaultBuilder) {
    let vault = builder.allow_loopback().start().await;
    let app = vault.app("acme").await;
    let operator = vault.client("operator").await;
    refused_administration_names_the_tenant(&vault, &app, &operator).await;
    every_record_of_an_endpoint_names_it(&app, &operator).await;
    refusals_for_a_user_are_that_users(&vault, &app).await;
}

/// The changed fields and the owner of the platform's records of an action.
async fn platform_records(
    operator: &Client,
    action: &str,
    outcome: v1::AuditOutcome,
) -> Vec<(Vec<String>, String)> {
    let events = operator.events().await.into_iter();
    let events = events.filter(|event| event.action == action && event.outcome() == outcome);
    events.map(|event| (event.changed_fields, event.owner_user_id)).collect()
}

fn named(changed: &[&str], user: &str) -> (Vec<String>, String) {
    (changed.iter().map(|name| (*name).to_owned()).collect(), user.to_owned())
}

async fn newest(app: &Client, action: &str) -> v1::AuditEvent {
    app.events().await.into_iter().find(|event| event.action == action).unwrap()
}

async fn refused_administration_names_the_tenant(vault: &TestVault, app: &Client, operator: &Client) {
    let denied = v1::AuditOutcome::Denied;
    let admin = vault.client("acme-admin").await;
    for tenant in ["t-1", "t-2"] {
        let suspend = v1::SuspendTenantRequest { tenant_id: tenant.into(), ..Default::default() };
        admin.admin().suspend_tenant(suspend).await.unwrap_err();
    }
    let suspensions = platform_records(operator, "SuspendTenant", denied).await;
    assert_eq!(suspensions, [named(&["tenants/t-2"], ""), named(&["tenants/t-1"], "")]);
    let delete = |tenant: &str| v1::DeleteUserRequest {
        tenant_id: tenant.into(),
        user_id: "u1".into(),
        ..Default::default()
    };
    admin.admin().delete_user(delete("t-1")).await.unwrap_err();
    let deletions = platform_records(operator, "DeleteUser", denied).await;
    assert_eq!(deletions, [named(&["tenants/t-1"], "u1")]);
    admin.admin().delete_user(delete("acme")).await.unwrap();
    assert_eq!(newest(app, "DeleteUser").await.owner_user_id, "u1");
    // So does a service that names a tenant without the right to.
    vault.client("gateway").await.acting_for("acme", None).fetch(by_provider("generic")).await.unwrap_err();
    let fetches = platform_records(operator, "FetchCredential", denied).await;
    assert_eq!(fetches, [named(&["tenants/acme"], "")]);
    app.acting_for("nobody", None).fetch(by_provider("generic")).await.unwrap_err();
    let fetches = platform_records(operator, "FetchCredential", v1::AuditOutcome::Failed).await;
    assert_eq!(fetches, [named(&["tenants/nobody"], "")]);
}

/// The first request, its repetition, and a refusal.
async fn every_record_of_an_endpoint_names_it(app: &Client, operator: &Client) {
    let put = v1::PutEventEndpointRequest {
        tenant_id: "acme".into(),
        url: "http://127.0.0.1:9/".into(),
        request_id: "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e".into(),
        ..Default::default()
    };
    let mut ids = Vec::new();
    for _ in 0..2 {
        let stored = operator.admin().put_event_endpoint(put.clone()).await.unwrap().into_inner();
        ids.push(stored.endpoint.unwrap().id);
    }
    let name = format!("event_endpoints/{}", ids[0]);
    let records = app.events().await.into_iter().filter(|event| event.action == "PutEventEndpoint");
    let changed: Vec<_> = records.map(|event| event.changed_fields).collect();
    assert_eq!(changed, [[name.clone()], [name.clone()]]);
    let delete = v1::DeleteEventEndpointRequest {
        tenant_id: "acme".into(),
        endpoint_id: ids[0].clone(),
        ..Default::default()
    };
    operator.admin().delete_event_endpoint(delete.clone()).await.unwrap();
    assert_eq!(newest(app, "DeleteEventEndpoint").await.changed_fields, std::slice::from_ref(&name));
    operator.admin().delete_event_endpoint(delete).await.unwrap_err();
    let refusals = platform_records(operator, "DeleteEventEndpoint", v1::AuditOutcome::Failed).await;
    assert_eq!(refusals, [named(&["tenants/acme", &name], "")]);
}

/// A refusal for a user, and a fetch that found nothing for one: callers of what is shared do not read these records.
async fn refusals_for_a_user_are_that_users(vault: &TestVault, app: &Client) {
    let shared = vault.client("portal").await.acting_for("acme", None);
    let create = shared.create(owned_by("u2", generic("a", "CANARY"))).await.unwrap_err();
    assert_eq!(refusal(&create), "PermissionDenied POLICY_DENIED");
    assert_eq!(newest(app, "CreateConnection").await.owner_user_id, "u2");
    let nothing = v1::FetchCredentialRequest { user_id: "u3".into(), ..by_provider("generic") };
    assert_eq!(refusal(&app.fetch(nothing).await.unwrap_err()), "NotFound CREDENTIAL_NOT_CONFIGURED");
    assert_eq!(newest(app, "FetchCredential").await.owner_user_id, "u3");
    let readable = shared.events().await;
    assert!(!readable.is_empty());
    assert!(readable.iter().all(|event| event.owner_user_id.is_empty()), "{readable:?}");
}

async fn the_vaults_own_work_is_recorded_by_name_and_trace(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let id = connected.granted(&app, "shop-1", -60).await;
    app.fetch(by_id(&id)).await.unwrap();
    let filter = v1::AuditFilter { service: "vault".into(), ..Default::default() };
    let request = v1::ListAuditEventsRequest { filter: Some(filter), ..Default::default() };
    let records = app.audit().list_audit_events(request).await.unwrap().into_inner().events;
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0].action, "RefreshConnection");
    assert_eq!(records[0].connection_id, id);
    for record in app.events().await {
        assert!(!record.service.is_empty(), "{record:?}");
        assert_eq!(record.trace_id.len(), 32, "{record:?}");
        assert_ne!(record.trace_id, "0".repeat(32), "{record:?}");
    }
}

/// What could not be recorded is not tried again within the same call, so a caller waits for the log once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_log_costs_one_time_out() {
    const PATIENCE: Duration = Duration::from_secs(4);
    let builder = VaultBuilder::postgres().settings(|settings, _| {
        let milliseconds = u64::try_from(PATIENCE.as_millis()).unwrap();
        settings.store.audit_timeout_ms = milliseconds;
        settings.store.lock_timeout_ms = milliseconds;
    });
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    let reader = vault.client("reader").await.acting_for("acme", None);
    // Another connection, so that the two changes do not wait for each other's row.
    let other = app.create(generic("other", "CANARY")).await.unwrap().id;
    let put = |id: &str, request_id: &str| v1::PutCredentialRequest {
        connection_id: id.to_owned(),
        credential: Some(input(&[("token", "CANARY new")])),
        request_id: request_id.into(),
        ..Default::default()
    };
    let blocking = vault.blocking("LOCK TABLE audit_journal IN ACCESS EXCLUSIVE MODE").await;
    let timed = async |call: futures::future::BoxFuture<'_, tonic::Status>| {
        let begun = Instant::now();
        (refusal(&call.await), begun.elapsed())
    };
    let (fetch, repeated, once, denied) = tokio::join!(
        timed(Box::pin(async { app.fetch(by_id(&id)).await.unwrap_err() })),
        timed(Box::pin(async {
            app.vault().put_credential(put(&id, "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e")).await.unwrap_err()
        })),
        timed(Box::pin(async { app.vault().put_credential(put(&other, "")).await.unwrap_err() })),
        timed(Box::pin(async { reader.fetch(by_id(&id)).await.unwrap_err() })),
    );
    blocking.rollback().await.unwrap();
    for (what, (reason, took)) in [("fetch", fetch), ("repeated", repeated), ("once", once)] {
        assert_eq!(reason, "Unavailable AUDIT_UNAVAILABLE", "{what}");
        assert!(took < 2 * PATIENCE, "{what} {took:?}");
    }
    assert_eq!(denied.0, "PermissionDenied POLICY_DENIED", "a refusal stands without its record");
    assert!(denied.1 < 2 * PATIENCE, "{:?}", denied.1);
    assert!(vault.metrics().await.contains("credvault_refusals_unrecorded_total"));
    assert_eq!(vault.count("credential_versions").await, 2, "nothing was stored without its record");
}
