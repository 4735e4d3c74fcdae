//! Secrets that contain a canary are searched for everywhere else: logs of the finest level, traces, metrics, errors,
//! events, audit records, and the database.

use std::sync::{Arc, Mutex};

use credvault_proto::v1;
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
    Client, Process, TestVault, VaultBuilder, by_id, by_provider, eventually, generic, get, input,
};

/// A collector that keeps what it gets.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

impl Collector {
    /// Starts a collector on this machine and returns it with its URL. It runs until the test's process ends.
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let service = TraceServiceServer::new(collector.clone());
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
        (collector, url)
    }
}

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

/// What a shop delivers.
const KEYS: [&str; 2] =
    ["ck_facade00facade00facade00facade00facade00", "cs_c0ffee11c0ffee11c0ffee11c0ffee11c0ffee11"];

/// A consent whose keys a shop delivers, and others that are refused.
async fn deliver_keys(app: &Client, url: &str) {
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

/// The vault's program with a collector of its traces.
struct Scene {
    vault: TestVault,
    process: Process,
    collector: Collector,
    receiver: Receiver,
    operator: Client,
    /// The secret that signs events, without its prefix.
    signing: String,
    endpoint_id: String,
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

impl Scene {
    async fn start(vault: TestVault) -> Self {
        let (collector, endpoint) = Collector::start().await;
        let endpoint = format!("telemetry.otlp_endpoint={endpoint}");
        let local = "broker.allowed_networks[0]=127.0.0.0/8";
        let public = ["public.url=http://localhost:7480", "public.address=127.0.0.1:0"];
        let settings = ["telemetry.log_level=trace", &endpoint, local, public[0], public[1]];
        let process = Process::serve(vault.folder.path(), &settings).unwrap();
        let operator = connect(&vault, &process, "operator").await;
        let tenant = v1::CreateTenantRequest { tenant_id: "acme".into(), ..Default::default() };
        operator.admin().create_tenant(tenant).await.unwrap();
        let receiver = Receiver::start().await;
        receiver.answer(&[500]);
        let subscribe = v1::PutEventEndpointRequest { url: receiver.url.clone(), ..Default::default() };
        let subscribed = operator.admin().put_event_endpoint(subscribe).await.unwrap().into_inner();
        let signing = subscribed.secret.strip_prefix("whsec_").unwrap().to_owned();
        let endpoint_id = subscribed.endpoint.unwrap().id;
        Self { vault, process, collector, receiver, operator, signing, endpoint_id }
    }

    async fn client(&self, service: &str) -> Client {
        connect(&self.vault, &self.process, service).await
    }

    /// Fails if a text shows a secret.
    fn hidden_in(&self, what: &str, text: &str) {
        assert!(!text.contains("CANARY"), "{what}: {text}");
        assert!(!text.contains(&self.signing), "{what}: {text}");
        assert!(!KEYS.iter().any(|key| text.contains(key)), "{what}: {text}");
    }
}

async fn connect(vault: &TestVault, process: &Process, service: &str) -> Client {
    let leaf = vault.authority.service(&format!("spiffe://test.local/{service}"));
    Client::connect(process.address, vault.authority.pem(), Some(&leaf)).await.unwrap()
}

async fn nowhere(vault: TestVault) {
    let scene = Scene::start(vault).await;
    let app = scene.client("app").await.acting_for("acme", None);
    let app = app.with("traceparent", &format!("00-{TRACE}-b7ad6b7169203331-01"));
    let id = plaintext_goes_in_and_out(&scene, &app).await;
    let errors = requests_with_secrets_fail(&scene, &app, &id).await;
    for status in &errors {
        scene.hidden_in("an error", &format!("{status:?} {:?}", String::from_utf8_lossy(status.details())));
    }
    events_are_sent(&scene).await;
    let records = format!("{:?} {:?}", app.events().await, scene.operator.events().await);
    assert!(records.contains("PutCredential"), "{records}");
    assert!(records.contains("event_endpoints/"), "{records}");
    scene.hidden_in("the records", &records);
    let (status, metrics) = get(scene.process.admin_address, "/metrics").await;
    assert_eq!(status, 200, "{metrics}");
    assert!(metrics.contains("credvault_calls_total"), "{metrics}");
    scene.hidden_in("the metrics", &metrics);
    what_is_left_after_the_stop(scene).await;
}

/// Every call that handles plaintext, with success. Returns the id of a connection.
async fn plaintext_goes_in_and_out(scene: &Scene, app: &Client) -> String {
    let id = app.create(generic("main", "CANARY-one")).await.unwrap().id;
    app.put(&id, "CANARY-two").await.unwrap();
    let rollback =
        v1::RollbackCredentialRequest { connection_id: id.clone(), version: 1, ..Default::default() };
    app.vault().rollback_credential(rollback).await.unwrap();
    assert_eq!(app.token(by_id(&id)).await.unwrap(), "CANARY-one", "the caller gets the secret");
    let batch = v1::BatchFetchCredentialsRequest { requests: vec![by_id(&id), by_provider("slack")] };
    app.vault().batch_fetch_credentials(batch).await.unwrap();
    deliver_keys(app, &format!("http://{}", scene.process.public_address.unwrap())).await;
    id
}

/// Requests that contain secrets and are refused.
async fn requests_with_secrets_fail(scene: &Scene, app: &Client, id: &str) -> Vec<Status> {
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
    let mut unreadable = vec![0x12, 14, 0x0a, 12, 0x0a, 1, b'k', 0x12, 7];
    unreadable.extend(b"CANARY\xff");
    let without_tenant = app.without_tenant();
    vec![
        app.create(generic("main", "CANARY-taken")).await.unwrap_err(),
        app.create(shop).await.unwrap_err(),
        app.raw("/credvault.v1.VaultService/PutCredential", unreadable).await.unwrap_err(),
        without_tenant.bearing("CANARY.CANARY.CANARY").fetch(by_id(id)).await.unwrap_err(),
        without_tenant.with("x-tenant-id", "CANARY CANARY").fetch(by_id(id)).await.unwrap_err(),
        scene.client("reader").await.acting_for("acme", None).fetch(by_id(id)).await.unwrap_err(),
    ]
}

async fn events_are_sent(scene: &Scene) {
    let test = v1::TestEventEndpointRequest { endpoint_id: scene.endpoint_id.clone(), ..Default::default() };
    scene.operator.admin().test_event_endpoint(test).await.unwrap();
    // Connected, and changed three times; the first attempt of one of them failed.
    eventually("events", || async { scene.receiver.count() >= 5 }).await;
    let sent = format!("{:?}", scene.receiver.received().iter().map(Received::json).collect::<Vec<_>>());
    assert!(sent.contains("credential.changed"), "{sent}");
    scene.hidden_in("the events", &sent);
    let deliveries = v1::ListEventDeliveriesRequest::default();
    let listed = scene.operator.admin().list_event_deliveries(deliveries).await;
    scene.hidden_in("the deliveries", &format!("{listed:?}"));
    let endpoints = v1::ListEventEndpointsRequest::default();
    let listed = scene.operator.admin().list_event_endpoints(endpoints).await;
    scene.hidden_in("the endpoints", &format!("{listed:?}"));
}

/// The log, the traces and the database of a vault that has stopped.
async fn what_is_left_after_the_stop(scene: Scene) {
    let Scene { vault, process, collector, signing, .. } = scene;
    let hidden_in = |what: &str, text: &str| {
        for secret in ["CANARY", &signing, KEYS[0], KEYS[1]] {
            assert!(!text.contains(secret), "{what}: {text}");
        }
    };
    process.signal(Signal::TERM);
    let (well, log) = process.wait();
    assert!(well, "{log}");
    assert!(log.contains(r#""message":"the call was refused""#), "{log}");
    assert!(log.contains(TRACE), "{log}");
    hidden_in("the log", &log);
    let spans = format!("{:?}", collector.0.lock().unwrap());
    let trace: Vec<_> = (0..16).map(|i| u8::from_str_radix(&TRACE[2 * i..2 * i + 2], 16).unwrap()).collect();
    assert!(spans.contains("FetchCredential"), "{spans}");
    assert!(spans.contains(&format!("{trace:?}")), "the caller's trace continues: {spans}");
    hidden_in("the traces", &spans);
    assert!(vault.found_in("acme").await.is_some(), "the search finds what is there");
    for secret in ["CANARY", &signing, KEYS[0], KEYS[1]] {
        assert_eq!(vault.found_in(secret).await, None, "in the database");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite() {
    nowhere(VaultBuilder::sqlite().prepare().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    // The password of the service's role has a canary, too.
    nowhere(VaultBuilder::postgres().prepare().await).await;
}
