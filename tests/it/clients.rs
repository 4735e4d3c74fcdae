//! What clients in other languages get from this repository beside the protos. `scripts/clients` tests the packages below
//! `clients` against a vault.

use std::collections::BTreeSet;

use credvault_domain::{Action, ActionKind};
use serde_json::Value;

use crate::documents::page;

/// Reads that a library must not repeat by itself. The second answer of VerifyWebhook says that the delivery was a repeated
/// one, and its receiver would drop it.
const NOT_RETRIED: [Action; 1] = [Action::VerifyWebhook];

#[test]
fn the_service_config_retries_every_read_and_nothing_else() {
    let config: Value = serde_json::from_str(&page("clients/service-config.json")).unwrap();
    assert_eq!(config["loadBalancingConfig"][0], serde_json::json!({ "round_robin": {} }));
    let [method] = config["methodConfig"].as_array().unwrap().as_slice() else { panic!("{config}") };
    assert_eq!(method["retryPolicy"]["retryableStatusCodes"], serde_json::json!(["UNAVAILABLE"]));
    let text = |name: &Value, key: &str| name[key].as_str().unwrap().to_owned();
    let names = method["name"].as_array().unwrap().iter();
    let retried: BTreeSet<_> = names.map(|name| (text(name, "service"), text(name, "method"))).collect();
    let reads = Action::ALL.iter().filter(|action| {
        matches!(action.kind(), ActionKind::Fetch | ActionKind::Read) && !NOT_RETRIED.contains(action)
    });
    let reads =
        reads.map(|action| (format!("credvault.v1.{}", action.service()), action.as_str().to_owned()));
    assert_eq!(retried, reads.collect(), "name every RPC that reads in clients/service-config.json");
}
