//! Rates that hold over all replicas.

use credvault_domain::LimitKind;
use credvault_store::{RateLayer, Spent, Store};

use crate::fixture::{Fixture, open_store};
use crate::on_both;

on_both![a_call_is_taken_from_every_layer_or_from_none, what_is_over_is_forgotten];

fn layers(tenant: u64, user: u64, name: &str) -> [RateLayer; 2] {
    [
        RateLayer { subject: String::new(), per_minute: tenant },
        RateLayer { subject: format!("user:{name}"), per_minute: user },
    ]
}

async fn take(store: &Store, fixture: &Fixture, layers: &[RateLayer]) -> Option<Spent> {
    let scope = fixture.tenant("acme").await;
    store.take_rate(&scope, LimitKind::TestsPerMinute, layers).await.unwrap()
}

async fn a_call_is_taken_from_every_layer_or_from_none(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let (u1, u2) = (layers(5, 3, "u1"), layers(5, 3, "u2"));
    for _ in 0..3 {
        assert_eq!(take(&fixture.store, fixture, &u1).await, None);
    }
    for _ in 0..10 {
        // What is refused costs the tenant nothing.
        let spent = take(&fixture.store, fixture, &u1).await.unwrap();
        assert_eq!(spent.layer, 1);
        assert!((1..=20).contains(&spent.wait.as_millis().div_ceil(1000)), "{spent:?}");
    }
    assert_eq!(fixture.store.rate_in_use(&acme, LimitKind::TestsPerMinute, 5).await.unwrap(), 3);
    for _ in 0..2 {
        assert_eq!(take(&fixture.store, fixture, &u2).await, None);
    }
    assert_eq!(take(&fixture.store, fixture, &u2).await.unwrap().layer, 0);
    // Another kind, and another tenant, have budgets of their own.
    let kind = LimitKind::RefreshesPerMinute;
    assert_eq!(fixture.store.take_rate(&acme, kind, &u1).await.unwrap(), None);
    let other = fixture.tenant("other").await;
    assert_eq!(fixture.store.take_rate(&other, LimitKind::TestsPerMinute, &u1).await.unwrap(), None);
}

async fn what_is_over_is_forgotten(fixture: &Fixture) {
    assert_eq!(take(&fixture.store, fixture, &layers(5, 5, "u1")).await, None);
    assert_eq!(fixture.count("rate_budgets").await, 2);
    fixture.clock.advance(std::time::Duration::from_secs(3600 + 61));
    fixture.store.upkeep().await.unwrap();
    assert_eq!(fixture.count("rate_budgets").await, 0);
}

/// Three processes that take calls at once take no more together than one may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_processes_take_no_more_than_one() {
    // Opening connections takes a while on a busy machine.
    let patient = |settings: &mut credvault_store::StoreSettings| {
        settings.acquire_timeout = std::time::Duration::from_secs(30);
    };
    let fixture = Fixture::postgres_with(patient).await;
    let acme = fixture.tenant("acme").await;
    let mut stores = vec![fixture.store.clone()];
    for _ in 0..2 {
        stores.push(open_store(&fixture.settings, &fixture.folder, &fixture.clock).await.unwrap());
    }
    // The first of all has a time in the future by a clock that was wrong: it counts as a whole budget.
    fixture
        .execute("INSERT INTO rate_budgets VALUES ('acme', 'exchanges_per_minute', '', 9000000000000000)")
        .await;
    let tasks: Vec<_> = (0..90)
        .map(|i: usize| {
            let (store, acme) = (stores[i % 3].clone(), acme.clone());
            tokio::spawn(async move {
                let layers = layers(20, 15, &format!("u{}", i % 2));
                store.take_rate(&acme, LimitKind::ExchangesPerMinute, &layers).await.unwrap()
            })
        })
        .collect();
    let begun = std::time::Instant::now();
    let mut taken = 0;
    for task in tasks {
        taken += usize::from(task.await.unwrap().is_none());
    }
    // A budget of twenty a minute has another call every three seconds.
    let more = usize::try_from(begun.elapsed().as_secs()).unwrap() / 3 + 1;
    assert!((20..=20 + more).contains(&taken), "{taken} in {:?}", begun.elapsed());
    for store in stores.split_off(1) {
        store.close().await;
    }
}
