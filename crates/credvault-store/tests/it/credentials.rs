//! Versions, the order of lookups, and what happens to altered rows.

use std::time::Duration;

use credvault_domain::{
    Action, Clock as _, Config, Connection, ConnectionState, Owner, UserId, VersionState,
};
use credvault_store::{ConnectionPatch, Error, Page, Selector};

use crate::fixture::{Fixture, by_provider, credential, new_connection, owned_by, scope, write};
use crate::on_both;

fn page(size: u32, token: &str) -> Page {
    Page { size, token: token.to_owned(), query: b"test".to_vec() }
}

on_both![
    a_credential_goes_in_and_comes_out,
    compare_and_set_lets_one_of_many_through,
    the_settings_that_are_used_are_those_that_were_looked_at,
    concurrent_puts_all_become_versions,
    ten_versions_are_kept_and_listed_newest_first,
    a_rollback_is_a_new_version_and_a_destroyed_one_is_gone,
    an_expired_credential_is_not_served_and_not_rolled_back_to,
    lookups_go_from_user_to_tenant_to_platform,
    every_altered_byte_of_a_sealed_row_is_an_integrity_failure,
    a_sealed_row_opens_in_its_own_place_only,
];

async fn a_credential_goes_in_and_comes_out(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let connection = fixture.connection(&scope, "a").await;
    assert_eq!(connection.state, ConnectionState::Disconnected);
    assert!(matches!(fixture.fetch(&scope, connection.id).await, Err(Error::NoCredential)));
    assert_eq!(fixture.put(&scope, connection.id, "CANARY-1").await, 1);
    assert_eq!(fixture.fetch(&scope, connection.id).await.unwrap(), "CANARY-1");
    assert_eq!(fixture.put(&scope, connection.id, "CANARY-2").await, 2);
    assert_eq!(fixture.fetch(&scope, connection.id).await.unwrap(), "CANARY-2");
    let connection = fixture.store.connections().get(&scope, connection.id).await.unwrap();
    assert_eq!(connection.state, ConnectionState::Connected);
    assert_eq!(connection.current_version, 2);
    assert_eq!(connection.hints["token"], "hint");
    let earlier = Selector::Connection { id: connection.id, version: Some(1) };
    assert_eq!(fixture.fetch_by(&scope, earlier).await.unwrap(), "CANARY-1");
}

async fn compare_and_set_lets_one_of_many_through(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let id = fixture.connection(&scope, "a").await.id;
    fixture.put(&scope, id, "CANARY-0").await;
    let tasks: Vec<_> = (0..20)
        .map(|i| {
            let store = fixture.store.clone();
            let scope = scope.clone();
            tokio::spawn(async move {
                let write = write(&scope, Action::PutCredential);
                store
                    .credentials()
                    .put(&scope, id, &credential(&format!("CANARY-{i}")), Some(1), &write)
                    .await
            })
        })
        .collect();
    let mut won = 0;
    let mut lost = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => won += 1,
            Err(Error::VersionMismatch { current: 2 }) => lost += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(lost, 19);
}

async fn the_settings_that_are_used_are_those_that_were_looked_at(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let connections = fixture.store.connections();
    let credentials = fixture.store.credentials();
    let checked = fixture.connection(&scope, "a").await;
    let config = |host: &str| Config::new([("host".to_owned(), host.into())].into_iter().collect()).unwrap();
    let set = async |host: &str| {
        let patch = ConnectionPatch { config: Some(config(host)), ..ConnectionPatch::default() };
        let write = write(&scope, Action::UpdateConnection);
        let _ = connections.update(&scope, checked.id, None, &patch, &write).await.unwrap();
    };
    set("one").await;
    let now = credentials.whole(&scope, &checked).await.unwrap();
    assert_eq!(now.config, config("one"), "as it is, and not as it was when policy was asked");
    let put = async |tried: &Config| {
        let write = write(&scope, Action::PutCredential);
        credentials.put_tried(&scope, checked.id, &credential("CANARY"), tried, None, &write).await
    };
    set("two").await;
    assert!(matches!(put(&now.config).await, Err(Error::EtagMismatch)));
    assert_eq!(put(&config("two")).await.unwrap().into_inner().version, 1);
    // What is another connection by now, or deleted, is not the one that policy was asked about.
    let other = Connection { owner: Owner::User(UserId::parse("u1").unwrap()), ..now.clone() };
    assert!(matches!(credentials.whole(&scope, &other).await, Err(Error::ConnectionNotFound)));
    let _ =
        connections.delete(&scope, checked.id, None, &write(&scope, Action::DeleteConnection)).await.unwrap();
    let deleted = connections.get(&scope, checked.id).await.unwrap();
    assert!(matches!(credentials.whole(&scope, &deleted).await, Err(Error::State(_))));
}

