//! What an answer says of its own audit record, and how records are found by it and by their other fields.

use credvault_proto::v1;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use crate::harness::{Client, VaultBuilder, by_id, by_provider, generic, refusal};
use crate::on_both;

on_both![
    an_answer_names_its_record,
    the_first_answer_of_a_stream_names_its_record,
    records_are_found_by_each_of_their_fields,
    wrong_filters_are_named,
];

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

fn record_of(metadata: &MetadataMap) -> String {
    metadata.get("credvault-audit-event-id").expect("an id").to_str().unwrap().to_owned()
}

/// The record in the log of a caller that has this id.
async fn found(reader: &Client, metadata: &MetadataMap) -> v1::AuditEvent {
    let id = record_of(metadata);
    let mut events = reader.events().await;
    events.retain(|event| event.id == id);
    assert_eq!(events.len(), 1, "{id}: {events:?}");
    events.remove(0)
}

async fn an_answer_names_its_record(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let operator = vault.client("operator").await;
    let create = app.connections().create_connection(generic("main", "CANARY")).await.unwrap();
    let record = found(&app, create.metadata()).await;
    let id = create.into_inner().connection.unwrap().id;
    assert_eq!((record.action.as_str(), &record.connection_id), ("CreateConnection", &id));
    assert_eq!((record.tenant_id.as_str(), record.outcome()), ("acme", v1::AuditOutcome::Ok));

    let fetch = app.vault().fetch_credential(by_id(&id)).await.unwrap();
    assert_eq!(found(&app, fetch.metadata()).await.action, "FetchCredential");
    // A batch names its own record; those of its fetches have its trace.
    let batch = v1::BatchFetchCredentialsRequest { requests: vec![by_id(&id), by_id(&id)] };
    let traced = app.with("traceparent", TRACEPARENT);
    let batch = traced.vault().batch_fetch_credentials(batch).await.unwrap();
    assert_eq!(found(&app, batch.metadata()).await.action, "BatchFetchCredentials");
    let of_batch = v1::AuditFilter { trace_id: TRACE.to_uppercase(), ..Default::default() };
    assert_eq!(listed(&app, of_batch).await.unwrap().len(), 3);

    // A refusal of the operation, and one of the gate, which is in the platform's log.
    let unknown = app.fetch(by_id("0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e")).await.unwrap_err();
    let record = found(&app, unknown.metadata()).await;
    assert_eq!(
        (record.reason.as_str(), record.outcome()),
        ("CONNECTION_NOT_FOUND", v1::AuditOutcome::Failed)
    );
    let gateway = vault.client("gateway").await.acting_for("acme", None);
    let denied = gateway.fetch(by_provider("generic")).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    let record = found(&operator, denied.metadata()).await;
    assert_eq!((record.reason.as_str(), record.tenant_id.as_str()), ("POLICY_DENIED", ""));
}

async fn the_first_answer_of_a_stream_names_its_record(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let operator = vault.client("operator").await;
    let rotate = v1::RotateTenantKeyRequest { tenant_id: "acme".into(), ..Default::default() };
    let begun = operator.admin().rotate_tenant_key(rotate).await.unwrap();
    let id = record_of(begun.metadata());
    let records = app.events().await;
    let record = records.iter().find(|event| event.id == id).unwrap();
    assert_eq!(record.action, "RotateTenantKey");
}

async fn listed(client: &Client, filter: v1::AuditFilter) -> Result<Vec<v1::AuditEvent>, Status> {
    let request = v1::ListAuditEventsRequest { filter: Some(filter), ..Default::default() };
    Ok(client.audit().list_audit_events(request).await?.into_inner().events)
}

