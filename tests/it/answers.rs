//! Answers and messages by their bytes: what a default client takes, and what one that does not read, or does not end, costs.

use std::collections::BTreeSet;
use std::time::Duration;

use credvault_proto::v1;
use credvault_proto::v1::batch_fetch_credentials_result::Outcome;
use prost::Message as _;
use tonic::Request;
use tonic::metadata::MetadataMap;
use tonic_types::StatusExt as _;

use crate::harness::{Client, DOMAIN, TestVault, VaultBuilder, by_id, eventually, generic, refusal};
use crate::on_both;

/// What gRPC libraries take of an answer unless they are told otherwise.
const DEFAULT: usize = 4 * 1024 * 1024;
const BATCH: &str = "/credvault.v1.VaultService/BatchFetchCredentials";

/// Connections with a secret of `bytes` each.
async fn connections(client: &Client, count: usize, bytes: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for i in 0..count {
        ids.push(client.create(generic(&format!("a{i}"), &"x".repeat(bytes))).await.unwrap().id);
    }
    ids
}

fn batch(ids: &[String]) -> v1::BatchFetchCredentialsRequest {
    v1::BatchFetchCredentialsRequest { requests: ids.iter().map(|id| by_id(id)).collect() }
}

/// The ids that a batch has given, and those that are to be asked for again.
fn outcomes(ids: &[String], results: Vec<v1::BatchFetchCredentialsResult>) -> (Vec<String>, Vec<String>) {
    let mut given = Vec::new();
    let mut left = Vec::new();
    for (id, result) in ids.iter().zip(results) {
        match result.outcome.unwrap() {
            Outcome::Credential(credential) => given.push(credential.connection_id),
            Outcome::Error(error) => {
                let full = (tonic::Code::ResourceExhausted as i32, "ANSWER_FULL");
                assert_eq!((error.code, error.reason.as_str()), full);
                left.push(id.clone());
            }
        }
    }
    (given, left)
}

on_both![
    a_batch_that_is_too_large_says_where_to_go_on,
    a_list_of_large_connections_goes_on_in_pages_that_every_client_takes,
    every_answer_names_its_trace,
];

async fn a_batch_that_is_too_large_says_where_to_go_on(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let ids = connections(&app, 100, 48_000).await;
    let mut wanted = ids.clone();
    let mut calls = 0;
    while !wanted.is_empty() {
        let response = app.vault().batch_fetch_credentials(batch(&wanted)).await.unwrap().into_inner();
        assert!(response.encoded_len() < DEFAULT);
        let (given, left) = outcomes(&wanted, response.results);
        assert_eq!([given.clone(), left.clone()].concat(), wanted, "the first ones are given");
        assert!(given.len() > 50 || left.is_empty(), "{} given", given.len());
        wanted = left;
        calls += 1;
    }
    assert_eq!(calls, 2);
    // Only what has left is on record.
    let fetched: Vec<_> =
        app.events().await.into_iter().filter(|event| event.action == "FetchCredential").collect();
    let recorded: BTreeSet<_> = fetched.iter().map(|event| event.connection_id.clone()).collect();
    assert_eq!(fetched.len(), 100);
    assert_eq!(recorded, ids.into_iter().collect());
}

async fn a_list_of_large_connections_goes_on_in_pages_that_every_client_takes(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let mut ids = BTreeSet::new();
    for i in 0..100 {
        let labels = (0..64).map(|label| (format!("label-{label:02}{}", "n".repeat(50)), "😀".repeat(128)));
        let request = v1::CreateConnectionRequest {
            labels: labels.collect(),
            credential: None,
            ..generic(&format!("a{i}"), "")
        };
        ids.insert(app.create(request).await.unwrap().id);
    }
    let mut token = String::new();
    let mut listed = Vec::new();
    let mut pages = 0;
    loop {
        let request = v1::ListConnectionsRequest { page_size: 500, page_token: token, ..Default::default() };
        let page = app.connections().list_connections(request).await.unwrap().into_inner();
        assert!(page.encoded_len() < DEFAULT);
        listed.extend(page.connections.into_iter().map(|connection| connection.id));
        pages += 1;
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(pages, 2);
    assert_eq!(listed.len(), 100);
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), ids);
}

