//! Changes of connections: names, defaults, etags, deletions, lists.

use credvault_domain::{AccountName, Action, ConnectionId, ConnectionState, Etag, Owner};
use credvault_store::{ConnectionFilter, ConnectionPatch, Error};

use super::page;
use crate::fixture::{Fixture, by_provider, credential, new_connection, owned_by, write};
use crate::on_both;

on_both![
    the_database_decides_who_gets_a_name,
    there_is_one_default_however_many_are_created_at_once,
    an_outdated_etag_changes_nothing,
    a_deleted_connection_can_be_undeleted_until_it_is_purged,
    the_oldest_that_remains_becomes_the_default,
    an_undeleted_connection_does_not_push_the_new_default_aside,
    lists_give_each_connection_once_and_tokens_fit_their_own_list_only,
    filters_narrow_a_list,
];

async fn the_database_decides_who_gets_a_name(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let store = fixture.store.clone();
            let scope = scope.clone();
            tokio::spawn(async move {
                let write = write(&scope, Action::CreateConnection);
                store.connections().create(&scope, &new_connection("same"), None, &write).await
            })
        })
        .collect();
    let mut created = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => created += 1,
            Err(Error::ConnectionExists) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(created, 1);
    // The same name for another owner, and in another tenant, is another name.
    let write = write(&scope, Action::CreateConnection);
    assert!(fixture.store.connections().create(&scope, &owned_by("u1", "same"), None, &write).await.is_ok());
    let other = fixture.tenant("other").await;
    assert_eq!(fixture.connection(&other, "same").await.account_name.as_str(), "same");
}

