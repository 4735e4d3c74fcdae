//! The isolation matrix, generated from the descriptors: every RPC that takes a connection's id, times every id that is
//! not the caller's, times every kind of caller, answers exactly as it does for an id that never existed.

use credvault::proto::{DESCRIPTORS, v1};
use credvault_domain::Clock as _;
use credvault_testkit::{Algorithm, TokenIssuer};
use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value,
};
use serde_json::json;
use tonic::Status;
use tonic_types::{ErrorDetail, StatusExt as _};

use crate::harness::{Client, TestVault, by_id, generic, owned_by};
use crate::on_both;

/// RPCs that take no connection's id. A new RPC must stand here or have an id that this test finds.
const WITHOUT_ID: [&str; 22] = [
    "ListProviders",
    "GetProvider",
    "CreateConnection",
    "ListConnections",
    "CreateTenant",
    "GetTenant",
    "ListTenants",
    "SuspendTenant",
    "ResumeTenant",
    "ListUsers",
    "DeleteUser",
    "GetKeyStatus",
    "CompleteAuthorization",
    "PutOAuthApp",
    "ListOAuthApps",
    "DeleteOAuthApp",
    "PutEventEndpoint",
    "ListEventEndpoints",
    "DeleteEventEndpoint",
    "TestEventEndpoint",
    "ListEventDeliveries",
    "RetryEventDelivery",
];

const UNKNOWN: &str = "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e";

/// A request of this kind about the connection `id`, everything else sound. `found` tells whether it has a place for it.
fn request(message: &MessageDescriptor, id: &str, found: &mut bool) -> DynamicMessage {
    let mut request = DynamicMessage::new(message.clone());
    for field in message.fields() {
        if let Some(value) = value(message, &field, id, found) {
            request.set_field(&field, value);
        }
    }
    request
}

fn value(message: &MessageDescriptor, field: &FieldDescriptor, id: &str, found: &mut bool) -> Option<Value> {
    let text = |text: &str| Some(Value::String(text.to_owned()));
    match (message.name(), field.name(), field.kind()) {
        (_, "connection_id", _) | ("Connection", "id", _) => {
            *found = true;
            text(id)
        }
        ("FetchCredentialRequest" | "ListCredentialVersionsRequest", _, _) => None,
        (_, "version", Kind::Int64) => Some(Value::I64(1)),
        (_, "request_id" | "etag" | "page_token" | "expected_version" | "page_size", _) => None,
        (_, "update_mask", Kind::Message(mask)) => {
            let mut value = DynamicMessage::new(mask);
            value.set_field_by_name("paths", Value::List(vec![Value::String("enabled".into())]));
            Some(Value::Message(value))
        }
        ("CredentialInput", "fields", _) => {
            let token =
                (prost_reflect::MapKey::String("token".into()), Value::String("CANARY intruder".into()));
            Some(Value::Map([token].into()))
        }
        (_, "group_by", _) => Some(Value::List(vec![Value::EnumNumber(3)])),
        ("BatchFetchCredentialsRequest", "requests", Kind::Message(one)) => {
            Some(Value::List(vec![Value::Message(request(&one, id, found))]))
        }
        (_, "credential" | "filter", Kind::Message(inner)) => {
            Some(Value::Message(request(&inner, id, found)))
        }
        (_, "connection", Kind::Message(inner)) if inner.name() == "Connection" => {
            Some(Value::Message(request(&inner, id, found)))
        }
        _ => None,
    }
}

/// An answer without what differs from call to call: trace ids, and the ids that it was asked about.
fn comparable(result: Result<Vec<u8>, Status>, id: &str) -> String {
    let text = match result {
        Ok(bytes) => format!("served {}", String::from_utf8_lossy(&bytes)),
        Err(status) => {
            let mut details = status.get_error_details_vec();
            for detail in &mut details {
                if let ErrorDetail::ErrorInfo(info) = detail {
                    info.metadata.remove("trace_id");
                }
            }
            format!("{:?} {} {details:?}", status.code(), status.message())
        }
    };
    text.replace(id, "<id>")
}

async fn answer(client: &Client, method: &MethodDescriptor, id: &str) -> String {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let message = request(&method.input(), id, &mut false);
    comparable(client.raw(&path, message.encode_to_vec()).await, id)
}

