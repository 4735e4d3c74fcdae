//! The table of actions and the protos name the same RPCs.

use std::collections::BTreeSet;

use credvault::proto::DESCRIPTORS;
use credvault_domain::{Action, ActionKind};
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

/// Whoever reads the protos finds a comment on everything.
#[test]
fn everything_in_the_protos_is_explained() {
    use prost::Message as _;
    let files = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let mut silent = Vec::new();
    for file in files.file.iter().filter(|file| file.package() == "credvault.v1") {
        for location in &file.source_code_info.as_ref().unwrap().location {
            // Paths of services, RPCs, messages, fields, enums and their values: pairs of kind and index.
            let kinds: Vec<i32> = location.path.iter().step_by(2).copied().collect();
            let named = matches!(kinds.as_slice(), [4..=6] | [6, 2] | [4, 2 | 8] | [5, 2]);
            if named && location.path.len() % 2 == 0 && location.leading_comments().trim().is_empty() {
                silent.push(format!("{} {:?}", file.name(), location.path));
            }
        }
    }
    assert_eq!(silent, Vec::<String>::new());
}

/// What is named like a secret is marked as one; what is marked makes its message silent (`build.rs`).
#[test]
fn what_is_named_like_a_secret_is_marked() {
    const NAMES: [&str; 12] = [
        "fields",
        "headers",
        "query",
        "parameters",
        "result",
        "state",
        "secret",
        "client_secret",
        "body",
        "value",
        "authorization_url",
        "settings",
    ];
    // A list of headers whose values are marked, a body that holds no secret, and settings that are none.
    const HARMLESS: [&str; 3] = [
        "credvault.v1.VerifyWebhookRequest.headers",
        "credvault.v1.EventDelivery.body",
        "credvault.v1.OAuthApp.settings",
    ];
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let mut unmarked = Vec::new();
    for message in pool.all_messages().filter(|message| message.package_name() == "credvault.v1") {
        for field in message.fields().filter(|field| NAMES.contains(&field.name()) && !message.is_map_entry())
        {
            let marked = field.options().get_field_by_name("debug_redact").and_then(|value| value.as_bool());
            let says_something = field.kind().as_enum().is_none();
            if marked != Some(true) && says_something && !HARMLESS.contains(&field.full_name()) {
                unmarked.push(field.full_name().to_owned());
            }
        }
    }
    assert_eq!(unmarked, Vec::<String>::new());
}

/// Every message that can hold plaintext hides it.
#[test]
fn messages_with_plaintext_have_no_debug_output() {
    use credvault::proto::v1;
    let fields: std::collections::BTreeMap<_, _> = [("token".to_owned(), "CANARY".to_owned())].into();
    let input = v1::CredentialInput { fields: fields.clone(), expiry: None };
    let auth = v1::RequestAuth { headers: fields.clone(), query: fields.clone(), ..Default::default() };
    let credential = v1::Credential { fields, request_auth: Some(auth), ..Default::default() };
    let shown = format!(
        "{:?} {:?} {:?}",
        v1::PutCredentialRequest { credential: Some(input.clone()), ..Default::default() },
        v1::CreateConnectionRequest { credential: Some(input), ..Default::default() },
        v1::FetchCredentialResponse { credential: Some(credential) },
    );
    let stored = v1::PutEventEndpointResponse { endpoint: None, secret: "CANARY".into() };
    let completing = v1::CompleteAuthorizationRequest { result: "CANARY".into(), ..Default::default() };
    let begun = v1::BeginAuthorizationResponse { state: "CANARY".into(), ..Default::default() };
    let header = v1::WebhookHeader { name: "x".into(), value: "CANARY".into() };
    let webhook =
        v1::VerifyWebhookRequest { body: b"CANARY".to_vec(), headers: vec![header], ..Default::default() };
    let endpoint = v1::EventEndpoint { url: "https://a.example/CANARY".into(), ..Default::default() };
    let shown = format!("{shown} {stored:?} {completing:?} {begun:?} {webhook:?} {endpoint:?}");
    assert!(!shown.contains("CANARY"), "{shown}");
}
