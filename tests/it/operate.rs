//! What operators and probes see: health, reflection, metrics, drain, limits.

use std::time::Duration;

use credvault_proto::v1;
use rustix::process::Signal;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_types::StatusExt as _;

use crate::harness::{Client, Process, VaultBuilder, by_id, by_provider, eventually, generic, get, refusal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_are_answered_on_the_operators_port_and_health_on_both() {
    let vault = VaultBuilder::sqlite().start().await;
    let admin = vault.instance.as_ref().unwrap().admin_address;
    assert_eq!(get(admin, "/livez").await.0, 200);
    eventually("readiness", || async { get(admin, "/readyz").await.0 == 200 }).await;
    assert_eq!(get(admin, "/anything").await.0, 404);
    let plain =
        tonic::transport::Endpoint::from_shared(format!("http://{admin}")).unwrap().connect().await.unwrap();
    for channel in [plain.clone(), vault.client("reader").await.channel] {
        for service in ["", "credvault.v1.VaultService"] {
            let request = HealthCheckRequest { service: service.into() };
            let status =
                HealthClient::new(channel.clone()).check(request).await.unwrap().into_inner().status();
            assert_eq!(status, ServingStatus::Serving);
        }
    }
    // The plain port has health and nothing else.
    let fetch = v1::vault_service_client::VaultServiceClient::new(plain)
        .fetch_credential(by_provider("generic"))
        .await;
    assert_eq!(fetch.unwrap_err().code(), tonic::Code::Unimplemented);
}

async fn reflects(client: &Client) -> Result<usize, tonic::Status> {
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut stream = ServerReflectionClient::new(client.channel.clone())
        .server_reflection_info(tokio_stream::iter([list]))
        .await?
        .into_inner();
    let answer = stream.message().await?.unwrap();
    let answer = answer.message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    Ok(list.service.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflection_answers_where_it_is_switched_on() {
    let vault = VaultBuilder::sqlite().start().await;
    assert!(reflects(&vault.client("reader").await).await.unwrap() >= 5);
    let closed =
        VaultBuilder::sqlite().settings(|settings, _| settings.server.reflection = false).start().await;
    assert_eq!(
        reflects(&closed.client("reader").await).await.unwrap_err().code(),
        tonic::Code::Unimplemented
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_makes_it_unready_and_comes_back() {
    let vault = VaultBuilder::postgres().start().await;
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    let admin = vault.instance.as_ref().unwrap().admin_address;
    eventually("readiness", || async { get(admin, "/readyz").await.0 == 200 }).await;
    let database = vault.database.clone().unwrap();
    let name = database.url.rsplit('/').next().unwrap().to_owned();
    let elsewhere = database.migrate_url.replace(&format!("/{name}"), "/postgres");
    let sql = async |sql: String| {
        use sea_orm::{ConnectionTrait as _, Database};
        let db = Database::connect(&elsewhere).await.unwrap();
        db.execute_unprepared(&sql).await.unwrap();
        db.close().await.unwrap();
    };
    sql(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await;
    sql(format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")).await;
    eventually("unreadiness", || async { get(admin, "/readyz").await.0 == 503 }).await;
    let status = app.fetch(by_id(&id)).await.unwrap_err();
    assert_eq!(refusal(&status), "Unavailable STORE_UNAVAILABLE");
    assert!(status.get_error_details().retry_info().is_some());
    assert_eq!(get(admin, "/livez").await.0, 200, "a database that is away is no reason to restart");
    sql(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")).await;
    eventually("readiness again", || async { get(admin, "/readyz").await.0 == 200 }).await;
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_in_progress_finish_after_sigterm() {
    let vault = VaultBuilder::sqlite().prepare().await;
    let patient = ["limits.calls=4096", "store.acquire_timeout_ms=20000", "store.audit_timeout_ms=20000"];
    let process = Process::serve(vault.folder.path(), &patient).unwrap();
    let leaf = |service: &str| vault.authority.service(&format!("spiffe://test.local/{service}"));
    let operator =
        Client::connect(process.address, vault.authority.pem(), Some(&leaf("operator"))).await.unwrap();
    operator
        .admin()
        .create_tenant(v1::CreateTenantRequest { tenant_id: "acme".into(), ..Default::default() })
        .await
        .unwrap();
    let app = Client::connect(process.address, vault.authority.pem(), Some(&leaf("app")))
        .await
        .unwrap()
        .acting_for("acme", None);
    // SQLite writes one after the other, so that most of these are in progress when the signal comes.
    let writes: Vec<_> = (0..100)
        .map(|i| {
            let app = app.clone();
            tokio::spawn(async move { app.create(generic(&format!("a{i}"), "CANARY")).await })
        })
        .collect();
    let list = v1::ListConnectionsRequest { page_size: 1, ..Default::default() };
    eventually("a first write", || async {
        // Its record waits behind a hundred writes, on a slow disk for too long.
        let listed = app.connections().list_connections(list.clone()).await;
        listed.is_ok_and(|listed| !listed.into_inner().connections.is_empty())
    })
    .await;
    process.signal(Signal::TERM);
    let mut served = 0_i64;
    for write in writes {
        match write.await.unwrap() {
            Ok(_) => served += 1,
            // What had not arrived was not begun.
            Err(status) => assert!(!format!("{status:?}").contains("STORE_UNAVAILABLE"), "{status:?}"),
        }
    }
    let (well, log) = process.wait();
    assert!(well, "{log}");
    assert_eq!(vault.count("connections").await, served, "each one that was written was acknowledged");
    assert!(served > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_kept() {
    let vault = VaultBuilder::sqlite()
        .settings(|settings, _| {
            settings.limits.rate_per_second = 5;
            settings.limits.rate_burst = 10;
        })
        .start()
        .await;
    let app = vault.app("acme").await;
    // A batch counts as many calls as it has fetches.
    let batch = |count| v1::BatchFetchCredentialsRequest { requests: vec![by_provider("generic"); count] };
    assert!(app.vault().batch_fetch_credentials(batch(8)).await.is_ok());
    let status = app.vault().batch_fetch_credentials(batch(8)).await.unwrap_err();
    assert_eq!(refusal(&status), "ResourceExhausted RATE_LIMITED");
    let details = status.get_error_details();
    assert!(details.quota_failure().is_some());
    assert!(details.retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);
    // Another tenant, and another service, have a share of their own.
    assert!(vault.app("other").await.vault().batch_fetch_credentials(batch(8)).await.is_ok());

    // A batch above the burst would never pass, so the refusal does not ask the caller to wait.
    let status = vault.app("third").await.vault().batch_fetch_credentials(batch(11)).await.unwrap_err();
    assert_eq!(refusal(&status), "InvalidArgument FIELDS_INVALID");
    assert!(status.message().contains("at most 10"), "{}", status.message());

    // Headers beyond 16 KiB never reach a handler; the largest token does.
    let other = vault.app("fourth").await;
    let not_found =
        other.with("x-padding", &"x".repeat(10_000)).fetch(by_provider("generic")).await.unwrap_err();
    assert_eq!(refusal(&not_found), "NotFound CREDENTIAL_NOT_CONFIGURED");
    let padded =
        other.with("x-padding", &"x".repeat(20_000)).fetch(by_provider("generic")).await.unwrap_err();
    assert!(padded.get_error_details().error_info().is_none(), "{padded:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_takes_too_long_is_told_so_and_not_lost() {
    let builder =
        VaultBuilder::postgres().settings(|settings, _| settings.limits.default_deadline_seconds = 1);
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    let blocking = vault.blocking("LOCK TABLE connections IN ACCESS EXCLUSIVE MODE").await;
    let status = app.put(&id, "CANARY late").await.unwrap_err();
    assert_eq!(refusal(&status), "DeadlineExceeded DEADLINE_EXCEEDED");
    assert!(status.message().contains("request_id"), "{}", status.message());
    blocking.rollback().await.unwrap();
    // The work went on and ended by itself.
    eventually("the late write", || async {
        app.token(by_id(&id)).await.is_ok_and(|token| token == "CANARY late")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_beyond_the_limit_are_shed_at_once() {
    let vault = VaultBuilder::sqlite().settings(|settings, _| settings.limits.calls = 1).start().await;
    let app = vault.app("acme").await;
    let calls: Vec<_> = (0..64)
        .map(|i| {
            let app = app.clone();
            tokio::spawn(async move { app.create(generic(&format!("a{i}"), "CANARY")).await })
        })
        .collect();
    let mut served = 0;
    let mut shed = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => served += 1,
            Err(status) => {
                assert_eq!(refusal(&status), "ResourceExhausted RATE_LIMITED");
                shed += 1;
            }
        }
    }
    assert!(served > 0, "{served} served, {shed} shed");
    assert!(shed > 0, "{served} served, {shed} shed");
    assert!(app.create(generic("after", "CANARY")).await.is_ok(), "a call's share is given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_connection_is_asked_to_reconnect_and_loses_no_call() {
    let vault = VaultBuilder::sqlite()
        .settings(|settings, _| settings.limits.max_connection_age_seconds = 1)
        .start()
        .await;
    let app = vault.app("acme").await;
    app.create(generic("main", "CANARY")).await.unwrap();
    let end = tokio::time::Instant::now() + Duration::from_millis(3500);
    let mut served = 0;
    let mut again = 0;
    while tokio::time::Instant::now() < end {
        match app.fetch(by_provider("generic")).await {
            Ok(_) => served += 1,
            // A call that had not been sent when the connection closed: the one thing that a client is to repeat. Its
            // library says so in one of two ways.
            Err(status) if status.code() == tonic::Code::Cancelled => again += 1,
            Err(status) if format!("{status:?}").contains("GoAway(b\"\", NO_ERROR, Remote)") => again += 1,
            Err(status) => panic!("{status:?}"),
        }
    }
    let calls = vault.metrics().await.lines().any(|line| line.contains("code=\"CANCELLED\""));
    assert!(served > 100, "{served} served, {again} to be repeated");
    assert!(again <= 4, "{served} served, {again} to be repeated");
    assert!(!calls, "{served} served, {again} to be repeated");
}
