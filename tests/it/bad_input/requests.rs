//! Requests that are refused: bytes that do not decode, ids, page tokens, etags and masks.

use credvault_proto::v1;
use prost::Message as _;

use super::{UNKNOWN, faults};
use crate::harness::{Client, VaultBuilder, by_id, generic, refusal};
use crate::on_both;

on_both![what_cannot_be_read_is_the_callers_mistake_and_on_record, ids_pages_etags_and_masks_are_checked];

async fn what_cannot_be_read_is_the_callers_mistake_and_on_record(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let fetch = "/credvault.v1.VaultService/FetchCredential";
    // A string field with bytes that are no UTF-8; a field cut short; more than 256 KiB.
    let invalid_utf8 = vec![0x0a, 2, 0xff, 0xfe];
    let truncated = vec![0x0a, 200, 1];
    for message in [invalid_utf8, truncated, vec![b'x'; 256 * 1024 + 1]] {
        let status = app.raw(fetch, message).await.unwrap_err();
        assert_eq!(refusal(&status), "InvalidArgument FIELDS_INVALID");
    }
    let events = app.events().await;
    let unread =
        events.iter().filter(|event| event.action == "FetchCredential" && event.reason == "FIELDS_INVALID");
    assert_eq!(unread.count(), 3);
    // Unknown fields are ignored, as protobuf has it.
    let mut message = by_id(UNKNOWN).encode_to_vec();
    message.extend([0xf8, 0x07, 1]);
    assert_eq!(refusal(&app.raw(fetch, message).await.unwrap_err()), "NotFound CONNECTION_NOT_FOUND");
    let status = app.raw("/credvault.v1.VaultService/Nothing", Vec::new()).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unimplemented);
}

async fn ids_pages_etags_and_masks_are_checked(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let id = app.create(generic("a", "CANARY")).await.unwrap().id;
    let statuses = [wrong_lists_and_changes(&app, &id).await, wrong_fetches(&app, &id).await].concat();
    for (field, status) in statuses {
        assert_eq!(refusal(&status), "InvalidArgument FIELDS_INVALID");
        assert_eq!(faults(&status), vec![field.to_owned()]);
    }
    // What was never made is not found, and a name that is taken exists.
    let missing =
        v1::RollbackCredentialRequest { connection_id: id.clone(), version: 9, ..Default::default() };
    assert_eq!(
        refusal(&app.vault().rollback_credential(missing).await.unwrap_err()),
        "NotFound VERSION_NOT_FOUND"
    );
    assert_eq!(
        refusal(&app.create(generic("a", "CANARY")).await.unwrap_err()),
        "AlreadyExists CONNECTION_EXISTS"
    );
    let again = v1::CreateTenantRequest { tenant_id: "acme".into(), ..Default::default() };
    let operator = vault.client("operator").await;
    assert_eq!(
        refusal(&operator.admin().create_tenant(again).await.unwrap_err()),
        "AlreadyExists TENANT_EXISTS"
    );
}

/// Requests about connections with one wrong field each: the field, and the answer.
async fn wrong_lists_and_changes(app: &Client, id: &str) -> Vec<(&'static str, tonic::Status)> {
    let mut connections = app.connections();
    let mut statuses = Vec::new();
    for wrong in ["", "CANARY", &id.to_uppercase(), &id.replace('-', "")] {
        let request = v1::GetConnectionRequest { connection_id: wrong.to_owned() };
        statuses.push(("connection_id", connections.get_connection(request).await.unwrap_err()));
    }
    let list = v1::ListConnectionsRequest { page_size: -1, ..Default::default() };
    statuses.push(("page_size", connections.list_connections(list).await.unwrap_err()));
    let list = v1::ListConnectionsRequest { owner: Some(v1::Owner::default()), ..Default::default() };
    statuses.push(("owner.kind", connections.list_connections(list).await.unwrap_err()));
    let list = v1::ListConnectionsRequest { state: 99, ..Default::default() };
    statuses.push(("state", connections.list_connections(list).await.unwrap_err()));
    let delete = v1::DeleteConnectionRequest {
        connection_id: id.to_owned(),
        etag: "CANARY".into(),
        ..Default::default()
    };
    statuses.push(("etag", connections.delete_connection(delete).await.unwrap_err()));
    for paths in [vec![], vec!["provider".to_owned()], vec!["enabled".to_owned(), "CANARY".to_owned()]] {
        let update = v1::UpdateConnectionRequest {
            connection: Some(v1::Connection { id: id.to_owned(), ..Default::default() }),
            update_mask: Some(prost_types::FieldMask { paths }),
            request_id: String::new(),
        };
        statuses.push(("update_mask", connections.update_connection(update).await.unwrap_err()));
    }
    statuses
}

/// Fetches with one wrong field each: the field, and the answer.
async fn wrong_fetches(app: &Client, id: &str) -> Vec<(&'static str, tonic::Status)> {
    let mut vault_client = app.vault();
    let mut statuses = Vec::new();
    let both = v1::FetchCredentialRequest { provider: "generic".into(), ..by_id(id) };
    statuses.push(("provider", vault_client.fetch_credential(both).await.unwrap_err()));
    statuses.push((
        "connection_id",
        vault_client.fetch_credential(v1::FetchCredentialRequest::default()).await.unwrap_err(),
    ));
    let version = v1::FetchCredentialRequest { version: -1, ..by_id(id) };
    statuses.push(("version", vault_client.fetch_credential(version).await.unwrap_err()));
    let purpose = v1::FetchCredentialRequest { purpose: "CANARY\n".into(), ..by_id(id) };
    statuses.push(("purpose", vault_client.fetch_credential(purpose).await.unwrap_err()));
    let batch = v1::BatchFetchCredentialsRequest { requests: vec![by_id(id); 101] };
    statuses.push(("requests", vault_client.batch_fetch_credentials(batch).await.unwrap_err()));
    let summary = v1::SummarizeAuditEventsRequest::default();
    statuses.push(("group_by", app.audit().summarize_audit_events(summary).await.unwrap_err()));
    statuses
}
