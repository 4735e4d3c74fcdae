//! How many connections a tenant and a user may have.

use crate::fixture::{Fixture, new_connection, owned_by, write};
use credvault_domain::{Action, ConnectionId, TenantScope};
use credvault_store::{Error, NewConnection};

async fn create(fixture: &Fixture, scope: &TenantScope, new: &NewConnection) -> Result<ConnectionId, Error> {
    let write = write(scope, Action::CreateConnection);
    let created = fixture.store.connections().create(scope, new, None, &write).await?;
    Ok(created.into_inner().id)
}

async fn quotas_are_kept(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let other = fixture.tenant("other").await;
    let first = create(fixture, &acme, &owned_by("u1", "a0")).await.unwrap();
    create(fixture, &acme, &owned_by("u1", "a1")).await.unwrap();
    let full = create(fixture, &acme, &owned_by("u1", "a2")).await.unwrap_err();
    assert!(matches!(full, Error::UserFull { most: 2 }), "{full:?}");
    // Deleted, it can come back, so it counts; purged, it does not.
    let connections = fixture.store.connections();
    let write = write(&acme, Action::DeleteConnection);
    connections.delete(&acme, first, None, &write).await.unwrap().into_inner();
    assert!(matches!(create(fixture, &acme, &owned_by("u1", "a2")).await, Err(Error::UserFull { .. })));
    connections.purge(&acme, first, None, &write).await.unwrap().into_inner();
    create(fixture, &acme, &owned_by("u1", "a2")).await.unwrap();
    // Another user has a quota of its own, and the tenant one of all.
    create(fixture, &acme, &owned_by("u2", "a")).await.unwrap();
    create(fixture, &acme, &new_connection("a")).await.unwrap();
    let full = create(fixture, &acme, &new_connection("b")).await.unwrap_err();
    assert!(matches!(full, Error::TenantFull { most: 4 }), "{full:?}");
    // Another tenant has its own.
    create(fixture, &other, &new_connection("b")).await.unwrap();
}

async fn a_quota_is_passed_by_what_is_under_way_at_most(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let tasks: Vec<_> = (0..32)
        .map(|i| {
            let store = fixture.store.clone();
            let scope = acme.clone();
            tokio::spawn(async move {
                let write = write(&scope, Action::CreateConnection);
                let new = new_connection(&format!("a{i}"));
                store.connections().create(&scope, &new, None, &write).await.map(|_| ())
            })
        })
        .collect();
    let mut created = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(()) => created += 1,
            Err(Error::TenantFull { most: 4 }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    // As many as the pool has connections can be under way.
    let most = 4 + i32::try_from(fixture.settings.max_connections).unwrap();
    assert!((4..=most).contains(&created), "{created}");
    assert!(matches!(create(fixture, &acme, &new_connection("late")).await, Err(Error::TenantFull { .. })));
}

fn small(settings: &mut credvault_store::StoreSettings) {
    (settings.connections_of_user, settings.connections_of_tenant) = (2, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite() {
    quotas_are_kept(&Fixture::sqlite_with(small).await).await;
    a_quota_is_passed_by_what_is_under_way_at_most(&Fixture::sqlite_with(small).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    quotas_are_kept(&Fixture::postgres_with(small).await).await;
    a_quota_is_passed_by_what_is_under_way_at_most(&Fixture::postgres_with(small).await).await;
}
