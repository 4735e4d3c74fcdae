//! The isolation matrix, generated from the descriptors: every RPC that takes a connection's id, times every id that is
//! not the caller's, times every kind of caller, answers exactly as it does for an id that never existed. And every RPC
//! that can name a user is refused to a caller that does not reach that user.

mod event_endpoints;
mod foreign_ids;
mod users;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use credvault_proto::v1;
use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value};
use tonic::Status;
use tonic_types::{ErrorDetail, StatusExt as _};

use crate::harness::{Client, TestVault};

/// RPCs that take no connection's id. A new RPC must stand here or have an id that this test finds. Those that select by ids
/// have a case of their own in `foreign_ids`.
const WITHOUT_ID: [&str; 55] = [
    "ListProviders",
    "GetProvider",
    "CreateConnection",
    "ImportConnections",
    "ListConnections",
    "CreateTenant",
    "GetTenant",
    "ListTenants",
    "ListPlatformDependants",
    "SuspendTenant",
    "ResumeTenant",
    "EraseTenant",
    "GetErasure",
    "ListErasures",
    "GetSigningKey",
    "RotateSigningKey",
    "RotateAuditSigner",
    "GetCheckpoint",
    "ProveInclusion",
    "ProveConsistency",
    "ListUsers",
    "DeleteUser",
    "GetKeyStatus",
    "RotateTenantKey",
    "RotateRootKey",
    "DestroyOlderRootKeyVersions",
    "MoveSecrets",
    "GetSecretPlaces",
    "CheckSecretStore",
    "WriteOffSecretStore",
    "OwnSecretStores",
    "ListTenantConnections",
    "ChangeTenantConnections",
    "CountConnections",
    "GetSuccessRates",
    "CompleteAuthorization",
    "CreateConnectSession",
    "DeleteServiceConfig",
    "CheckRequirements",
    "PutTool",
    "ListTools",
    "DeleteTool",
    "PutOAuthApp",
    "ListOAuthApps",
    "DeleteOAuthApp",
    "PutEventEndpoint",
    "ListEventEndpoints",
    "DeleteEventEndpoint",
    "TestEventEndpoint",
    "ListEventDeliveries",
    "RetryEventDelivery",
    "GetTenantLimits",
    "SetTenantLimits",
    "GetSourceRules",
    "SetSourceRules",
];

pub const UNKNOWN: &str = "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e";

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
        // Each report is one of its own; without an id it would be refused for that.
        ("ReportUsageRequest", "request_id", _) => Some(Value::String(fresh_id())),
        ("UsageItem", "endpoint", _) => text("orders"),
        ("ReportUsageRequest", "items", Kind::Message(one)) => {
            Some(Value::List(vec![Value::Message(request(&one, id, found))]))
        }
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
        ("ExportAuditEventsRequest", "format", _) => Some(Value::EnumNumber(2)),
        ("BatchFetchCredentialsRequest", "requests", Kind::Message(one)) => {
            Some(Value::List(vec![Value::Message(request(&one, id, found))]))
        }
        ("SetServiceConfigRequest" | "ListServiceConfigsRequest", "service", _) => text("report"),
        ("ExplainPolicyRequest", "service", _) => text("spiffe://test.local/app"),
        ("ExplainPolicyRequest", "action", _) => text("FetchCredential"),
        (_, "mappings", Kind::Message(one)) => {
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

/// A UUID that no request had before.
fn fresh_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    uuid::Uuid::from_u128(u128::from(NEXT.fetch_add(1, Ordering::Relaxed))).to_string()
}

/// An answer without what differs from call to call: trace ids, and the ids that it was asked about.
fn comparable(result: Result<Vec<u8>, Status>, id: &str) -> String {
    let text = match result {
        Ok(bytes) => format!("served {}", String::from_utf8_lossy(&bytes)),
        Err(status) => {
            let mut details = status.get_error_details_vec();
            // A hash map has no order of its own.
            let mut metadata = BTreeMap::new();
            for detail in &mut details {
                if let ErrorDetail::ErrorInfo(info) = detail {
                    info.metadata.remove("trace_id");
                    metadata.extend(std::mem::take(&mut info.metadata));
                }
            }
            format!("{:?} {} {details:?} {metadata:?}", status.code(), status.message())
        }
    };
    text.replace(id, "<id>")
}

async fn answer(client: &Client, method: &MethodDescriptor, id: &str) -> String {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let message = request(&method.input(), id, &mut false);
    // The statuses of a batch's items name the trace, in the middle of an answer: it is the same in all calls.
    let client = client.with("traceparent", "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01");
    let answered = client.raw(&path, message.encode_to_vec()).await;
    // The log of a caller has its own calls before, each as a record of another id.
    let answered = answered.map(|bytes| match method.name() {
        "ListAuditEvents" => without_ids(&bytes),
        // How far the log has come is another number each time. What they stream of other tenants is tested with them.
        "TailAuditEvents" | "ExportAuditEvents" => Vec::new(),
        _ => bytes,
    });
    comparable(answered, id)
}

fn without_ids(records: &[u8]) -> Vec<u8> {
    let mut listed = v1::ListAuditEventsResponse::decode(records).unwrap();
    for event in &mut listed.events {
        event.id.clear();
        event.index = None;
    }
    listed.encode_to_vec()
}

/// What changes would show in.
async fn snapshot(vault: &TestVault) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in ["connections", "credential_versions", "service_configs", "changes", "requests"] {
        counts.push(vault.count(table).await);
    }
    counts
}
