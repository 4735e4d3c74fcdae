//! How far services have synchronised: reported with compare-and-set, and shown on the connection.

use credvault_proto::v1;
use tonic_types::StatusExt as _;

use crate::harness::{Client, TestVault, VaultBuilder, generic, refusal};
use crate::on_both;

on_both![a_sync_goes_on_where_the_last_one_ended, of_many_reports_at_once_with_one_expectation_one_wins];

fn report(id: &str, status: v1::SyncStatus) -> v1::ReportSyncRequest {
    v1::ReportSyncRequest {
        connection_id: id.to_owned(),
        resource: "orders".into(),
        status: status.into(),
        ..Default::default()
    }
}

async fn reported(app: &Client, request: v1::ReportSyncRequest) -> Result<v1::SyncState, tonic::Status> {
    Ok(app.connections().report_sync(request).await?.into_inner().state.unwrap())
}

async fn shown(app: &Client, id: &str) -> v1::Connection {
    let request = v1::GetConnectionRequest { connection_id: id.to_owned() };
    app.connections().get_connection(request).await.unwrap().into_inner().connection.unwrap()
}

async fn a_sync_goes_on_where_the_last_one_ended(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let created = app.create(generic("shop-1", "CANARY")).await.unwrap();
    let (id, etag) = (created.id, created.etag);
    let first = v1::ReportSyncRequest { expected_revision: Some(0), ..report(&id, v1::SyncStatus::Running) };
    let running = reported(&app, first.clone()).await.unwrap();
    assert_eq!((running.revision, running.start_time), (1, running.update_time));
    // A second worker that has seen nothing learns that there is something.
    let late = reported(&app, first).await.unwrap_err();
    assert_eq!(refusal(&late), "Aborted VERSION_MISMATCH");
    assert_eq!(late.get_error_details().error_info().unwrap().metadata["current_revision"], "1");

    does_not_count(&app, &running, &id, &[("page-1", None), ("page-1", Some(1)), ("", Some(2))]).await;

    vault.clock.advance(std::time::Duration::from_secs(60));
    let done = v1::ReportSyncRequest {
        cursor: Some("page-7".into()),
        expected_cursor: Some(String::new()),
        items_synced: 250,
        items_failed: 2,
        request_id: "0195a1b2-7c40-7cc1-9d3e-1f2a3b4c5d6e".into(),
        ..report(&id, v1::SyncStatus::Ok)
    };
    let ended = reported(&app, done.clone()).await.unwrap();
    assert_eq!((ended.revision, ended.items_synced, ended.start_time), (2, 250, running.start_time));
    assert_eq!(reported(&app, done.clone()).await.unwrap(), ended, "a repeated report takes effect once");
    does_not_count(&app, &ended, &id, &[("", None), ("page-6", Some(2)), ("PAGE-7", None)]).await;
    let failed = v1::ReportSyncRequest {
        expected_cursor: Some("page-7".into()),
        error: "401 for Bearer CANARY\nat page 8".into(),
        ..report(&id, v1::SyncStatus::Failed)
    };
    let failed = reported(&app, failed).await.unwrap();
    assert_eq!((failed.cursor.as_str(), failed.error.as_str()), ("page-7", "401 for Bearer … at page 8"));
    assert_eq!(reported(&app, done).await.unwrap(), failed, "a late repetition shows what is current");

    let connection = shown(&app, &id).await;
    assert_eq!(connection.last_synced_time, ended.success_time);
    assert_eq!(connection.sync_states, [failed]);
    assert_eq!(connection.etag, etag, "a report is no change of the connection");
    let listed = app.connections().list_connections(v1::ListConnectionsRequest::default()).await.unwrap();
    let listed = listed.into_inner().connections.remove(0);
    assert_eq!((listed.last_synced_time, listed.sync_states.len()), (ended.success_time, 0));
    let record = app.events().await.into_iter().find(|record| record.action == "ReportSync").unwrap();
    assert_eq!((record.connection_id, record.changed_fields), (id.clone(), vec!["orders".to_owned()]));

    beyond_the_limits(&app, &id).await;
    gone_with_its_connection(&vault, &app, id).await;
}

