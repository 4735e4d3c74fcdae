//! The isolation matrix, generated from the descriptors: every RPC that takes a connection's id, times every id that is
//! not the caller's, times every kind of caller, answers exactly as it does for an id that never existed. And every RPC
//! that can name a user is refused to whoever does not reach that user.

use credvault::proto::{DESCRIPTORS, v1};
use credvault::settings::{IssuerKindSetting, IssuerSection};
use credvault_domain::Clock as _;
use credvault_testkit::{Algorithm, TokenIssuer};
use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value,
};
use serde_json::json;
use tonic::Status;
use tonic_types::{ErrorDetail, StatusExt as _};

use crate::harness::{Client, TestVault, by_id, generic, owned_by, refusal};
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
        let job = vault.client("gateway").await;
        let assertion = |name: &str, value: serde_json::Value| {
            let mut claims = json!({
                "iss": "https://jobs.test.local", "aud": "credvault", "tenant": "victim", "iat": now, "exp": now + 300,
                "act": { "sub": "spiffe://test.local/gateway" },
            });
            claims[name] = value;
            job.bearing(&keys.token(&claims))
        };
        // Who calls, and the ids that are not theirs.
        let tenants = [own.as_str(), &users, &deleted];
        let of_another_tenant = [own.as_str(), &users, &deleted, &platform];
        let others: &[&str] = &[&users, &platform];
        let all = [own.as_str(), &users, &deleted, &platform, UNKNOWN];
        let callers: [(&str, Client, &[&str]); 15] = [
            ("service for another tenant", app.acting_for("intruder", None), &of_another_tenant),
            ("user of another tenant", app.acting_for("intruder", Some("u1")), &of_another_tenant),
            ("token of another tenant", gateway, &of_another_tenant),
            ("another user of the tenant", portal.acting_for("victim", Some("u2")), others),
            ("the tenant without a user", portal.acting_for("victim", None), others),
            ("an assertion for another user", assertion("sub", json!("u2")), others),
            ("an assertion without a user", assertion("note", json!("no user")), others),
            ("another user who may reach all", app.acting_for("victim", Some("u2")), &[&platform]),
            // What does not read as a user or a tenant is refused, and never reads as none.
            ("a user that is a number", assertion("sub", json!(42)), &all),
            ("a user that is null", assertion("sub", json!(null)), &all),
            ("a user that is a list", assertion("sub", json!(["u1"])), &all),
            ("a user that is an object", assertion("sub", json!({ "id": "u1" })), &all),
            ("a tenant that is a number", assertion("tenant", json!(42)), &all),
            ("a tenant that is a list", assertion("tenant", json!(["victim"])), &all),
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
                let mistyped = *ids == all.as_slice();
                assert_eq!(mistyped, unknown.contains("TOKEN_INVALID"), "{} by {who}: {unknown}", method.name());
                for id in *ids {
                    assert_eq!(answer(client, &method, id).await, unknown, "{} by {who}", method.name());
                    compared += 1;
                }
            }
        }
        assert_eq!((rpcs, compared), (19, 19 * callers.iter().map(|(_, _, ids)| ids.len()).sum::<usize>()));
        assert_eq!(snapshot(&vault).await, before, "nothing was touched");
        for (id, secret) in [(&own, "CANARY victim"), (&users, "CANARY user")] {
            assert_eq!(victim.token(by_id(id)).await.unwrap(), secret);
        }
        // The other side of the rule: what is shared, and what the permission gives.
        for (client, id, secret) in [
            (portal.acting_for("victim", None), &own, "CANARY victim"),
            (portal.acting_for("victim", Some("u2")), &own, "CANARY victim"),
            (portal.acting_for("victim", Some("u1")), &users, "CANARY user"),
            (app.acting_for("victim", Some("u2")), &users, "CANARY user"),
        ] {
            assert_eq!(client.token(by_id(id)).await.unwrap(), secret);
        }
    }

    async fn a_user_is_named_only_by_callers_who_reach_it(vault: TestVault) {
        let app = vault.app("acme").await;
        app.create(owned_by("u1", generic("mine", "CANARY user"))).await.unwrap();
        let portal = vault.client("portal").await;
        let out_of_reach = [portal.acting_for("acme", None), portal.acting_for("acme", Some("u2"))];
        let within = [app.clone(), app.acting_for("acme", Some("u2")), portal.acting_for("acme", Some("u1"))];
        let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
        let mut named = Vec::new();
        for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            if method.parent_service().name() == "AdminService" {
                continue;
            }
            let mut names = false;
            let request = naming(&method.input(), "u1", &mut names);
            if !names {
                continue;
            }
            named.push(method.name().to_owned());
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            let before = snapshot(&vault).await;
            for client in &out_of_reach {
                let refused = comparable(client.raw(&path, request.encode_to_vec()).await, UNKNOWN);
                assert!(refused.contains("POLICY_DENIED"), "{}: {refused}", method.name());
                assert!(!refused.contains("CANARY"), "{}: {refused}", method.name());
            }
            assert_eq!(snapshot(&vault).await, before, "nothing was touched");
            for (index, client) in within.iter().enumerate() {
                let mut request = request.clone();
                if let Some(account) = method.input().get_field_by_name("account_name").filter(|_| method.name() == "CreateConnection") {
                    request.set_field(&account, Value::String(format!("a{index}")));
                }
                let served = comparable(client.raw(&path, request.encode_to_vec()).await, UNKNOWN);
                assert!(served.starts_with("served") && !served.contains("POLICY_DENIED"), "{}: {served}", method.name());
            }
        }
        named.sort();
        let expected = ["BatchFetchCredentials", "CreateConnection", "FetchCredential", "ListAuditEvents", "ListConnections", "SummarizeAuditEvents"];
        assert_eq!(named, expected);
    }

    async fn what_a_call_without_a_user_is_shown_is_shared(vault: TestVault) {
        let app = vault.app("acme").await;
        let shared = app.create(generic("shared", "CANARY shared")).await.unwrap().id;
        let of_user = app.create(owned_by("u1", generic("mine", "CANARY user"))).await.unwrap().id;
        app.acting_for("acme", Some("u1")).token(by_id(&shared)).await.unwrap();
        app.token(by_id(&of_user)).await.unwrap();
        let portal = vault.client("portal").await;
        for (client, ids) in [
            (portal.acting_for("acme", None), vec![&shared]),
            (portal.acting_for("acme", Some("u1")), vec![&shared, &of_user]),
            (portal.acting_for("acme", Some("u2")), vec![&shared]),
            (app.clone(), vec![&shared, &of_user]),
        ] {
            let listed = client.connections().list_connections(v1::ListConnectionsRequest::default()).await.unwrap().into_inner();
            assert_eq!(listed.connections.iter().map(|connection| &connection.id).collect::<Vec<_>>(), ids);
        }
        // The log: of what is shared, calls without a user about no user's connection; of a user, its own calls.
        let records = portal.acting_for("acme", None).events().await;
        assert!(records.iter().all(|record| record.user_id.is_empty() && record.connection_id != of_user), "{records:?}");
        assert!(records.iter().any(|record| record.connection_id == shared && record.action == "CreateConnection"));
        let records = portal.acting_for("acme", Some("u1")).events().await;
        assert!(records.iter().all(|record| record.user_id == "u1") && !records.is_empty(), "{records:?}");
        assert!(app.events().await.iter().any(|record| record.user_id.is_empty() && record.connection_id == of_user));
        let by_user = v1::SummarizeAuditEventsRequest { group_by: vec![v1::AuditGroup::User.into()], filter: None };
        let rows = portal.acting_for("acme", None).audit().summarize_audit_events(by_user).await.unwrap().into_inner().summaries;
        assert_eq!(rows.iter().map(|row| row.keys.clone()).collect::<Vec<_>>(), [[String::new()]]);
        // A token of a page is good for the caller that it was given to.
        let list = v1::ListConnectionsRequest { page_size: 1, ..Default::default() };
        let first = app.connections().list_connections(list.clone()).await.unwrap().into_inner();
        let next = v1::ListConnectionsRequest { page_token: first.next_page_token, ..list };
        for other in [portal.acting_for("acme", None), app.acting_for("acme", Some("u1")), portal.acting_for("acme", Some("u1"))] {
            let refused = other.connections().list_connections(next.clone()).await.unwrap_err();
            assert_eq!(refusal(&refused), "InvalidArgument PAGE_TOKEN_INVALID");
        }
        assert!(app.connections().list_connections(next).await.is_ok());
        // A filter by an owner that cannot be here is refused, as a creation is.
        let owner = |kind: v1::OwnerKind| v1::ListConnectionsRequest { owner: Some(v1::Owner { kind: kind.into(), user_id: String::new() }), ..Default::default() };
        let refused = app.connections().list_connections(owner(v1::OwnerKind::Platform)).await.unwrap_err();
        assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
        let operator = vault.client("operator").await;
        let refused = operator.connections().list_connections(owner(v1::OwnerKind::Tenant)).await.unwrap_err();
        assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
        assert!(operator.connections().list_connections(owner(v1::OwnerKind::Platform)).await.is_ok());
    }
}

