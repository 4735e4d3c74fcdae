//! Which refreshes are due: budgets, the order of tenants, and what a stored app schedules.

use std::time::Duration;

use credvault_domain::{Clock as _, ProviderId, TenantId};
use credvault_store::{AppFault, AppKey, AppRevision, Claim, LeftOut, Pause, RefreshFailure, RepeatRisk};
use sea_orm::{ConnectionTrait as _, TransactionTrait as _};

use super::{claimed, due, for_a_week, record, refreshable, refreshable_key, scope_of};
use crate::fixture::{Fixture, open_store};
use crate::on_both;

on_both![
    all_replicas_spend_one_budget,
    what_is_not_asked_does_not_crowd_out_the_rest,
    a_thousand_due_of_one_tenant_hide_none_of_another,
    a_stored_app_wakes_what_waits_for_it_and_nothing_else,
    what_is_due_is_found_and_a_failure_waits,
];

async fn all_replicas_spend_one_budget(fixture: &Fixture) {
    let app = |client: &str| AppKey {
        provider: ProviderId::parse("generic").unwrap(),
        client_id: Some(client.into()),
    };
    let cost = Duration::from_millis(300);
    let store = &fixture.store;
    // Another replica; an SQLite file admits one process.
    let other = match fixture.postgres.is_some() {
        true => open_store(&fixture.settings, &fixture.folder, &fixture.clock).await.unwrap(),
        false => store.clone(),
    };
    let begun = tokio::time::Instant::now();
    assert!(store.spend(&app("one"), cost).await.unwrap());
    assert!(!other.spend(&app("one"), cost).await.unwrap(), "it lasts 300 ms");
    assert!(other.spend(&app("two"), cost).await.unwrap(), "another app has its own");
    while !other.spend(&app("one"), cost).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(begun.elapsed() >= cost - Duration::from_millis(5), "{:?}", begun.elapsed());
    // A clock that was an hour ahead stops no caller.
    fixture.execute("UPDATE budgets SET time = time + 3600000000").await;
    assert!(store.spend(&app("one"), cost).await.unwrap());
}

async fn what_is_not_asked_does_not_crowd_out_the_rest(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (first, _) = refreshable(fixture, &scope, "first").await;
    let known = fixture.store.refreshes().due(10, &[], None).await.unwrap().due;
    assert_eq!(known[0].key, first);
    let acme = Some(scope.tenant().clone());
    let other = Some(TenantId::parse("other").unwrap());
    let app = Some(known[0].app.clone());
    let another = Some(AppKey { client_id: Some("another".into()), ..known[0].app.clone() });
    for (tenant, app, left) in [
        (None, app.clone(), 0),
        (acme.clone(), None, 0),
        (acme.clone(), app.clone(), 0),
        (None, another.clone(), 1),
        (other, app, 1),
        (acme, another, 1),
    ] {
        let without = LeftOut { tenant, app };
        assert_eq!(usize::from(!without.covers(&known[0])), left);
        // Once where all is found, and once where more is than is asked for.
        for limit in [10, 1] {
            let found =
                fixture.store.refreshes().due(limit, std::slice::from_ref(&without), None).await.unwrap();
            assert_eq!(found.due.len(), left, "{without:?}");
        }
    }
}

async fn a_thousand_due_of_one_tenant_hide_none_of_another(fixture: &Fixture) {
    let hostile = fixture.tenant("hostile").await;
    let (first, _) = refreshable(fixture, &hostile, "first").await;
    // As if it had a thousand of them, all due before the others'.
    let random = if fixture.postgres.is_some() { "gen_random_uuid()" } else { "randomblob(16)" };
    let columns = "owner_user, provider, auth_mode, state, enabled, config, labels, hints, revision, create_time, update_time";
    fixture.execute(&format!(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000)
             INSERT INTO connections (tenant_id, id, account_name, is_default, last_version, current_version, {columns})
             SELECT tenant_id, {random}, 'number ' || n.n, false, 0, 0, {columns} FROM connections, n"
    )).await;
    fixture.execute(
        "INSERT INTO refreshes (tenant_id, connection_id, generation, state, due_time, failures, marked, provider, doubted)
             SELECT tenant_id, id, 1, 'IDLE', 5, 0, false, provider, false FROM connections WHERE account_name <> 'first'"
    ).await;
    let mut others = Vec::new();
    for name in ["a", "m", "z"] {
        let scope = fixture.tenant(name).await;
        others.push(refreshable(fixture, &scope, "one").await.0);
    }
    let found = fixture.store.refreshes().due(100, &[], None).await.unwrap();
    assert!(!found.all);
    assert!(found.next.is_none());
    let tenants: Vec<_> = found.due.iter().take(4).map(|due| due.key.tenant().as_str()).collect();
    assert_eq!(tenants, ["a", "hostile", "m", "z"]);
    assert!(others.iter().all(|other| found.due[..4].iter().any(|due| due.key == *other)));
    let hostiles = found.due.iter().filter(|due| due.key.tenant() == first.tenant()).count();
    assert!((100..=116).contains(&hostiles), "{hostiles}");
    // From where an earlier search has ended.
    let found = fixture.store.refreshes().due(100, &[], Some(others[1].tenant())).await.unwrap();
    assert_eq!(found.due[0].key, others[2]);
}

