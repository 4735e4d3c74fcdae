//! Another tenant's event endpoint answers like an endpoint that does not exist.

use credvault_proto::{DESCRIPTORS, v1};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, Value};

use super::{UNKNOWN, comparable};
use crate::harness::{Client, VaultBuilder, generic};
use crate::on_both;

on_both![a_foreign_event_endpoint_answers_as_an_unknown_one];

async fn a_foreign_event_endpoint_answers_as_an_unknown_one(builder: VaultBuilder) {
    let vault = builder.start().await;
    let victim = vault.app("victim").await;
    vault.tenant("intruder").await;
    let operator = vault.client("operator").await;
    let owned = [register(&operator, "victim").await, register(&operator, "").await];
    victim.create(generic("main", "CANARY victim")).await.unwrap();
    let event = only_event(&operator, "victim").await;
    let count = async || {
        (
            vault.count("event_endpoints").await,
            vault.count("event_deliveries").await,
            vault.count("requests").await,
        )
    };
    let before = count().await;
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let mut rpcs = 0;
    let mut compared = 0;
    for method in methods.filter(|method| method.input().get_field_by_name("endpoint_id").is_some()) {
        rpcs += 1;
        let answer = async |tenant: &str, id: &str, event: &str| {
            let mut request = DynamicMessage::new(method.input());
            for (field, text) in
                [("tenant_id", tenant), ("endpoint_id", id), ("event_id", event), ("url", EVENTS)]
            {
                if method.input().get_field_by_name(field).is_some() {
                    request.set_field_by_name(field, Value::String(text.to_owned()));
                }
            }
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            comparable(operator.raw(&path, request.encode_to_vec()).await, id)
        };
        for (tenant, foreign) in
            [("intruder", &owned[0]), ("intruder", &owned[1]), ("", &owned[0]), ("victim", &owned[1])]
        {
            let unknown = answer(tenant, UNKNOWN, UNKNOWN).await;
            assert_eq!(answer(tenant, foreign, &event).await, unknown, "{} for {tenant:?}", method.name());
            assert!(unknown.starts_with("NotFound") || unknown.starts_with("served"), "{unknown}");
            compared += 1;
        }
    }
    assert_eq!(rpcs, 5);
    assert_eq!(compared, 20);
    assert_eq!(count().await, before, "nothing was touched");
}

/// Registers an endpoint for a tenant, or for the platform, and returns its id.
async fn register(operator: &Client, tenant: &str) -> String {
    let request =
        v1::PutEventEndpointRequest { tenant_id: tenant.into(), url: EVENTS.into(), ..Default::default() };
    operator.admin().put_event_endpoint(request).await.unwrap().into_inner().endpoint.unwrap().id
}

/// The id of the first event that waits for a tenant's endpoint.
async fn only_event(operator: &Client, tenant: &str) -> String {
    let list = v1::ListEventDeliveriesRequest { tenant_id: tenant.into(), ..Default::default() };
    let listed = operator.admin().list_event_deliveries(list).await.unwrap().into_inner();
    listed.deliveries.into_iter().next().unwrap().event_id
}

/// A name without an address: a delivery fails, and the next attempt is much later than a test takes.
const EVENTS: &str = "https://events.invalid/";
