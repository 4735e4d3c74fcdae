//! What records say: what left the vault, and who asked for it, the vault itself included; and what an outage of the log
//! costs a caller.

use std::time::{Duration, Instant};

use credvault::proto::v1;

use crate::harness::provider::{Connected, STRICT};
use crate::harness::{
    POLICIES, TestVault, by_id, by_provider, generic, input, owned_by, postgres_database, refusal,
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

on_both! {
    async fn what_is_kept_inside_otherwise_is_named_when_it_leaves(vault: TestVault) {
        let mut vault = vault;
        vault.stop().await;
        // The tenant's secrets are for this service, the platform's are not.
        vault.write("policies.cedar", &format!("{POLICIES}\n{}", r#"
            @id("fetcher") permit (principal == Service::"spiffe://test.local/fetcher",
                action in [Action::"AssertTenant", Action::"FetchCredential", Action::"BatchFetchCredentials"], resource);
            @id("all-of-acme") permit (principal == Service::"spiffe://test.local/fetcher",
                action == Action::"FetchRefreshToken", resource == Tenant::"acme");
        "#));
        vault.start().await;
        let app = vault.app("acme").await;
        let fetcher = vault.client("fetcher").await.acting_for("acme", None);
        vault.client("operator").await.create(shop(None)).await.unwrap();
        let newest = async || app.events().await.into_iter().find(|event| event.action == "FetchCredential").unwrap();

        // The platform's, by a service that may have all of the tenant's.
        let credential = fetcher.fetch(by_provider("shopify")).await.unwrap();
        assert_eq!(credential.owner.unwrap().kind(), v1::OwnerKind::Platform);
        assert!(!credential.fields.contains_key("webhook_secret"));
        let record = newest().await;
        assert_eq!((record.released_fields, record.policies), (vec![], vec!["fetcher".to_owned()]));

        let tenant = v1::Owner { kind: v1::OwnerKind::Tenant.into(), user_id: String::new() };
        let id = app.create(shop(Some(tenant))).await.unwrap().id;
        let released = vec!["webhook_secret".to_owned()];
        let policies = vec!["fetcher".to_owned(), "all-of-acme".to_owned()];
        assert_eq!(fetcher.fetch(by_id(&id)).await.unwrap().fields["webhook_secret"], "CANARYhook");
        let record = newest().await;
        assert_eq!((record.released_fields, record.policies), (released.clone(), policies.clone()));
        let batch = v1::BatchFetchCredentialsRequest { requests: vec![by_id(&id)] };
        fetcher.vault().batch_fetch_credentials(batch).await.unwrap();
        let record = newest().await;
        assert_eq!((record.released_fields, record.policies), (released, policies));
        // Without the permission, it stays inside and is on no record.
        assert!(!app.fetch(by_id(&id)).await.unwrap().fields.contains_key("webhook_secret"));
        assert_eq!(newest().await.released_fields, Vec::<String>::new());
    }

    async fn an_apps_secret_leaves_with_the_permission_in_the_apps_space_only(vault: TestVault) {
        const CARRIER: &str = "id = 'carrier'\ndisplay_name = 'Carrier'\n[modes.key]\ndisplay_name = 'Key'\nkind = 'static'\n\
            secret.key = { title = 'Key', required = true }\n[modes.key.request]\nheaders = { X-Key = '{secret.key}' }\n\
            basic = { user = '{app.client_id}', password = '{app.client_secret}' }\n";
        let mut vault = vault;
        vault.stop().await;
        let folder = vault.folder.path().join("catalog");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("carrier.toml"), CARRIER).unwrap();
        vault.settings.catalog.folder = Some(folder);
        vault.write("policies.cedar", &format!("{POLICIES}\n{}", r#"
            @id("fetchers") permit (principal, action in [Action::"AssertTenant", Action::"FetchCredential",
                Action::"BatchFetchCredentials"], resource) when { principal.path like "/fetcher*" };
            @id("of-the-platform") permit (principal == Service::"spiffe://test.local/fetcher-2",
                action == Action::"FetchRefreshToken", resource == Platform::"platform")
            when { context.provider == "carrier" && context.owner == "platform" };
        "#));
        vault.start().await;
        let (app, operator) = (vault.app("acme").await, vault.client("operator").await);
        let store = async |tenant: &str| {
            let put = v1::PutOAuthAppRequest {
                tenant_id: tenant.into(),
                provider: "carrier".into(),
                client_id: "carrier-app".into(),
                client_secret: "CANARY-of-the-app".into(),
                redirect_uri: "https://app.example.com/back".into(),
                ..Default::default()
            };
            operator.admin().put_o_auth_app(put).await.unwrap();
        };
        store("").await;
        let tenant = v1::Owner { kind: v1::OwnerKind::Tenant.into(), user_id: String::new() };
        let create = v1::CreateConnectionRequest {
            owner: Some(tenant),
            provider: "carrier".into(),
            credential: Some(input(&[("key", "CANARY-key")])),
            ..Default::default()
        };
        let id = app.create(create).await.unwrap().id;
        let newest = async || app.events().await.into_iter().find(|event| event.action == "FetchCredential").unwrap();
        let fetcher = async |name: &str| vault.client(name).await.acting_for("acme", None);
        let (without, with) = (fetcher("fetcher-1").await, fetcher("fetcher-2").await);

        let refused = without.fetch(by_id(&id)).await.unwrap_err();
        assert_eq!(refusal(&refused), "PermissionDenied POLICY_DENIED");
        let says = ["secret of the app", "FetchRefreshToken"];
        assert!(says.iter().all(|part| refused.message().contains(part)), "{refused:?}");
        assert_eq!(newest().await.released_fields, Vec::<String>::new());
        let batch = v1::BatchFetchCredentialsRequest { requests: vec![by_id(&id)] };
        let results = without.vault().batch_fetch_credentials(batch).await.unwrap().into_inner().results;
        assert!(!format!("{results:?}").contains("CANARY") && format!("{results:?}").contains("POLICY_DENIED"));

        let credential = with.fetch(by_id(&id)).await.unwrap();
        let headers = credential.request_auth.unwrap().headers;
        assert!(headers["Authorization"].starts_with("Basic ") && headers["X-Key"] == "CANARY-key");
        let record = newest().await;
        assert_eq!(record.released_fields, ["app.client_secret"]);
        assert_eq!(record.policies, ["fetchers", "of-the-platform"]);

        // The tenant's own app is not the platform's.
        store("acme").await;
        assert_eq!(refusal(&with.fetch(by_id(&id)).await.unwrap_err()), "PermissionDenied POLICY_DENIED");
    }

    async fn a_record_names_what_the_call_was_about(vault: TestVault) {
        let mut vault = vault;
        vault.stop().await;
        vault.settings.broker.allowed_networks = vec!["127.0.0.0/8".into()];
        vault.start().await;
        let (app, operator) = (vault.app("acme").await, vault.client("operator").await);
        let platforms = async |action: &str, outcome: v1::AuditOutcome| {
            let events = operator.events().await.into_iter().filter(|event| event.action == action && event.outcome() == outcome);
            events.map(|event| (event.changed_fields, event.owner_user_id)).collect::<Vec<_>>()
        };
        let named = |changed: &[&str], user: &str| (changed.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), user.to_owned());
        let denied = v1::AuditOutcome::Denied;

        // Administration that was refused says of which tenant, and of which user.
        let admin = vault.client("acme-admin").await;
        for tenant in ["t-1", "t-2"] {
            let suspend = v1::SuspendTenantRequest { tenant_id: tenant.into(), ..Default::default() };
            admin.admin().suspend_tenant(suspend).await.unwrap_err();
        }
        assert_eq!(platforms("SuspendTenant", denied).await, [named(&["tenants/t-2"], ""), named(&["tenants/t-1"], "")]);
        let delete = |tenant: &str| v1::DeleteUserRequest { tenant_id: tenant.into(), user_id: "u1".into(), ..Default::default() };
        admin.admin().delete_user(delete("t-1")).await.unwrap_err();
        assert_eq!(platforms("DeleteUser", denied).await, [named(&["tenants/t-1"], "u1")]);
        admin.admin().delete_user(delete("acme")).await.unwrap();
        let newest = async |action: &str| app.events().await.into_iter().find(|event| event.action == action).unwrap();
        assert_eq!(newest("DeleteUser").await.owner_user_id, "u1");
        // So does a service that names a tenant without the right to.
        vault.client("gateway").await.acting_for("acme", None).fetch(by_provider("generic")).await.unwrap_err();
        assert_eq!(platforms("FetchCredential", denied).await, [named(&["tenants/acme"], "")]);
        app.acting_for("nobody", None).fetch(by_provider("generic")).await.unwrap_err();
        assert_eq!(platforms("FetchCredential", v1::AuditOutcome::Failed).await, [named(&["tenants/nobody"], "")]);

        // An endpoint is named by the first request, by its repetition, and by a refusal.
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
        assert_eq!(records.map(|event| event.changed_fields).collect::<Vec<_>>(), [[name.clone()], [name.clone()]]);
        let delete = v1::DeleteEventEndpointRequest { tenant_id: "acme".into(), endpoint_id: ids[0].clone(), ..Default::default() };
        operator.admin().delete_event_endpoint(delete.clone()).await.unwrap();
        assert_eq!(newest("DeleteEventEndpoint").await.changed_fields, std::slice::from_ref(&name));
        operator.admin().delete_event_endpoint(delete).await.unwrap_err();
        assert_eq!(platforms("DeleteEventEndpoint", v1::AuditOutcome::Failed).await, [named(&["tenants/acme", &name], "")]);

        // What was refused, or found nothing, for a user is that user's: callers of what is shared do not read it.
        let shared = vault.client("portal").await.acting_for("acme", None);
        let create = shared.create(owned_by("u2", generic("a", "CANARY"))).await.unwrap_err();
        assert_eq!(refusal(&create), "PermissionDenied POLICY_DENIED");
        assert_eq!(newest("CreateConnection").await.owner_user_id, "u2");
        let nothing = v1::FetchCredentialRequest { user_id: "u3".into(), ..by_provider("generic") };
        assert_eq!(refusal(&app.fetch(nothing).await.unwrap_err()), "NotFound CREDENTIAL_NOT_CONFIGURED");
        assert_eq!(newest("FetchCredential").await.owner_user_id, "u3");
        let readable = shared.events().await;
        assert!(!readable.is_empty());
        assert!(readable.iter().all(|event| event.owner_user_id.is_empty()), "{readable:?}");
    }

    async fn the_vaults_own_work_is_recorded_by_name_and_trace(vault: TestVault) {
        let mut vault = vault;
        vault.stop().await;
        let connected = Connected::start(vault, STRICT).await;
        let app = connected.vault.app("acme").await;
        let id = connected.granted(&app, "shop-1", -60).await;
        app.fetch(by_id(&id)).await.unwrap();
        let filter = v1::AuditFilter { service: "vault".into(), ..Default::default() };
        let request = v1::ListAuditEventsRequest { filter: Some(filter), ..Default::default() };
        let records = app.audit().list_audit_events(request).await.unwrap().into_inner().events;
        assert_eq!(records.len(), 1, "{records:?}");
        assert_eq!((records[0].action.as_str(), records[0].connection_id.as_str()), ("RefreshConnection", id.as_str()));
        for record in app.events().await {
            assert!(!record.service.is_empty() && record.trace_id.len() == 32, "{record:?}");
            assert_ne!(record.trace_id, "0".repeat(32), "{record:?}");
        }
    }
}

/// What could not be recorded is not tried again within the same call, so a caller waits for the log once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_log_costs_one_time_out() {
    const PATIENCE: Duration = Duration::from_secs(4);
    let mut vault = TestVault::prepared(Some(postgres_database().await)).await;
    let milliseconds = u64::try_from(PATIENCE.as_millis()).unwrap();
    vault.settings.store.audit_timeout_ms = milliseconds;
    vault.settings.store.lock_timeout_ms = milliseconds;
    vault.start().await;
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
    let blocking = vault.blocking("LOCK TABLE audit_events IN ACCESS EXCLUSIVE MODE").await;
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