async fn records_are_found_by_each_of_their_fields(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    let purposeful = v1::FetchCredentialRequest { purpose: "order sync".into(), ..by_id(&id) };
    app.with("traceparent", TRACEPARENT).fetch(purposeful).await.unwrap();
    let nothing = v1::FetchCredentialRequest { user_id: "u3".into(), ..by_provider("shopify") };
    app.fetch(nothing).await.unwrap_err();

    let all = v1::AuditFilter { action: "FetchCredential".into(), ..Default::default() };
    let ids = async |filter| {
        let found = listed(&app, filter).await.unwrap().into_iter();
        found.map(|event| (event.purpose, event.reason)).collect::<Vec<_>>()
    };
    let served = ("order sync".to_owned(), String::new());
    let refused = (String::new(), "CREDENTIAL_NOT_CONFIGURED".to_owned());
    let both = vec![refused.clone(), served.clone()];
    assert_eq!(ids(all.clone()).await, both);
    let reason = v1::AuditFilter { reason: "CREDENTIAL_NOT_CONFIGURED".into(), ..all.clone() };
    assert_eq!(ids(reason).await, std::slice::from_ref(&refused));
    let owner = v1::AuditFilter { owner_user_id: "u3".into(), ..all.clone() };
    assert_eq!(ids(owner).await, std::slice::from_ref(&refused));
    let purpose = v1::AuditFilter { purpose: "order sync".into(), ..all.clone() };
    assert_eq!(ids(purpose).await, std::slice::from_ref(&served));
    let trace = v1::AuditFilter { trace_id: TRACE.into(), ..all.clone() };
    assert_eq!(ids(trace).await, std::slice::from_ref(&served));
    for (source, expected) in [("header", both.clone()), ("token", Vec::new())] {
        let filter = v1::AuditFilter { tenant_source: source.into(), ..all.clone() };
        assert_eq!(ids(filter).await, expected, "{source}");
    }
    for (address, expected) in [("127.0.0.1", both.clone()), ("::ffff:127.0.0.1", both), ("::1", Vec::new())]
    {
        let filter = v1::AuditFilter { source_address: address.into(), ..all.clone() };
        assert_eq!(ids(filter).await, expected, "{address}");
    }
    let group_by = [v1::AuditGroup::Purpose, v1::AuditGroup::TenantSource, v1::AuditGroup::SourceAddress];
    let group_by = group_by.into_iter().map(i32::from).collect();
    let request = v1::SummarizeAuditEventsRequest { filter: Some(all), group_by };
    let rows = app.audit().summarize_audit_events(request).await.unwrap().into_inner().summaries;
    let rows: Vec<_> = rows.iter().map(|row| row.keys.join(" ")).collect();
    assert_eq!(rows, [" header 127.0.0.1", "order sync header 127.0.0.1"]);
}

async fn wrong_filters_are_named(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let wrong = v1::AuditFilter {
        reason: "CANARY".into(),
        purpose: " CANARY".into(),
        tenant_source: "CANARY".into(),
        source_address: "10.0.0.0/8".into(),
        trace_id: "0".repeat(32),
        owner_user_id: "CANARY\n".into(),
        ..Default::default()
    };
    let refused = listed(&app, wrong).await.unwrap_err();
    assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
    let violations = tonic_types::StatusExt::get_details_bad_request(&refused).unwrap().field_violations;
    let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    let expected = ["reason", "purpose", "tenant_source", "source_address", "trace_id", "owner_user_id"];
    assert_eq!(fields, expected.map(|field| format!("filter.{field}")));
    assert!(!format!("{refused:?}").contains("CANARY"), "{refused:?}");

    // Only a caller that reaches all users may name another one.
    let user = vault.client("portal").await.acting_for("acme", Some("u1"));
    let own = v1::AuditFilter { owner_user_id: "u1".into(), ..Default::default() };
    listed(&user, own).await.unwrap();
    let other = v1::AuditFilter { owner_user_id: "u2".into(), ..Default::default() };
    assert_eq!(refusal(&listed(&user, other).await.unwrap_err()), "PermissionDenied POLICY_DENIED");
}
