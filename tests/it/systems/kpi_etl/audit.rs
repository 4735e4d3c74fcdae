//! "Audit Trail" and "src/lib/audit-log.ts": what was done is on record, without a secret, and can be asked and summed.

use credvault_proto::v1;

use super::{Etl, deleted, shop, updated, verified};
use crate::harness::{Client, VaultBuilder, by_id, refusal};
use crate::on_both;

on_both![every_operation_is_on_record_and_no_secret];

/// What `getAuditLogs()` returned, newest first.
async fn events(client: &Client, filter: v1::AuditFilter) -> Vec<v1::AuditEvent> {
    let request = v1::ListAuditEventsRequest { filter: Some(filter), page_size: 500, ..Default::default() };
    client.audit().list_audit_events(request).await.unwrap().into_inner().events
}

async fn every_operation_is_on_record_and_no_secret(builder: VaultBuilder) {
    let etl = Etl::start(builder).await;
    let user = etl.user("user_1");
    let id = user.create(shop("Main", &etl.issued("shop-1"))).await.unwrap().id;
    user.create(shop("Main", "shpat_CANARYagain")).await.unwrap_err();
    for _ in 0..2 {
        user.fetch(by_id(&id)).await.unwrap();
    }
    verified(&user, &id).await.unwrap();
    updated(&user, &id, "shpat_CANARYnew", false).await.unwrap();
    deleted(&user, &id).await.unwrap();
    let stranger = etl.user("user_2");
    stranger.fetch(by_id(&id)).await.unwrap_err();

    // "All operations logged", "Timestamp on all audit entries", "No sensitive data logged"
    let log = user.events().await;
    let actions: Vec<_> = log.iter().rev().map(|event| (event.action.as_str(), event.outcome())).collect();
    use v1::AuditOutcome::{Failed, Ok};
    assert_eq!(
        actions,
        [
            ("CreateConnection", Ok),
            ("CreateConnection", Failed),
            ("FetchCredential", Ok),
            ("FetchCredential", Ok),
            ("TestConnection", Ok),
            ("PutCredential", Ok),
            ("DeleteConnection", Ok),
        ]
    );
    assert!(log.iter().all(|event| event.time.is_some() && event.user_id == "user_1"), "{log:?}");
    assert!(!format!("{log:?}").contains("CANARY") && !format!("{log:?}").contains("sim_access_"), "{log:?}");
    logs_are_found_and_summed(&user, &id).await;

    // Each user reads its own; a service that reads all of an organisation has the permission for it.
    assert!(stranger.events().await.iter().all(|event| event.user_id == "user_2"));
    let auditor = etl.connected.vault.client("app").await.acting_for("acme", None);
    let failed = v1::AuditFilter { outcome: Failed.into(), ..Default::default() };
    let of_user_2 = v1::AuditFilter { user_id: "user_2".into(), ..failed.clone() };
    assert_eq!((events(&auditor, failed).await.len(), events(&auditor, of_user_2).await.len()), (3, 1));
    // Unlike rows that are deleted softly, the log outlives a purge.
    let purge = v1::PurgeConnectionRequest { connection_id: id.clone(), ..Default::default() };
    user.connections().purge_connection(purge).await.unwrap();
    let of_it = v1::AuditFilter { connection_id: id, ..Default::default() };
    assert!(events(&user, of_it).await.len() >= 6);
}

/// "Retrieve audit logs by user/action/service", where a service may be one of ours or a provider; "Generate audit summary
/// statistics"
async fn logs_are_found_and_summed(user: &Client, id: &str) {
    let fetches = v1::AuditFilter {
        action: "FetchCredential".into(),
        user_id: "user_1".into(),
        service: "spiffe://test.local/gateway".into(),
        connection_id: id.to_owned(),
        provider: "shopify".into(),
        ..Default::default()
    };
    assert_eq!(events(user, fetches.clone()).await.len(), 2);
    let elsewhere = v1::AuditFilter { provider: "google_sheets".into(), ..fetches };
    assert!(events(user, elsewhere).await.is_empty());
    let wrong = v1::AuditFilter { provider: "CANARY".into(), ..Default::default() };
    let request = v1::ListAuditEventsRequest { filter: Some(wrong), ..Default::default() };
    let refused = user.audit().list_audit_events(request).await.unwrap_err();
    assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID");
    assert!(refused.message().contains("filter.provider") && !format!("{refused:?}").contains("CANARY"));
    // `getAuditLogsSummary()`
    let group_by = vec![v1::AuditGroup::Action.into(), v1::AuditGroup::Outcome.into()];
    let of_shops = v1::AuditFilter { provider: "shopify".into(), ..Default::default() };
    let request = v1::SummarizeAuditEventsRequest { filter: Some(of_shops), group_by };
    let sums = user.audit().summarize_audit_events(request).await.unwrap().into_inner().summaries;
    let of =
        |action: &str| -> i64 { sums.iter().filter(|sum| sum.keys[0] == action).map(|sum| sum.count).sum() };
    assert_eq!(
        [of("CreateConnection"), of("FetchCredential"), of("DeleteConnection")],
        [2, 2, 1],
        "{sums:?}"
    );
}
