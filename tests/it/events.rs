//! Events reach the URLs that tenants and the platform have registered, signed, however often that takes.

mod delivery;
mod endpoints;

use std::time::Duration;

use credvault_proto::v1;
use credvault_testkit::LeafSpec;
use tonic::Status;

use crate::harness::receiver::Receiver;
use crate::harness::{Client, DOMAIN, TestVault, VaultBuilder, eventually};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A vault that may call this machine, and the operator of it.
async fn started(builder: VaultBuilder) -> (TestVault, Client) {
    let vault = builder.allow_loopback().start().await;
    let operator = lasting(&vault, "operator").await;
    (vault, operator)
}

/// A client with a certificate that outlives what the clock does here.
async fn lasting(vault: &TestVault, service: &str) -> Client {
    let spec = LeafSpec::service(&format!("spiffe://{DOMAIN}/{service}"));
    let spec = LeafSpec { ends: time::Duration::days(90), ..spec };
    vault.client_with(&vault.authority.issue(&spec)).await.unwrap()
}

fn endpoint(tenant: &str, url: &str) -> v1::PutEventEndpointRequest {
    v1::PutEventEndpointRequest { tenant_id: tenant.into(), url: url.into(), ..Default::default() }
}

/// Registers an endpoint for one type of events, and gives its id and secret.
async fn register(operator: &Client, tenant: &str, url: &str, types: &[&str]) -> (String, String) {
    let types = types.iter().map(|kind| (*kind).to_owned()).collect();
    let request = v1::PutEventEndpointRequest { types, ..endpoint(tenant, url) };
    let stored = operator.admin().put_event_endpoint(request).await.unwrap().into_inner();
    (stored.endpoint.unwrap().id, stored.secret)
}

async fn health(operator: &Client, tenant: &str) -> v1::EventEndpoint {
    let request = v1::ListEventEndpointsRequest { tenant_id: tenant.into(), ..Default::default() };
    operator.admin().list_event_endpoints(request).await.unwrap().into_inner().endpoints.remove(0)
}

async fn deliveries(
    operator: &Client,
    tenant: &str,
    state: v1::EventDeliveryState,
) -> Vec<v1::EventDelivery> {
    let request = v1::ListEventDeliveriesRequest {
        tenant_id: tenant.into(),
        state: state.into(),
        ..Default::default()
    };
    operator.admin().list_event_deliveries(request).await.unwrap().into_inner().deliveries
}

async fn again(operator: &Client, delivery: &v1::EventDelivery) -> Result<(), Status> {
    let request = v1::RetryEventDeliveryRequest {
        tenant_id: "acme".into(),
        endpoint_id: delivery.endpoint_id.clone(),
        event_id: delivery.event_id.clone(),
        ..Default::default()
    };
    operator.admin().retry_event_delivery(request).await.map(|_| ())
}

/// Waits until a receiver has got so many.
async fn got(receiver: &Receiver, count: usize) {
    eventually(&format!("delivery {count}"), || async { receiver.count() >= count }).await;
}

const CHANGED: &[&str] = &["credential.changed"];