/// A request of this kind about the user `user`, everything else sound. `names` tells whether it has a place for one.
fn naming(message: &MessageDescriptor, user: &str, names: &mut bool) -> DynamicMessage {
    let mut request = DynamicMessage::new(message.clone());
    let text = |text: &str| Value::String(text.to_owned());
    for field in message.fields() {
        let value = match (message.name(), field.name(), field.kind()) {
            // A connection in a request is the one that is changed, and its owner never is.
            ("Connection", ..) => continue,
            (_, "user_id", _) => {
                *names = true;
                text(user)
            }
            ("Owner", "kind", _) => Value::EnumNumber(v1::OwnerKind::User.into()),
            (_, "provider", Kind::String) => text("generic"),
            ("CreateConnectionRequest", "auth_mode", _) => text("fields"),
            (_, "group_by", _) => Value::List(vec![Value::EnumNumber(3)]),
            (_, "requests", Kind::Message(one)) => {
                Value::List(vec![Value::Message(naming(&one, user, names))])
            }
            (_, "owner" | "filter", Kind::Message(inner)) => Value::Message(naming(&inner, user, names)),
            _ => continue,
        };
        request.set_field(&field, value);
    }
    request
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
    for (name, kind) in [("login", IssuerKindSetting::User), ("jobs", IssuerKindSetting::Assertion)] {
        vault.settings.identity.issuers.push(IssuerSection {
            name: name.into(),
            kind,
            issuer: format!("https://{name}.test.local"),
            jwks_file: Some(vault.folder.path().join("jwks.json")),
            audiences: vec!["credvault".into()],
            ..Default::default()
        });
    }
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