/// A report that has seen another cursor or another revision changes nothing, and learns the revision.
async fn does_not_count(app: &Client, current: &v1::SyncState, id: &str, seen: &[(&str, Option<i64>)]) {
    for (cursor, expected_revision) in seen {
        let request = v1::ReportSyncRequest {
            cursor: Some("page-99".into()),
            expected_cursor: Some((*cursor).to_owned()),
            expected_revision: *expected_revision,
            ..report(id, v1::SyncStatus::Ok)
        };
        let refused = reported(app, request).await.unwrap_err();
        assert_eq!(refusal(&refused), "Aborted VERSION_MISMATCH");
        let details = refused.get_error_details();
        let told = &details.error_info().unwrap().metadata["current_revision"];
        assert_eq!(*told, current.revision.to_string());
    }
    assert_eq!(shown(app, id).await.sync_states, std::slice::from_ref(current));
}

/// On two replicas, where the database serves several.
async fn of_many_reports_at_once_with_one_expectation_one_wins(builder: VaultBuilder) {
    let mut vault = builder.start().await;
    let mut apps = vec![vault.app("acme").await];
    let mut other = None;
    if vault.database.is_some() {
        other = vault.instance.take();
        vault.start().await;
        apps.push(vault.app("acme").await);
    }
    let id = apps[0].create(generic("shop-1", "CANARY")).await.unwrap().id;
    let first = v1::ReportSyncRequest { expected_revision: Some(0), ..report(&id, v1::SyncStatus::Running) };
    let mut cursor = one_wins(&apps, &first).await;
    for _ in 0..3 {
        let next = v1::ReportSyncRequest { expected_cursor: Some(cursor), ..report(&id, v1::SyncStatus::Ok) };
        cursor = one_wins(&apps, &next).await;
    }
    let state = shown(&apps[0], &id).await.sync_states.remove(0);
    assert_eq!((state.revision, state.cursor), (4, cursor));
    if let Some(other) = other {
        other.stop().await;
    }
}

/// Twenty workers report at once, each with a cursor of its own. Gives that of the one whose report counts.
async fn one_wins(apps: &[Client], request: &v1::ReportSyncRequest) -> String {
    let before = request.expected_cursor.clone().unwrap_or_default();
    let race = (0..20).map(|worker| {
        let cursor = Some(format!("{before}/{worker}"));
        reported(&apps[worker % apps.len()], v1::ReportSyncRequest { cursor, ..request.clone() })
    });
    let mut won = Vec::new();
    for outcome in futures::future::join_all(race).await {
        match outcome {
            Ok(state) => won.push(state.cursor),
            Err(refused) => assert_eq!(refusal(&refused), "Aborted VERSION_MISMATCH"),
        }
    }
    assert_eq!(won.len(), 1, "{won:?}");
    won.remove(0)
}

/// What is wrong is named by its field, and there is an end of resources.
async fn beyond_the_limits(app: &Client, id: &str) {
    for (request, field) in [
        (v1::ReportSyncRequest { resource: String::new(), ..report(id, v1::SyncStatus::Ok) }, "resource"),
        (report(id, v1::SyncStatus::Unspecified), "status"),
        (
            v1::ReportSyncRequest { cursor: Some("x".repeat(4097)), ..report(id, v1::SyncStatus::Ok) },
            "cursor",
        ),
        (v1::ReportSyncRequest { error: "x".repeat(1025), ..report(id, v1::SyncStatus::Ok) }, "error"),
        (v1::ReportSyncRequest { items_failed: -1, ..report(id, v1::SyncStatus::Ok) }, "items_failed"),
    ] {
        let refused = reported(app, request).await.unwrap_err();
        let violations = &refused.get_error_details().bad_request().unwrap().field_violations.clone();
        assert_eq!(violations[0].field, field);
    }
    for number in 1..100 {
        let request =
            v1::ReportSyncRequest { resource: format!("r{number}"), ..report(id, v1::SyncStatus::Ok) };
        reported(app, request).await.unwrap();
    }
    let beyond = v1::ReportSyncRequest { resource: "r100".into(), ..report(id, v1::SyncStatus::Ok) };
    assert_eq!(refusal(&reported(app, beyond).await.unwrap_err()), "ResourceExhausted QUOTA_EXCEEDED");
}

/// A deleted connection takes no reports, and a purged one leaves none behind.
async fn gone_with_its_connection(vault: &TestVault, app: &Client, id: String) {
    let delete = v1::DeleteConnectionRequest { connection_id: id.clone(), ..Default::default() };
    app.connections().delete_connection(delete).await.unwrap();
    let gone = reported(app, report(&id, v1::SyncStatus::Ok)).await.unwrap_err();
    assert_eq!(refusal(&gone), "FailedPrecondition STATE_INVALID");
    let purge = v1::PurgeConnectionRequest { connection_id: id, ..Default::default() };
    app.connections().purge_connection(purge).await.unwrap();
    assert_eq!(vault.count("sync_states").await, 0);
}