on_both! {
    async fn a_foreign_id_answers_as_an_unknown_one(vault: TestVault) {
        let (vault, keys) = with_tokens(vault).await;
        let victim = vault.app("victim").await;
        vault.tenant("intruder").await;
        let own = victim.create(generic("main", "CANARY victim")).await.unwrap().id;
        let users = victim.create(owned_by("u1", generic("mine", "CANARY user"))).await.unwrap().id;
        let deleted = victim.create(generic("gone", "CANARY gone")).await.unwrap().id;
        let delete = v1::DeleteConnectionRequest { connection_id: deleted.clone(), ..Default::default() };
        victim.connections().delete_connection(delete).await.unwrap();
        let operator = vault.client("operator").await;
        let mut shared = generic("shared", "CANARY platform");
        shared.owner = None;
        let platform = operator.create(shared).await.unwrap().id;

        let now = vault.clock.now().micros() / 1_000_000;
        let claims = json!({ "iss": "https://login.test.local", "aud": "credvault", "sub": "u1", "tenant": "intruder", "iat": now, "exp": now + 300 });
        let app = vault.client("app").await;
        let gateway = vault.client("gateway").await.bearing(&keys.token(&claims));
        let portal = vault.client("portal").await;
        // Who calls, and the ids that are not theirs.
        let tenants = [own.as_str(), &users, &deleted];
        let of_another_tenant = [own.as_str(), &users, &deleted, &platform];
        let callers: [(&str, Client, &[&str]); 5] = [
            ("service for another tenant", app.acting_for("intruder", None), &of_another_tenant),
            ("user of another tenant", app.acting_for("intruder", Some("u1")), &of_another_tenant),
            ("token of another tenant", gateway, &of_another_tenant),
            ("another user of the tenant", portal.acting_for("victim", Some("u2")), &[&users, &platform]),
            ("the platform itself", operator, &tenants),
        ];
        let before = snapshot(&vault).await;
        let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
        let (mut rpcs, mut compared) = (0, 0);
        for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let mut has_id = false;
            request(&method.input(), UNKNOWN, &mut has_id);
            assert_ne!(has_id, WITHOUT_ID.contains(&method.name()), "{}: say in this test where its id is", method.name());
            if !has_id {
                continue;
            }
            rpcs += 1;
            for (who, client, ids) in &callers {
                let unknown = answer(client, &method, UNKNOWN).await;
                for id in *ids {
                    assert_eq!(answer(client, &method, id).await, unknown, "{} by {who}", method.name());
                    compared += 1;
                }
            }
        }
        assert_eq!((rpcs, compared), (19, 19 * 17));
        assert_eq!(snapshot(&vault).await, before, "nothing was touched");
        for (id, secret) in [(&own, "CANARY victim"), (&users, "CANARY user")] {
            assert_eq!(victim.token(by_id(id)).await.unwrap(), secret);
        }
    }
}

on_both! {
    async fn a_foreign_event_endpoint_answers_as_an_unknown_one(vault: TestVault) {
        let victim = vault.app("victim").await;
        vault.tenant("intruder").await;
        let operator = vault.client("operator").await;
        let mut owned = Vec::new();
        for tenant in ["victim", ""] {
            let request = v1::PutEventEndpointRequest { tenant_id: tenant.into(), url: EVENTS.into(), ..Default::default() };
            owned.push(operator.admin().put_event_endpoint(request).await.unwrap().into_inner().endpoint.unwrap().id);
        }
        victim.create(generic("main", "CANARY victim")).await.unwrap();
        let list = v1::ListEventDeliveriesRequest { tenant_id: "victim".into(), ..Default::default() };
        let event = operator.admin().list_event_deliveries(list).await.unwrap().into_inner().deliveries.remove(0).event_id;
        let count = async || {
            (vault.count("event_endpoints").await, vault.count("event_deliveries").await, vault.count("requests").await)
        };
        let before = count().await;
        let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
        let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        let (mut rpcs, mut compared) = (0, 0);
        for method in methods.filter(|method| method.input().get_field_by_name("endpoint_id").is_some()) {
            rpcs += 1;
            let answer = async |tenant: &str, id: &str, event: &str| {
                let mut request = DynamicMessage::new(method.input());
                for (field, text) in [("tenant_id", tenant), ("endpoint_id", id), ("event_id", event), ("url", EVENTS)] {
                    if method.input().get_field_by_name(field).is_some() {
                        request.set_field_by_name(field, Value::String(text.to_owned()));
                    }
                }
                let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
                comparable(operator.raw(&path, request.encode_to_vec()).await, id)
            };
            for (tenant, foreign) in [("intruder", &owned[0]), ("intruder", &owned[1]), ("", &owned[0]), ("victim", &owned[1])] {
                let unknown = answer(tenant, UNKNOWN, UNKNOWN).await;
                assert_eq!(answer(tenant, foreign, &event).await, unknown, "{} for {tenant:?}", method.name());
                assert!(unknown.starts_with("NotFound") || unknown.starts_with("served"), "{unknown}");
                compared += 1;
            }
        }
        assert_eq!((rpcs, compared), (5, 20));
        assert_eq!(count().await, before, "nothing was touched");
    }
}

/// Where nobody is: what is sent there fails, and is tried again much later than a test takes.
const EVENTS: &str = "https://events.invalid/";

/// Adds an issuer to the vault, for callers with tokens.
async fn with_tokens(mut vault: TestVault) -> (TestVault, TokenIssuer) {
    let keys = TokenIssuer::new(Algorithm::Es256, "k1");
    vault.write("jwks.json", &keys.jwks());
    vault.stop().await;
    vault.settings.identity.issuers.push(credvault::settings::IssuerSection {
        name: "login".into(),
        issuer: "https://login.test.local".into(),
        jwks_file: Some(vault.folder.path().join("jwks.json")),
        audiences: vec!["credvault".into()],
        ..Default::default()
    });
    vault.start().await;
    (vault, keys)
}

/// What changes would show in.
async fn snapshot(vault: &TestVault) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in ["connections", "credential_versions", "changes", "requests"] {
        counts.push(vault.count(table).await);
    }
    counts
}
