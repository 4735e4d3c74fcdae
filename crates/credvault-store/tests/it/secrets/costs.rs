//! What changes cost where external stores are used, and where they are not.

use credvault_testkit::RoundTrips;

use super::with_store;
use crate::fixture::{Fixture, FolderStore};

/// The round trips of an act. Others may come between.
async fn least(trips: &RoundTrips, act: impl AsyncFn()) -> u64 {
    let mut least = u64::MAX;
    for _ in 0..8 {
        let before = trips.count();
        act().await;
        least = least.min(trips.count() - before);
    }
    least
}

#[tokio::test]
async fn a_vault_without_stores_pays_nothing_for_them() {
    let fixture = Fixture::postgres().await;
    let acme = fixture.tenant("acme").await;
    let id = fixture.connection(&acme, "a").await.id;
    let database = fixture.postgres.as_ref().unwrap();
    let trips = RoundTrips::start(database.port);
    let url = database.url.replace(&database.port.to_string(), &trips.port.to_string());
    let store = FolderStore::new(fixture.folder.path().join("eu"));
    let put = async |vault: &Fixture| {
        least(&trips, async || {
            vault.put(&acme, id, "CANARY").await;
        })
        .await
    };
    let vault = fixture.reopened(|settings| settings.url = url.clone().into()).await;
    // Until it has looked, it asks whether others have left something in stores.
    let asking = put(&vault).await;
    vault.store.secrets().work().await.unwrap();
    let alone = put(&vault).await;
    assert_eq!(alone, asking - 1);
    // A vault with stores asks that of a tenant that keeps its secrets in the database, and no more.
    let with = fixture
        .reopened(|settings| {
            settings.url = url.clone().into();
            with_store(settings, &store, false);
        })
        .await;
    assert_eq!(put(&with).await, asking);
    assert_eq!(store.puts(), 0);
    for vault in [&vault, &with] {
        vault.store.close().await;
    }
}
