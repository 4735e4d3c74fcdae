//! What counts, for whom, and who is shown it.

use credvault_domain::Clock as _;
use credvault_proto::v1;
use prost_types::Timestamp;

use super::{item, report, send, total, usage};
use crate::harness::provider::STRICT;
use crate::harness::{TestVault, VaultBuilder, by_id, by_provider, eventually, generic, owned_by, refusal};
use crate::on_both;

on_both![
    reports_and_the_vaults_own_counts_are_summed_for_those_who_reach_them,
    what_is_wrong_with_a_report_is_named_and_nothing_counts,
    items_that_do_not_count_do_not_keep_the_others,
    a_refresh_counts_for_the_vault,
    a_policy_hides_what_was_fetched_of_the_platform,
];

async fn reports_and_the_vaults_own_counts_are_summed_for_those_who_reach_them(builder: VaultBuilder) {
    let mut vault = builder.start().await;
    let app = vault.app("acme").await;
    let shared = app.create(generic("shared", "CANARY shared")).await.unwrap().id;
    let own = app.create(owned_by("u1", generic("mine", "CANARY mine"))).await.unwrap().id;
    let (u1, u2) = (app.acting_for("acme", Some("u1")), app.acting_for("acme", Some("u2")));
    for (client, times) in [(&u1, 3), (&u2, 2)] {
        for _ in 0..times {
            client.token(by_id(&shared)).await.unwrap();
        }
    }
    assert!(app.fetch(by_id("0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e")).await.is_err(), "it does not count");
    let first =
        report(1, vec![item(&shared, "orders", 10), item(&own, "orders", 5), item(&own, "returns", 1)]);
    let answered = send(&u1, first.clone()).await.unwrap();
    assert_eq!(
        (answered.accepted_items, answered.rejected_items.len(), answered.counted_before),
        (3, 0, false)
    );
    assert!(send(&u1, first.clone()).await.unwrap().counted_before);
    // The id is one of a service's user: for another user it is another report.
    assert!(!send(&u2, report(1, vec![item(&shared, "orders", 100)])).await.unwrap().counted_before);
    let other = send(&u1, report(1, vec![item(&shared, "orders", 11)])).await.unwrap_err();
    assert_eq!(refusal(&other), "InvalidArgument FIELDS_INVALID");
    // At an orderly stop nothing is lost.
    vault.stop().await;
    vault.start().await;
    let app = vault.client("app").await.acting_for("acme", None);
    let sum = total(&app).await;
    assert_eq!((sum.calls, sum.errors, sum.rate_limit_hits, sum.fetches), (116, 4, 0, 5));

    let by_user = [v1::UsageGroup::User, v1::UsageGroup::Service];
    let rows = usage(&app, v1::UsageFilter::default(), &by_user).await.unwrap().rows;
    let shown: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row.user_id.as_str(),
                row.service.as_str(),
                row.counts.unwrap().calls,
                row.counts.unwrap().fetches,
            )
        })
        .collect();
    let service = "spiffe://test.local/app";
    assert_eq!(shown, [("u1", service, 16, 3), ("u2", service, 100, 2)]);
    let of_own =
        v1::UsageFilter { connection_id: own.clone(), endpoint: "orders".into(), ..Default::default() };
    let groups = [v1::UsageGroup::Connection, v1::UsageGroup::Day];
    let answered = usage(&app, of_own, &groups).await.unwrap();
    assert_eq!(answered.rows.len(), 1);
    assert_eq!((&answered.rows[0].connection_id, answered.rows[0].provider.as_str()), (&own, "generic"));
    assert_eq!((&answered.rows[0].day, answered.total.unwrap().calls), (&answered.end_day, 5));

    who_does_not_reach_all_users_learns_of_no_other(&vault).await;
    // The calls are on record, under their names.
    let records = app.events().await;
    assert!(records.iter().any(|record| record.action == "ReportUsage" && record.user_id == "u2"));
    assert!(records.iter().any(|record| record.action == "GetUsage" && record.reason == "POLICY_DENIED"));
}