async fn every_answer_names_its_trace(builder: VaultBuilder) {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    let named = |metadata: &MetadataMap| metadata.get("x-trace-id").unwrap().to_str().unwrap().to_owned();

    // The caller's own trace, or one that the vault begins; the audit log has it, too.
    let traced = app.with("traceparent", &format!("00-{TRACE}-00f067aa0ba902b7-01"));
    let fetched = traced.vault().fetch_credential(by_id(&id)).await.unwrap();
    assert_eq!(named(fetched.metadata()), TRACE);
    let fetched = app.vault().fetch_credential(by_id(&id)).await.unwrap();
    let begun = named(fetched.metadata());
    assert_eq!(app.events().await.iter().filter(|event| event.trace_id == begun).count(), 1);

    // A refusal of the operation, one of the gate, and one of an RPC that does not exist.
    let unknown = app.fetch(by_id("0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e")).await.unwrap_err();
    let nameless = app.without_tenant().fetch(by_id(&id)).await.unwrap_err();
    for status in [unknown, nameless] {
        let info = status.get_details_error_info().unwrap();
        assert_eq!(named(status.metadata()), info.metadata["trace_id"], "{status:?}");
    }
    let missing = app.raw("/credvault.v1.VaultService/Missing", Vec::new()).await.unwrap_err();
    assert_eq!(named(missing.metadata()).len(), TRACE.len());
}

/// A vault with room for one large answer of each service, and 60 connections whose batch is one.
async fn with_large_batch(answer_seconds: u64) -> (TestVault, v1::BatchFetchCredentialsRequest) {
    let vault = VaultBuilder::sqlite()
        .settings(move |settings, _| {
            settings.limits.response_bytes = 16 * 1024 * 1024;
            settings.limits.unread_response_seconds = answer_seconds;
        })
        .start()
        .await;
    let ids = connections(&vault.app("acme").await, 60, 48_000).await;
    (vault, batch(&ids))
}

/// A request whose caller waits for a second.
fn in_a_second<T: Clone>(request: &T) -> Request<T> {
    let mut request = Request::new(request.clone());
    request.set_timeout(Duration::from_secs(1));
    request
}