async fn concurrent_puts_all_become_versions(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let id = fixture.connection(&scope, "a").await.id;
    let tasks: Vec<_> = (0..20)
        .map(|i| {
            let store = fixture.store.clone();
            let scope = scope.clone();
            tokio::spawn(async move {
                let write = write(&scope, Action::PutCredential);
                store
                    .credentials()
                    .put(&scope, id, &credential(&format!("CANARY-{i}")), None, &write)
                    .await
                    .unwrap()
                    .into_inner()
                    .version
            })
        })
        .collect();
    let mut versions = Vec::new();
    for task in tasks {
        versions.push(task.await.unwrap());
    }
    versions.sort_unstable();
    assert_eq!(versions, (1..=20).collect::<Vec<_>>());
}

async fn ten_versions_are_kept_and_listed_newest_first(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let id = fixture.connection(&scope, "a").await.id;
    for i in 1..=13 {
        assert_eq!(fixture.put(&scope, id, &format!("CANARY-{i}")).await, i);
    }
    let mut token = String::new();
    let mut seen = Vec::new();
    loop {
        let listed = fixture.store.credentials().list(&scope, id, &page(4, &token)).await.unwrap();
        seen.extend(listed.items.iter().map(|version| (version.version, version.current)));
        token = listed.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let expected: Vec<_> = (4..=13).rev().map(|version| (version, version == 13)).collect();
    assert_eq!(seen, expected);
}

async fn a_rollback_is_a_new_version_and_a_destroyed_one_is_gone(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let id = fixture.connection(&scope, "a").await.id;
    fixture.put(&scope, id, "CANARY-1").await;
    fixture.put(&scope, id, "CANARY-2").await;
    let credentials = fixture.store.credentials();
    let rollback = write(&scope, Action::RollbackCredential);
    let back = credentials.rollback(&scope, id, 1, Some(2), None, &rollback).await.unwrap().into_inner();
    assert_eq!(back.version, 3);
    assert_eq!(back.rolled_back_from, Some(1));
    assert!(back.current);
    assert_eq!(fixture.fetch(&scope, id).await.unwrap(), "CANARY-1");
    assert!(matches!(credentials.rollback(&scope, id, 3, None, None, &rollback).await, Err(Error::State(_))));
    assert!(matches!(
        credentials.rollback(&scope, id, 9, None, None, &rollback).await,
        Err(Error::VersionNotFound(9))
    ));

    let destroy = write(&scope, Action::DestroyCredentialVersion);
    let gone = credentials.destroy(&scope, id, 1, &destroy).await.unwrap().into_inner();
    assert_eq!(gone.state, VersionState::Destroyed);
    assert!(matches!(
        credentials.rollback(&scope, id, 1, None, None, &rollback).await,
        Err(Error::VersionNotFound(1))
    ));
    let selector = Selector::Connection { id, version: Some(1) };
    assert!(matches!(fixture.fetch_by(&scope, selector).await, Err(Error::VersionNotFound(1))));
    assert_eq!(credentials.destroy(&scope, id, 1, &destroy).await.unwrap().into_inner(), gone, "again");

    credentials.destroy(&scope, id, 3, &destroy).await.unwrap().into_inner();
    assert!(matches!(fixture.fetch(&scope, id).await, Err(Error::NoCredential)));
    let connection = fixture.store.connections().get(&scope, id).await.unwrap();
    assert_eq!(connection.state, ConnectionState::Disconnected);
    assert_eq!(connection.current_version, 0);
    assert!(connection.hints.is_empty());
    assert_eq!(fixture.put(&scope, id, "CANARY-4").await, 4, "numbers are never used twice");
}

async fn an_expired_credential_is_not_served_and_not_rolled_back_to(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let id = fixture.connection(&scope, "a").await.id;
    let mut short = credential("CANARY-1");
    short.expire_time = Some(fixture.clock.now().after(Duration::from_secs(60)));
    let put = write(&scope, Action::PutCredential);
    fixture.store.credentials().put(&scope, id, &short, None, &put).await.unwrap().into_inner();
    assert!(fixture.fetch(&scope, id).await.is_ok());
    fixture.clock.advance(Duration::from_secs(60));
    assert!(matches!(fixture.fetch(&scope, id).await, Err(Error::CredentialExpired)));
    fixture.put(&scope, id, "CANARY-2").await;
    assert!(fixture.fetch(&scope, id).await.is_ok());
    let rollback = write(&scope, Action::RollbackCredential);
    let back = fixture.store.credentials().rollback(&scope, id, 1, None, None, &rollback).await;
    assert!(matches!(back, Err(Error::CredentialExpired)));
}

async fn lookups_go_from_user_to_tenant_to_platform(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let platform = scope(credvault_domain::TenantId::PLATFORM, None);
    let store =
        async |scope: &credvault_domain::TenantScope, new: credvault_store::NewConnection, value: &str| {
            let write = write(scope, Action::CreateConnection);
            fixture
                .store
                .connections()
                .create(scope, &new, Some(&credential(value)), &write)
                .await
                .unwrap()
                .into_inner()
                .id
        };
    let find = async |user: Option<&str>, account: Option<&str>| {
        fixture.fetch_by(&acme, by_provider(user, account)).await
    };
    assert!(matches!(find(Some("u1"), None).await, Err(Error::NoCredential)));

    let of_platform = credvault_store::NewConnection { owner: Owner::Platform, ..new_connection("shared") };
    store(&platform, of_platform, "CANARY-platform").await;
    assert_eq!(find(Some("u1"), None).await.unwrap(), "CANARY-platform");
    assert_eq!(find(None, Some("shared")).await.unwrap(), "CANARY-platform");

    store(&acme, new_connection("main"), "CANARY-tenant").await;
    assert_eq!(find(Some("u1"), None).await.unwrap(), "CANARY-tenant");
    assert_eq!(find(None, None).await.unwrap(), "CANARY-tenant");

    store(&acme, owned_by("u1", "main"), "CANARY-user").await;
    store(&acme, owned_by("u1", "second"), "CANARY-second").await;
    assert_eq!(find(Some("u1"), None).await.unwrap(), "CANARY-user", "the first is the default");
    assert_eq!(find(Some("u1"), Some("second")).await.unwrap(), "CANARY-second");
    assert_eq!(find(Some("u2"), None).await.unwrap(), "CANARY-tenant", "another user's is not found");
    assert!(matches!(find(Some("u2"), Some("second")).await, Err(Error::NoCredential)));

    // A connection without a credential does not hide what others have, so that users can migrate one by one.
    let empty = write(&acme, Action::CreateConnection);
    fixture
        .store
        .connections()
        .create(&acme, &owned_by("u3", "main"), None, &empty)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(find(Some("u3"), None).await.unwrap(), "CANARY-tenant");
}

async fn every_altered_byte_of_a_sealed_row_is_an_integrity_failure(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let id = fixture.connection(&scope, "a").await.id;
    fixture.put(&scope, id, "CANARY-1").await;
    let sealed = fixture.sealed(id).await;
    for index in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[index] ^= 1 << (index % 8);
        fixture.set_sealed(id, &altered).await;
        assert!(matches!(fixture.fetch(&scope, id).await, Err(Error::Integrity)), "byte {index}");
    }
    fixture.set_sealed(id, &sealed).await;
    assert_eq!(fixture.fetch(&scope, id).await.unwrap(), "CANARY-1");
}

async fn a_sealed_row_opens_in_its_own_place_only(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let other = fixture.tenant("other").await;
    let a = fixture.connection(&acme, "a").await.id;
    let b = fixture.connection(&acme, "b").await.id;
    let foreign = fixture.connection(&other, "a").await.id;
    for (scope, id) in [(&acme, a), (&acme, b), (&other, foreign)] {
        fixture.put(scope, id, "CANARY").await;
    }
    let sealed = fixture.sealed(a).await;
    for (scope, id, what) in [(&acme, b, "another connection"), (&other, foreign, "another tenant")] {
        fixture.set_sealed(id, &sealed).await;
        assert!(matches!(fixture.fetch(scope, id).await, Err(Error::Integrity)), "{what}");
    }
    fixture.put(&acme, a, "CANARY-2").await;
    fixture.set_sealed(a, &sealed).await;
    assert!(matches!(fixture.fetch(&acme, a).await, Err(Error::Integrity)), "another version");
}
