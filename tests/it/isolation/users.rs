//! What a caller learns of the users of its own tenant.

use credvault_proto::{DESCRIPTORS, v1};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, MethodDescriptor, Value};

use super::{UNKNOWN, comparable, snapshot};
use crate::harness::{Client, VaultBuilder, by_id, generic, owned_by, refusal};
use crate::on_both;

on_both![a_user_is_named_only_by_callers_who_reach_it, what_a_call_without_a_user_is_shown_is_shared];

async fn a_user_is_named_only_by_callers_who_reach_it(builder: VaultBuilder) {
    let vault = builder.start().await;
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
            let request = of_its_own(&method, &request, index);
            let served = comparable(client.raw(&path, request.encode_to_vec()).await, UNKNOWN);
            assert!(served.starts_with("served"), "{}: {served}", method.name());
            assert!(!served.contains("POLICY_DENIED"), "{}: {served}", method.name());
        }
    }
    named.sort();
    let expected = [
        "BatchFetchCredentials",
        "CheckRequirements",
        "CreateConnection",
        "DeleteServiceConfig",
        "ExportAuditEvents",
        "FetchCredential",
        "GetUsage",
        "ListAuditEvents",
        "ListConnections",
        "ListServiceConfigs",
        "SetServiceConfig",
        "SummarizeAuditEvents",
        "TailAuditEvents",
    ];
    assert_eq!(named, expected);
}

/// The request of the caller `index`, about what no other caller has made or deleted.
fn of_its_own(method: &MethodDescriptor, request: &DynamicMessage, index: usize) -> DynamicMessage {
    let mut request = request.clone();
    let field = |name: &str| method.input().get_field_by_name(name);
    if let Some(account) = field("account_name").filter(|_| method.name() == "CreateConnection") {
        request.set_field(&account, Value::String(format!("a{index}")));
    }
    // Each caller has a service of its own, which is not there any more after DeleteServiceConfig.
    if let Some(service) = field("service") {
        request.set_field(&service, Value::String(format!("report{index}")));
    }
    request
}

async fn what_a_call_without_a_user_is_shown_is_shared(builder: VaultBuilder) {
    let vault = builder.start().await;
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
        let listed = client
            .connections()
            .list_connections(v1::ListConnectionsRequest::default())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(listed.connections.iter().map(|connection| &connection.id).collect::<Vec<_>>(), ids);
    }
    records_without_a_user_are_about_shared_connections(&app, &portal, &shared, &of_user).await;
    page_tokens_are_for_their_caller(&app, &portal).await;
    // A filter by an owner that cannot be here is refused, as a creation is.
    let owner = |kind: v1::OwnerKind| v1::ListConnectionsRequest {
        owner: Some(v1::Owner { kind: kind.into(), user_id: String::new() }),
        ..Default::default()
    };
    let refused = app.connections().list_connections(owner(v1::OwnerKind::Platform)).await.unwrap_err();
    assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
    let operator = vault.client("operator").await;
    let refused = operator.connections().list_connections(owner(v1::OwnerKind::Tenant)).await.unwrap_err();
    assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
    assert!(operator.connections().list_connections(owner(v1::OwnerKind::Platform)).await.is_ok());
}

async fn page_tokens_are_for_their_caller(app: &Client, portal: &Client) {
    // A token of a page is good for the caller that it was given to.
    let list = v1::ListConnectionsRequest { page_size: 1, ..Default::default() };
    let first = app.connections().list_connections(list.clone()).await.unwrap().into_inner();
    let next = v1::ListConnectionsRequest { page_token: first.next_page_token, ..list };
    for other in [
        portal.acting_for("acme", None),
        app.acting_for("acme", Some("u1")),
        portal.acting_for("acme", Some("u1")),
    ] {
        let refused = other.connections().list_connections(next.clone()).await.unwrap_err();
        assert_eq!(refusal(&refused), "InvalidArgument PAGE_TOKEN_INVALID");
    }
    assert!(app.connections().list_connections(next).await.is_ok());
}

async fn records_without_a_user_are_about_shared_connections(
    app: &Client,
    portal: &Client,
    shared: &str,
    of_user: &str,
) {
    // The log: of what is shared, calls without a user about no user's connection; of a user, its own calls.
    let records = portal.acting_for("acme", None).events().await;
    assert!(
        records.iter().all(|record| record.user_id.is_empty() && record.connection_id != of_user),
        "{records:?}"
    );
    assert!(
        records.iter().any(|record| record.connection_id == shared && record.action == "CreateConnection")
    );
    let records = portal.acting_for("acme", Some("u1")).events().await;
    assert!(records.iter().all(|record| record.user_id == "u1"), "{records:?}");
    assert!(!records.is_empty(), "{records:?}");
    assert!(
        app.events().await.iter().any(|record| record.user_id.is_empty() && record.connection_id == of_user)
    );
    let by_user =
        v1::SummarizeAuditEventsRequest { group_by: vec![v1::AuditGroup::User.into()], filter: None };
    let rows = portal
        .acting_for("acme", None)
        .audit()
        .summarize_audit_events(by_user)
        .await
        .unwrap()
        .into_inner()
        .summaries;
    assert_eq!(rows.iter().map(|row| row.keys.clone()).collect::<Vec<_>>(), [[String::new()]]);
}

/// A request of this kind about the user `user`, everything else sound. `names` tells whether it has a place for one.
fn naming(message: &MessageDescriptor, user: &str, names: &mut bool) -> DynamicMessage {
    let mut request = DynamicMessage::new(message.clone());
    let text = |text: &str| Value::String(text.to_owned());
    for field in message.fields() {
        let value = match (message.name(), field.name(), field.kind()) {
            ("SetServiceConfigRequest" | "DeleteServiceConfigRequest", "service", _) => text("report"),
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
            ("ExportAuditEventsRequest", "format", _) => Value::EnumNumber(2),
            (_, "requests" | "requirements", Kind::Message(one)) => {
                Value::List(vec![Value::Message(naming(&one, user, names))])
            }
            (_, "owner" | "filter", Kind::Message(inner)) => Value::Message(naming(&inner, user, names)),
            _ => continue,
        };
        request.set_field(&field, value);
    }
    request
}