async fn a_stored_app_wakes_what_waits_for_it_and_nothing_else(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let other = fixture.tenant("other").await;
    let retry_time = fixture.clock.now().after(Duration::from_secs(3600));
    let app = Pause::App { fault: AppFault::Refused, revision: AppRevision::NONE };
    let mut keys = Vec::new();
    for (scope, pause) in
        [(&scope, app), (&scope, Pause::Throttled), (&other, app), (&other, Pause::Unavailable)]
    {
        let (key, seen) =
            refreshable(fixture, scope, &format!("{pause:?}").chars().take(9).collect::<String>()).await;
        let ours = claimed(&fixture.store, &key, seen).await;
        let failure = RefreshFailure::Temporary { retry_time, pause };
        fixture.store.refreshes().fail(&ours, &failure, &record(&key)).await.unwrap();
        drop(ours);
        // A later caller learns the reason.
        let later = fixture
            .store
            .refreshes()
            .claim(&key, seen, for_a_week(RepeatRisk::Consent), false)
            .await
            .unwrap();
        assert!(
            matches!(later, Claim::Later { time, pause: told, .. } if time == retry_time && told == pause),
            "{later:?}"
        );
        keys.push(key);
    }
    let provider = ProviderId::parse("generic").unwrap();
    assert_eq!(due(fixture).await, []);
    let woken = async |tenant: &TenantId| {
        fixture.store.refreshes().wake_waiting_for_app(tenant, &provider).await.unwrap();
        due(fixture).await.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    assert_eq!(woken(scope.tenant()).await, [keys[0].clone()]);
    let all = woken(&TenantId::platform()).await;
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all.contains(&keys[0]), "{all:?}");
    assert!(all.contains(&keys[2]), "{all:?}");
}

async fn what_is_due_is_found_and_a_failure_waits(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (key, seen) = refreshable(fixture, &scope, "a").await;
    assert_eq!(due(fixture).await, [(key.clone(), seen)]);
    let ours = claimed(&fixture.store, &key, seen).await;
    assert_eq!(due(fixture).await, [], "another process has the claim");
    let retry_time = fixture.clock.now().after(Duration::from_secs(3600));
    fixture
        .store
        .refreshes()
        .fail(&ours, &RefreshFailure::Temporary { retry_time, pause: Pause::Unavailable }, &record(&key))
        .await
        .unwrap();
    let claim = |forced| async move {
        let (key, seen) = refreshable_key(fixture, &scope_of("acme")).await;
        fixture.store.refreshes().claim(&key, seen, for_a_week(RepeatRisk::Consent), forced).await.unwrap()
    };
    assert!(
        matches!(claim(false).await, Claim::Later { time, pause: Pause::Unavailable, .. } if time == retry_time)
    );
    assert!(matches!(claim(true).await, Claim::Ours(_)), "a forced refresh is let through");
}

/// What waits for an app is found without a lock, and may have been refreshed before it is woken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_renewed_meanwhile_is_not_woken_by_a_stored_app() {
    let fixture = Fixture::postgres().await;
    let scope = fixture.tenant("acme").await;
    let (key, seen) = refreshable(&fixture, &scope, "a").await;
    let retry_time = fixture.clock.now().after(Duration::from_secs(3600));
    let ours = claimed(&fixture.store, &key, seen).await;
    let pause = Pause::App { fault: AppFault::Refused, revision: AppRevision::NONE };
    let failure = RefreshFailure::Temporary { retry_time, pause };
    fixture.store.refreshes().fail(&ours, &failure, &record(&key)).await.unwrap();
    let other = fixture.admin_connection().await;
    let refreshable = other.begin().await.unwrap();
    let refreshed = "UPDATE refreshes SET pause = NULL, pause_app = NULL, retry_time = NULL, due_time = NULL";
    refreshable.execute_unprepared(refreshed).await.unwrap();
    let store = fixture.store.clone();
    let tenant = scope.tenant().clone();
    let waking = tokio::spawn(async move {
        let provider = ProviderId::parse("generic").unwrap();
        store.refreshes().wake_waiting_for_app(&tenant, &provider).await
    });
    let waiting = "SELECT CAST(count(*) AS TEXT) AS v FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while fixture.text(waiting).await == "0" {
        assert!(!waking.is_finished(), "it does not wait for the row");
    }
    refreshable.commit().await.unwrap();
    waking.await.unwrap().unwrap();
    assert_eq!(due(&fixture).await, []);
}