/// Such a caller sees what is shared and their own.
async fn who_does_not_reach_all_users_learns_of_no_other(vault: &TestVault) {
    let by_user = [v1::UsageGroup::User, v1::UsageGroup::Service];
    let portal = vault.client("portal").await;
    for (client, calls, fetches) in [
        (portal.acting_for("acme", Some("u1")), 116, 5),
        (portal.acting_for("acme", Some("u2")), 110, 5),
        (portal.acting_for("acme", None), 110, 5),
    ] {
        let sum = total(&client).await;
        assert_eq!((sum.calls, sum.fetches), (calls, fetches));
        let refused = usage(&client, v1::UsageFilter::default(), &by_user).await.unwrap_err();
        assert_eq!(refusal(&refused), "PermissionDenied POLICY_DENIED");
    }
    let mine = v1::UsageFilter { user_id: "u1".into(), ..Default::default() };
    let rows = usage(&portal.acting_for("acme", Some("u1")), mine, &by_user).await.unwrap().rows;
    assert_eq!(rows.iter().map(|row| row.counts.unwrap().calls).collect::<Vec<_>>(), [16]);
}

async fn what_is_wrong_with_a_report_is_named_and_nothing_counts(builder: VaultBuilder) {
    let vault = builder.start().await;
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    let good = item(&id, "orders", 1);
    let with = |change: fn(&mut v1::UsageItem)| {
        let mut changed = good.clone();
        change(&mut changed);
        report(1, vec![good.clone(), changed])
    };
    for (request, field) in [
        (v1::ReportUsageRequest { request_id: String::new(), items: vec![good.clone()] }, "request_id"),
        (v1::ReportUsageRequest { request_id: "x".into(), items: vec![good.clone()] }, "request_id"),
        (report(1, Vec::new()), "items"),
        (report(1, vec![good.clone(); 5001]), "items"),
        (with(|item| item.connection_id = "CANARY".into()), "items[1].connection_id"),
        (with(|item| item.connection_id.clear()), "items[1].connection_id"),
        (with(|item| item.endpoint.clear()), "items[1].endpoint"),
        (with(|item| item.endpoint = "CANARY\n".into()), "items[1].endpoint"),
        (with(|item| item.calls = -1), "items[1].calls"),
        (with(|item| item.rate_limit_hits = 1_000_001), "items[1].rate_limit_hits"),
    ] {
        let refused = send(&app, request).await.unwrap_err();
        assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID", "{field}");
        let text = format!("{refused:?}");
        assert!(text.contains(field) && !text.contains("CANARY"), "{field}: {text}");
    }
    let filter = |change: fn(&mut v1::UsageFilter)| {
        let mut filter = v1::UsageFilter::default();
        change(&mut filter);
        filter
    };
    for (filter, groups, field) in [
        (filter(|filter| filter.start_day = "21.11.2026".into()), vec![], "filter.start_day"),
        (filter(|filter| filter.end_day = "1999-12-31".into()), vec![v1::UsageGroup::Day], ""),
        (filter(|filter| filter.start_day = "2999-12-31".into()), vec![], "filter.start_day"),
        (filter(|filter| filter.service = "app".into()), vec![], "filter.service"),
        (filter(|_| {}), vec![v1::UsageGroup::Day; 2], "group_by"),
        (filter(|_| {}), vec![v1::UsageGroup::Unspecified], "group_by"),
    ] {
        match usage(&app, filter, &groups).await {
            Ok(answered) => assert!(field.is_empty() && answered.rows.is_empty(), "{field}"),
            Err(refused) => {
                assert!(format!("{refused:?}").contains(field) && !field.is_empty(), "{refused:?}")
            }
        }
    }
    assert_eq!(total(&app).await, v1::UsageCounts::default());
}

