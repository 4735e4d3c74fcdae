//! A planted canary shows up nowhere but where it was asked for: not in logs of the finest level, traces, metrics, errors,
//! audit records or the database.

use std::sync::{Arc, Mutex};

use credvault::proto::v1;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use rustix::process::Signal;
use tonic::{Request, Response, Status};

use crate::harness::browser::Browser;
use crate::harness::receiver::{Received, Receiver};
use crate::harness::{
    Client, Process, TestVault, by_id, by_provider, eventually, generic, get, input, postgres_database,
};

/// A collector that keeps what it gets.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// What a shop hands over.
const KEYS: [&str; 2] =
    ["ck_facade00facade00facade00facade00facade00", "cs_c0ffee11c0ffee11c0ffee11c0ffee11c0ffee11"];

/// A consent whose keys come by hand-off, and others that are refused.
async fn hand_over(app: &Client, url: &str) {
    let store_url = ("store_url".to_owned(), prost_types::Value::from("https://shop.example"));
    let shop = v1::CreateConnectionRequest {
        provider: "woocommerce".into(),
        auth_mode: "key_pair".into(),
        config: Some(prost_types::Struct { fields: [store_url].into() }),
        ..Default::default()
    };
    let id = app.create(shop).await.unwrap().id;
    let begin = v1::BeginAuthorizationRequest { connection_id: id.clone(), ..Default::default() };
    let begun = app.connections().begin_authorization(begin).await.unwrap().into_inner();
    let mut browser = Browser::at(url);
    browser.start(&begun).await;
    let post = async |state: &str, key: &str| {
        let keys = serde_json::json!({"user_id": state, "consumer_key": key, "consumer_secret": KEYS[1]});
        let request = reqwest::Client::new().post(format!("{url}/oauth/handoff/woocommerce"));
        request.body(keys.to_string()).send().await.unwrap().status().as_u16()
    };
    assert_eq!(post("unknown", KEYS[0]).await, 400);
    assert_eq!(post(&begun.state, "CANARY").await, 400);
    assert_eq!(post(&begun.state, KEYS[0]).await, 200);
    assert_eq!(post(&begun.state, KEYS[0]).await, 400);
    let back = [("success", "1"), ("user_id", &begun.state)];
    let back = back.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let page = browser.get("/oauth/callback/woocommerce", &back).await;
    assert_eq!(browser.confirm(&page).await.title(), "Connected");
    assert_eq!(app.fetch(by_id(&id)).await.unwrap().fields["consumer_key"], KEYS[0]);
}

