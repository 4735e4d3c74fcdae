//! The table of actions and the protos name the same RPCs.

use std::collections::BTreeSet;

use credvault_domain::{Action, ActionKind};
use credvault_proto::DESCRIPTORS;
use prost_reflect::DescriptorPool;

#[test]
fn every_rpc_is_an_action_and_every_action_an_rpc() {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let rpcs: BTreeSet<String> = pool
        .services()
        .flat_map(|service| service.methods().map(|method| method.full_name().to_owned()).collect::<Vec<_>>())
        .collect();
    let actions: BTreeSet<String> = Action::ALL
        .iter()
        .filter(|action| action.kind() != ActionKind::Permission)
        .map(|action| format!("credvault.v1.{}.{}", action.service(), action.as_str()))
        .collect();
    assert_eq!(rpcs, actions);
}