async fn items_that_do_not_count_do_not_keep_the_others(builder: VaultBuilder) {
    let forbid = r#"@id("no-xero-reports") forbid (principal, action == Action::"ReportUsage", resource)
        when { context has owner_user && context.owner_user == "u9" };"#;
    let vault = builder.policies(forbid).start().await;
    let app = vault.app("acme").await;
    let id = app.create(generic("main", "CANARY")).await.unwrap().id;
    let denied = app.create(owned_by("u9", generic("denied", "CANARY"))).await.unwrap().id;
    let foreign = vault.app("other").await.create(generic("foreign", "CANARY")).await.unwrap().id;
    let unknown = "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6e";
    let now = vault.clock.now().micros() / 1_000_000;
    let at = |ago: i64| v1::UsageItem {
        time: Some(Timestamp { seconds: now - ago, nanos: 0 }),
        ..item(&id, "orders", 1)
    };
    let day = 86_400;
    let items = vec![
        item(&foreign, "orders", 1),
        item(&id, "orders", 1),
        item(unknown, "orders", 1),
        item(&denied, "orders", 1),
        at(-day),
        at(31 * day),
        at(29 * day),
    ];
    let answered = send(&app, report(1, items)).await.unwrap();
    let rejected: Vec<_> =
        answered.rejected_items.iter().map(|item| (item.index, item.reason.as_str())).collect();
    assert_eq!(
        rejected,
        [
            (0, "CONNECTION_NOT_FOUND"),
            (2, "CONNECTION_NOT_FOUND"),
            (3, "POLICY_DENIED"),
            (4, "FIELDS_INVALID"),
            (5, "FIELDS_INVALID")
        ]
    );
    assert_eq!((answered.accepted_items, total(&app).await.calls), (2, 2));
    // A report of which nothing counts uses up no id.
    let nothing = send(&app, report(2, vec![item(unknown, "orders", 1)])).await.unwrap();
    assert_eq!((nothing.accepted_items, nothing.rejected_items.len()), (0, 1));
    assert!(!send(&app, report(2, vec![item(&id, "orders", 1)])).await.unwrap().counted_before);
    // What is purged keeps its counts, and takes no more.
    let named = v1::DeleteConnectionRequest { connection_id: id.clone(), ..Default::default() };
    app.connections().delete_connection(named).await.unwrap();
    assert_eq!(send(&app, report(3, vec![item(&id, "orders", 1)])).await.unwrap().accepted_items, 1);
    let purge = v1::PurgeConnectionRequest { connection_id: id.clone(), ..Default::default() };
    app.connections().purge_connection(purge).await.unwrap();
    assert_eq!(send(&app, report(4, vec![item(&id, "orders", 1)])).await.unwrap().accepted_items, 0);
    let filter = v1::UsageFilter { connection_id: id, ..Default::default() };
    assert_eq!(usage(&app, filter, &[]).await.unwrap().total.unwrap().calls, 4);
}

async fn a_refresh_counts_for_the_vault(builder: VaultBuilder) {
    let connected = builder.start_with_provider(STRICT).await;
    let app = connected.vault.app("acme").await;
    let id = connected.granted(&app, "shop-1", -60).await;
    app.fetch(by_id(&id)).await.unwrap();
    app.fetch(by_id(&id)).await.unwrap();
    eventually("the counts are written", || async {
        let sum = total(&app).await;
        (sum.fetches, sum.refreshes) == (2, 1)
    })
    .await;
    let by_service = [v1::UsageGroup::Service];
    let filter = v1::UsageFilter { connection_id: id, service: "vault".into(), ..Default::default() };
    let rows = usage(&app, filter, &by_service).await.unwrap().rows;
    assert_eq!(rows.iter().map(|row| row.counts.unwrap().refreshes).collect::<Vec<_>>(), [1]);
}

/// The platform's shared connection counts where it was fetched, as the platform's.
async fn a_policy_hides_what_was_fetched_of_the_platform(builder: VaultBuilder) {
    let forbid = r#"forbid (principal == Service::"spiffe://test.local/portal", action == Action::"GetUsage", resource)
        when { context has owner && context.owner == "platform" };"#;
    let vault = builder.policies(forbid).start().await;
    let (app, portal) = (vault.app("acme").await, vault.client("portal").await.acting_for("acme", None));
    let shared = v1::CreateConnectionRequest { owner: None, ..generic("shared", "CANARY platform") };
    let of_platform = vault.client("operator").await.create(shared).await.unwrap().id;
    app.fetch(by_provider("generic")).await.unwrap();
    let of_tenant = app.create(generic("own", "CANARY tenant")).await.unwrap().id;
    app.fetch(by_id(&of_tenant)).await.unwrap();
    eventually("the counts are written", || async { total(&app).await.fetches == 2 }).await;
    for (client, mut shown) in [(&app, vec![&of_platform, &of_tenant]), (&portal, vec![&of_tenant])] {
        // Both are shared, so a call without a user reaches them; the total is a sum of all.
        let answered =
            usage(client, v1::UsageFilter::default(), &[v1::UsageGroup::Connection]).await.unwrap();
        let mut rows: Vec<_> = answered.rows.iter().map(|row| &row.connection_id).collect();
        rows.sort();
        shown.sort();
        assert_eq!((rows, answered.total.unwrap().fetches), (shown, 2));
    }
    let filter = v1::UsageFilter { connection_id: of_platform, ..Default::default() };
    let refused = usage(&portal, filter, &[]).await.unwrap_err();
    assert_eq!(refusal(&refused), "PermissionDenied POLICY_DENIED");
}
