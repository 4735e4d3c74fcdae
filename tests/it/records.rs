//! What records say: what left the vault, and who asked for it, the vault itself included; and what an outage of the log
//! costs a caller.

use std::time::{Duration, Instant};

use credvault::proto::v1;

use crate::harness::provider::{Connected, STRICT};
use crate::harness::{POLICIES, TestVault, by_id, by_provider, generic, input, postgres_database, refusal};
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