async fn nowhere(vault: TestVault) {
    let collector = Collector::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("telemetry.otlp_endpoint=http://{}", listener.local_addr().unwrap());
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(collector.clone()));
    let collecting = tokio::spawn(server.serve_with_incoming(incoming));

    let local = "broker.allowed_networks[0]=127.0.0.0/8";
    let public = ["public.url=http://localhost:7480", "public.address=127.0.0.1:0"];
    let settings = ["telemetry.log_level=trace", &endpoint, local, public[0], public[1]];
    let process = Process::serve(vault.folder.path(), &settings).unwrap();
    let leaf = |service: &str| vault.authority.service(&format!("spiffe://test.local/{service}"));
    let client = async |service: &str| {
        Client::connect(process.address, vault.authority.pem(), Some(&leaf(service))).await.unwrap()
    };
    let operator = client("operator").await;
    operator
        .admin()
        .create_tenant(v1::CreateTenantRequest { tenant_id: "acme".into(), ..Default::default() })
        .await
        .unwrap();
    let receiver = Receiver::start().await;
    receiver.answer(&[500]);
    let subscribe = v1::PutEventEndpointRequest { url: receiver.url.clone(), ..Default::default() };
    let subscribed = operator.admin().put_event_endpoint(subscribe).await.unwrap().into_inner();
    let signing = subscribed.secret.strip_prefix("whsec_").unwrap();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let app = client("app")
        .await
        .acting_for("acme", None)
        .with("traceparent", &format!("00-{trace}-b7ad6b7169203331-01"));

    // Everything that handles plaintext, well and badly.
    let id = app.create(generic("main", "CANARY-one")).await.unwrap().id;
    app.put(&id, "CANARY-two").await.unwrap();
    let rollback =
        v1::RollbackCredentialRequest { connection_id: id.clone(), version: 1, ..Default::default() };
    app.vault().rollback_credential(rollback).await.unwrap();
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY-one", "where it was asked for, it is");
    let batch = v1::BatchFetchCredentialsRequest { requests: vec![by_id(&id), by_provider("slack")] };
    app.vault().batch_fetch_credentials(batch).await.unwrap();
    hand_over(&app, &format!("http://{}", process.public_address.unwrap())).await;
    let mut errors = Vec::new();
    errors.push(app.create(generic("main", "CANARY-taken")).await.unwrap_err());
    let shop = v1::CreateConnectionRequest {
        provider: "shopify".into(),
        auth_mode: "access_token".into(),
        config: Some(prost_types::Struct {
            fields: [("CANARY".to_owned(), prost_types::Value::from("CANARY"))].into(),
        }),
        credential: Some(input(&[("access_token", "CANARY"), ("CANARY", "CANARY")])),
        labels: [("CANARY".to_owned(), "CANARY".to_owned())].into(),
        ..Default::default()
    };
    errors.push(app.create(shop).await.unwrap_err());
    let mut unreadable = vec![0x12, 14, 0x0a, 12, 0x0a, 1, b'k', 0x12, 7];
    unreadable.extend(b"CANARY\xff");
    errors.push(app.raw("/credvault.v1.VaultService/PutCredential", unreadable).await.unwrap_err());
    errors.push(app.without_tenant().bearing("CANARY.CANARY.CANARY").fetch(by_id(&id)).await.unwrap_err());
    errors
        .push(app.without_tenant().with("x-tenant-id", "CANARY CANARY").fetch(by_id(&id)).await.unwrap_err());
    errors.push(client("reader").await.acting_for("acme", None).fetch(by_id(&id)).await.unwrap_err());
    for status in &errors {
        assert!(
            !format!("{status:?} {:?}", String::from_utf8_lossy(status.details())).contains("CANARY"),
            "{status:?}"
        );
    }
    let test =
        v1::TestEventEndpointRequest { endpoint_id: subscribed.endpoint.unwrap().id, ..Default::default() };
    operator.admin().test_event_endpoint(test).await.unwrap();
    // Connected, and changed three times; the first attempt of one of them failed.
    eventually("events", || async { receiver.count() >= 5 }).await;
    let sent = format!("{:?}", receiver.received().iter().map(Received::json).collect::<Vec<_>>());
    assert!(
        sent.contains("credential.changed") && !sent.contains("CANARY") && !sent.contains(signing),
        "{sent}"
    );
    let listed = operator.admin().list_event_deliveries(v1::ListEventDeliveriesRequest::default()).await;
    assert!(!format!("{listed:?}").contains("CANARY"));
    let listed = operator.admin().list_event_endpoints(v1::ListEventEndpointsRequest::default()).await;
    assert!(!format!("{listed:?}").contains(signing));
    let events = format!("{:?} {:?}", app.events().await, operator.events().await);
    assert!(events.contains("PutCredential") && events.contains("event_endpoints/"), "{events}");
    assert!(!events.contains("CANARY") && !events.contains(signing), "{events}");
    let (status, metrics) = get(process.admin_address, "/metrics").await;
    assert!(
        status == 200 && metrics.contains("credvault_calls_total") && !metrics.contains("CANARY"),
        "{metrics}"
    );

    process.signal(Signal::TERM);
    let (well, log) = process.wait();
    assert!(well && log.contains(r#""message":"the call was refused""#) && log.contains(trace), "{log}");
    assert!(!log.contains("CANARY") && !log.contains(signing), "{log}");
    assert!(!KEYS.iter().any(|key| log.contains(key) || events.contains(key)), "{log}");
    let spans = format!("{:?}", collector.0.lock().unwrap());
    let trace_bytes = format!(
        "{:?}",
        (0..16).map(|i| u8::from_str_radix(&trace[2 * i..2 * i + 2], 16).unwrap()).collect::<Vec<_>>()
    );
    assert!(
        spans.contains("FetchCredential") && spans.contains(&trace_bytes),
        "the caller's trace goes on: {spans}"
    );
    assert!(!spans.contains("CANARY") && !spans.contains(signing), "{spans}");
    collecting.abort();
    for name in ["vault.db", "vault.db-wal"] {
        // After a clean stop there is one file, and on PostgreSQL there is none.
        let bytes = std::fs::read(vault.folder.path().join(name)).unwrap_or_default();
        assert!(!bytes.windows(6).any(|window| window == b"CANARY"), "{name}");
        assert!(!KEYS.iter().any(|key| bytes.windows(43).any(|window| window == key.as_bytes())), "{name}");
        assert!(!bytes.windows(signing.len()).any(|window| window == signing.as_bytes()), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite() {
    nowhere(TestVault::prepared(None).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    // The password of the service's role has a canary, too.
    nowhere(TestVault::prepared(Some(postgres_database().await)).await).await;
}