/// A client of the app that leaves an answer unread.
async fn unreading(
    vault: &TestVault,
    request: &v1::BatchFetchCredentialsRequest,
) -> (Client, tonic::Streaming<Vec<u8>>) {
    let leaf = vault.authority.service(&format!("spiffe://{DOMAIN}/app"));
    let client = Client::connect_narrowly(vault.address(), vault.authority.pem(), &leaf).await.unwrap();
    let client = client.acting_for("acme", None);
    let unread = client.unread(BATCH, request.encode_to_vec()).await.unwrap();
    (client, unread)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_costs_its_share_and_no_other_service() {
    let (vault, large) = with_large_batch(3600).await;
    let hog = unreading(&vault, &large).await;
    // Another connection of the same service has the same share.
    let app = vault.app("acme").await;
    let status = app.vault().batch_fetch_credentials(in_a_second(&large)).await.unwrap_err();
    assert_eq!(refusal(&status), "ResourceExhausted RATE_LIMITED");
    assert!(status.get_error_details().retry_info().is_some(), "{status:?}");
    let list = in_a_second(&v1::ListConnectionsRequest::default());
    let status = app.connections().list_connections(list).await.unwrap_err();
    assert_eq!(refusal(&status), "ResourceExhausted RATE_LIMITED");
    // What is small has room, and other services have theirs.
    assert!(app.fetch(large.requests[0].clone()).await.is_ok());
    let portal = vault.client("portal").await.acting_for("acme", None);
    assert!(portal.vault().batch_fetch_credentials(large.clone()).await.is_ok());
    drop(hog);
    eventually("room after the client has gone", || async {
        app.vault().batch_fetch_credentials(in_a_second(&large)).await.is_ok()
    })
    .await;
}

/// The room of the service has place for all that is done here; that of the tenant has not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_not_read_fill_the_room_of_their_tenant_and_no_other() {
    let vault = VaultBuilder::sqlite()
        .settings(|settings, _| settings.limits.unread_response_seconds = 3600)
        .start()
        .await;
    let (app, other) = (vault.app("acme").await, vault.app("other").await);
    let large = batch(&connections(&app, 60, 48_000).await);
    let theirs = batch(&connections(&other, 60, 48_000).await);
    let room = v1::LimitChange { kind: v1::LimitKind::ResponseBytes.into(), value: Some(8 * 1024 * 1024) };
    let set =
        v1::SetTenantLimitsRequest { tenant_id: "acme".into(), changes: vec![room], ..Default::default() };
    vault.client("operator").await.admin().set_tenant_limits(set).await.unwrap();
    let hogs = [unreading(&vault, &large).await, unreading(&vault, &large).await];
    let status = app.vault().batch_fetch_credentials(in_a_second(&large)).await.unwrap_err();
    assert_eq!(refusal(&status), "ResourceExhausted RATE_LIMITED");
    let details = status.get_error_details();
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!((metadata["limit"].as_str(), metadata["of"].as_str()), ("response_bytes", "tenant"));
    assert!(details.retry_info().is_some() && status.message().contains("SetTenantLimits"), "{status:?}");
    // What is small has room, and the same service has its room for another tenant.
    assert!(app.fetch(large.requests[0].clone()).await.is_ok());
    assert!(other.vault().batch_fetch_credentials(theirs).await.is_ok());
    drop(hogs);
    eventually("room after the clients have gone", || async {
        app.vault().batch_fetch_credentials(in_a_second(&large)).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_whose_client_does_not_read_is_ended() {
    let (vault, request) = with_large_batch(1).await;
    let (_client, mut unread) = unreading(&vault, &request).await;
    let app = vault.app("acme").await;
    eventually("room though the client has not gone", || async {
        app.vault().batch_fetch_credentials(request.clone()).await.is_ok()
    })
    .await;
    assert!(unread.message().await.is_err(), "the answer ends in the middle");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_do_not_end_cost_their_share_and_no_other_service() {
    let vault = VaultBuilder::sqlite()
        .settings(|settings, _| settings.limits.response_bytes = 16 * 1024 * 1024)
        .start()
        .await;
    let app = vault.app("acme").await;
    let portal = vault.client("portal").await.acting_for("acme", None);
    // A quarter of 16 MiB, less 16 KiB of each.
    let size = 200_000;
    let fit = 4 * 1024 * 1024 / (200_000 - 16 * 1024);
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..2 * fit {
        let app = app.clone();
        waiting.spawn(async move { app.unended(BATCH, vec![b'x'; size]).await.unwrap_err() });
    }
    let mut refused = Vec::new();
    while let Some(status) = waiting.join_next().await {
        refused.push(refusal(&status.unwrap()));
        if refused.len() == 1 {
            let large = generic("large", &"x".repeat(60_000));
            portal.create(large).await.expect("another service has its share");
        }
    }
    let (full, late): (Vec<_>, Vec<_>) =
        refused.iter().partition(|refusal| *refusal == "ResourceExhausted RATE_LIMITED");
    assert!(late.iter().all(|refusal| *refusal == "InvalidArgument FIELDS_INVALID"), "{late:?}");
    assert!(late.len() <= fit, "{} held, {} refused", late.len(), full.len());
    assert!(full.len() >= fit, "{} held, {} refused", late.len(), full.len());
    app.create(generic("after", &"x".repeat(60_000))).await.expect("the shares are given back");
}