async fn there_is_one_default_however_many_are_created_at_once(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let tasks: Vec<_> = (0..12)
        .map(|i| {
            let store = fixture.store.clone();
            let scope = scope.clone();
            tokio::spawn(async move {
                let write = write(&scope, Action::CreateConnection);
                store
                    .connections()
                    .create(&scope, &new_connection(&format!("a{i}")), None, &write)
                    .await
                    .unwrap()
                    .into_inner()
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.unwrap());
    }
    assert_eq!(all.iter().filter(|connection| connection.default).count(), 1);

    let set = |id: ConnectionId| {
        let store = fixture.store.clone();
        let scope = scope.clone();
        tokio::spawn(async move {
            store
                .connections()
                .set_default(&scope, id, None, &write(&scope, Action::SetDefaultConnection))
                .await
        })
    };
    let tasks: Vec<_> = all.iter().map(|connection| set(connection.id)).collect();
    for task in tasks {
        task.await.unwrap().unwrap().into_inner();
    }
    let listed = fixture
        .store
        .connections()
        .list(&scope, &ConnectionFilter::default(), &page(50, "", "q"))
        .await
        .unwrap();
    assert_eq!(listed.items.iter().filter(|connection| connection.default).count(), 1);
}

async fn an_outdated_etag_changes_nothing(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let connection = fixture.connection(&scope, "a").await;
    let patch = ConnectionPatch { enabled: Some(false), ..ConnectionPatch::default() };
    let write = write(&scope, Action::UpdateConnection);
    let connections = fixture.store.connections();
    let updated = connections
        .update(&scope, connection.id, Some(connection.etag()), &patch, &write)
        .await
        .unwrap()
        .into_inner();
    assert!(!updated.enabled);
    assert_ne!(updated.etag(), connection.etag());
    for stale in [connection.etag(), Etag::of(99)] {
        assert!(matches!(
            connections.update(&scope, connection.id, Some(stale), &patch, &write).await,
            Err(Error::EtagMismatch)
        ));
        assert!(matches!(
            connections.delete(&scope, connection.id, Some(stale), &write).await,
            Err(Error::EtagMismatch)
        ));
        assert!(matches!(
            connections.set_default(&scope, connection.id, Some(stale), &write).await,
            Err(Error::EtagMismatch)
        ));
    }
    assert_eq!(connections.get(&scope, connection.id).await.unwrap(), updated);
    fixture.put(&scope, connection.id, "CANARY").await;
    assert!(matches!(fixture.fetch(&scope, connection.id).await, Err(Error::ConnectionDisabled)));
}

async fn a_deleted_connection_can_be_undeleted_until_it_is_purged(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let id = fixture.connection(&scope, "a").await.id;
    fixture.put(&scope, id, "CANARY").await;
    let connections = fixture.store.connections();
    let write = write(&scope, Action::DeleteConnection);
    assert!(
        matches!(connections.purge(&scope, id, None, &write).await, Err(Error::State(_))),
        "delete comes first"
    );
    assert!(matches!(connections.undelete(&scope, id, None, &write).await, Err(Error::State(_))));

    let deleted = connections.delete(&scope, id, None, &write).await.unwrap().into_inner();
    assert_eq!(
        deleted.delete_time.unwrap().until(deleted.purge_time.unwrap()),
        fixture.settings.undelete_period
    );
    assert!(matches!(fixture.fetch(&scope, id).await, Err(Error::ConnectionNotFound)));
    assert!(matches!(fixture.fetch_by(&scope, by_provider(None, Some("a"))).await, Err(Error::NoCredential)));
    assert!(matches!(connections.delete(&scope, id, None, &write).await, Err(Error::State(_))), "again");
    assert!(connections.get(&scope, id).await.is_ok(), "it can be looked at");
    let visible = connections.list(&scope, &ConnectionFilter::default(), &page(50, "", "q")).await.unwrap();
    assert!(visible.items.is_empty());

    let back = connections.undelete(&scope, id, None, &write).await.unwrap().into_inner();
    assert!(back.delete_time.is_none());
    assert!(back.default);
    assert_eq!(back.state, ConnectionState::Connected);
    assert_eq!(fixture.fetch(&scope, id).await.unwrap(), "CANARY");

    connections.delete(&scope, id, None, &write).await.unwrap().into_inner();
    let second = fixture.connection(&scope, "a").await;
    assert!(second.default, "the name and the default are free again");
    assert!(matches!(connections.undelete(&scope, id, None, &write).await, Err(Error::ConnectionExists)));
    connections.purge(&scope, id, None, &write).await.unwrap().into_inner();
    assert!(matches!(connections.get(&scope, id).await, Err(Error::ConnectionNotFound)));
    assert_eq!(fixture.count("credential_versions").await, 0, "its credentials went with it");
}

async fn the_oldest_that_remains_becomes_the_default(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let first = fixture.connection(&scope, "first").await;
    let second = fixture.connection(&scope, "second").await;
    let third = fixture.connection(&scope, "third").await;
    let connections = fixture.store.connections();
    let delete = write(&scope, Action::DeleteConnection);
    let deleted = connections.delete(&scope, first.id, None, &delete).await.unwrap().into_inner();
    assert!(first.default);
    assert!(!deleted.default);
    let second = connections.get(&scope, second.id).await.unwrap();
    let third = connections.get(&scope, third.id).await.unwrap();
    assert!(second.default);
    assert!(!third.default);
    // A new connection at the provider does not take it away.
    assert!(!fixture.connection(&scope, "fourth").await.default);
}

async fn an_undeleted_connection_does_not_push_the_new_default_aside(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let first = fixture.connection(&scope, "a").await.id;
    let connections = fixture.store.connections();
    let write = write(&scope, Action::DeleteConnection);
    connections.delete(&scope, first, None, &write).await.unwrap().into_inner();
    let second = fixture.connection(&scope, "b").await;
    let back = connections.undelete(&scope, first, None, &write).await.unwrap().into_inner();
    assert!(second.default);
    assert!(!back.default);
}

async fn lists_give_each_connection_once_and_tokens_fit_their_own_list_only(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    for i in 0..7 {
        fixture.connection(&scope, &format!("a{i}")).await;
    }
    let connections = fixture.store.connections();
    let all = ConnectionFilter::default();
    let first = connections.list(&scope, &all, &page(3, "", "q")).await.unwrap();
    let (mut names, mut token): (Vec<_>, _) = (
        first.items.iter().map(|c| c.account_name.as_str().to_owned()).collect(),
        first.next_page_token.clone(),
    );
    while !token.is_empty() {
        let next = connections.list(&scope, &all, &page(3, &token, "q")).await.unwrap();
        names.extend(next.items.iter().map(|c| c.account_name.as_str().to_owned()));
        token = next.next_page_token;
    }
    assert_eq!(names, (0..7).map(|i| format!("a{i}")).collect::<Vec<_>>());

    let other = fixture.tenant("other").await;
    let token = first.next_page_token;
    for (scope, query, token) in [
        (&other, "q", token.as_str()),
        (&scope, "another query", &token),
        (&scope, "q", "AAAA"),
        (&scope, "q", &token[1..]),
    ] {
        let refused = connections.list(scope, &all, &page(3, token, query)).await;
        assert!(matches!(refused, Err(Error::PageToken)), "{query}");
    }
}

async fn filters_narrow_a_list(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    fixture.connection(&scope, "shared").await;
    let create = write(&scope, Action::CreateConnection);
    for user in ["u1", "u2"] {
        fixture
            .store
            .connections()
            .create(&scope, &owned_by(user, "own"), Some(&credential("CANARY")), &create)
            .await
            .unwrap()
            .into_inner();
    }
    let count = async |filter: ConnectionFilter| {
        fixture.store.connections().list(&scope, &filter, &page(50, "", "q")).await.unwrap().items.len()
    };
    let user = Some(Owner::User(credvault_domain::UserId::parse("u1").unwrap()));
    assert_eq!(count(ConnectionFilter::default()).await, 3);
    assert_eq!(count(ConnectionFilter { owner: user, ..Default::default() }).await, 1);
    assert_eq!(count(ConnectionFilter { owner: Some(Owner::Tenant), ..Default::default() }).await, 1);
    assert_eq!(
        count(ConnectionFilter { state: Some(ConnectionState::Connected), ..Default::default() }).await,
        2
    );
    let name = Some(AccountName::parse("own").unwrap());
    assert_eq!(count(ConnectionFilter { account_name: name, ..Default::default() }).await, 2);
    let provider = Some(credvault_domain::ProviderId::parse("shopify").unwrap());
    assert_eq!(count(ConnectionFilter { provider, ..Default::default() }).await, 0);
}
