//! Connections through their life, and requests that are made twice.

use std::time::Duration;

use credvault_domain::Owner;
use credvault_domain::{AccountName, Action, ConnectionId, ConnectionState, Etag, TenantState};
use credvault_store::{ConnectionFilter, ConnectionPatch, Error, Page};
use uuid::Uuid;

use crate::fixture::*;
use crate::on_both;

fn page(size: u32, token: &str, query: &str) -> Page {
    Page { size, token: token.to_owned(), query: query.as_bytes().to_vec() }
}

on_both! {
    async fn the_database_decides_who_gets_a_name(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let tasks: Vec<_> = (0..20).map(|_| {
            let (store, scope) = (fixture.store.clone(), scope.clone());
            tokio::spawn(async move {
                let write = write(&scope, Action::CreateConnection);
                store.connections().create(&scope, &new_connection("same"), None, &write).await
            })
        }).collect();
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
        let tasks: Vec<_> = (0..12).map(|i| {
            let (store, scope) = (fixture.store.clone(), scope.clone());
            tokio::spawn(async move {
                let write = write(&scope, Action::CreateConnection);
                store.connections().create(&scope, &new_connection(&format!("a{i}")), None, &write).await.unwrap().into_inner()
            })
        }).collect();
        let mut all = Vec::new();
        for task in tasks {
            all.push(task.await.unwrap());
        }
        assert_eq!(all.iter().filter(|connection| connection.default).count(), 1);

        let set = |id: ConnectionId| {
            let (store, scope) = (fixture.store.clone(), scope.clone());
            tokio::spawn(async move {
                store.connections().set_default(&scope, id, None, &write(&scope, Action::SetDefaultConnection)).await
            })
        };
        let tasks: Vec<_> = all.iter().map(|connection| set(connection.id)).collect();
        for task in tasks {
            task.await.unwrap().unwrap().into_inner();
        }
        let listed = fixture.store.connections().list(&scope, &ConnectionFilter::default(), &page(50, "", "q")).await.unwrap();
        assert_eq!(listed.items.iter().filter(|connection| connection.default).count(), 1);
    }

    async fn an_outdated_etag_changes_nothing(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let connection = fixture.connection(&scope, "a").await;
        let patch = ConnectionPatch { enabled: Some(false), ..ConnectionPatch::default() };
        let write = write(&scope, Action::UpdateConnection);
        let connections = fixture.store.connections();
        let updated = connections.update(&scope, connection.id, Some(connection.etag()), &patch, &write).await.unwrap().into_inner();
        assert!(!updated.enabled && updated.etag() != connection.etag());
        for stale in [connection.etag(), Etag::of(99)] {
            assert!(matches!(connections.update(&scope, connection.id, Some(stale), &patch, &write).await, Err(Error::EtagMismatch)));
            assert!(matches!(connections.delete(&scope, connection.id, Some(stale), &write).await, Err(Error::EtagMismatch)));
            assert!(matches!(connections.set_default(&scope, connection.id, Some(stale), &write).await, Err(Error::EtagMismatch)));
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
        assert!(matches!(connections.purge(&scope, id, None, &write).await, Err(Error::State(_))), "delete comes first");
        assert!(matches!(connections.undelete(&scope, id, None, &write).await, Err(Error::State(_))));

        let deleted = connections.delete(&scope, id, None, &write).await.unwrap().into_inner();
        assert_eq!(deleted.delete_time.unwrap().until(deleted.purge_time.unwrap()), fixture.settings.undelete_period);
        assert!(matches!(fixture.fetch(&scope, id).await, Err(Error::ConnectionNotFound)));
        assert!(matches!(fixture.fetch_by(&scope, by_provider(None, Some("a"))).await, Err(Error::NoCredential)));
        assert!(matches!(connections.delete(&scope, id, None, &write).await, Err(Error::State(_))), "again");
        assert!(connections.get(&scope, id).await.is_ok(), "it can be looked at");
        let visible = connections.list(&scope, &ConnectionFilter::default(), &page(50, "", "q")).await.unwrap();
        assert!(visible.items.is_empty());

        let back = connections.undelete(&scope, id, None, &write).await.unwrap().into_inner();
        assert!(back.delete_time.is_none() && back.default && back.state == ConnectionState::Connected);
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
        assert!(first.default && !deleted.default);
        let second = connections.get(&scope, second.id).await.unwrap();
        let third = connections.get(&scope, third.id).await.unwrap();
        assert!(second.default && !third.default);
        // Somebody new at the provider does not take it away.
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
        assert!(second.default && !back.default);
    }

    async fn a_request_made_twice_has_one_effect(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let (id, connections) = (Uuid::from_u128(1), fixture.store.connections());
        let create = repeatable(&scope, Action::CreateConnection, id, "CANARY payload");
        let first = connections.create(&scope, &new_connection("a"), None, &create).await.unwrap().into_inner();
        let again = connections.create(&scope, &new_connection("a"), None, &create).await.unwrap().into_inner();
        assert_eq!(first, again);
        let other = repeatable(&scope, Action::CreateConnection, id, "another payload");
        assert!(matches!(connections.create(&scope, &new_connection("b"), None, &other).await, Err(Error::RequestIdReused)));
        let elsewhere = repeatable(&scope, Action::UpdateConnection, id, "CANARY payload");
        let patch = ConnectionPatch::default();
        assert!(matches!(connections.update(&scope, first.id, None, &patch, &elsewhere).await, Err(Error::RequestIdReused)));

        let put = repeatable(&scope, Action::PutCredential, Uuid::from_u128(2), "p");
        let credentials = fixture.store.credentials();
        for _ in 0..3 {
            let version = credentials.put(&scope, first.id, &credential("CANARY"), None, &put).await.unwrap().into_inner();
            assert_eq!(version.version, 1);
        }
        let delete = repeatable(&scope, Action::DeleteConnection, Uuid::from_u128(3), "d");
        let deleted = connections.delete(&scope, first.id, None, &delete).await.unwrap().into_inner();
        assert_eq!(connections.delete(&scope, first.id, None, &delete).await.unwrap().into_inner(), deleted);
        let purge = repeatable(&scope, Action::PurgeConnection, Uuid::from_u128(4), "x");
        connections.purge(&scope, first.id, None, &purge).await.unwrap().into_inner();
        connections.purge(&scope, first.id, None, &purge).await.unwrap().into_inner();

        let stored = fixture.text("SELECT count(*) || ' ' || min(length(fingerprint)) || ' ' || max(length(fingerprint)) AS v FROM requests").await;
        assert_eq!(stored, "4 32 32", "only fingerprints are stored");
    }

    async fn a_request_made_twice_at_once_has_one_effect_and_survives_a_restart(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let create = repeatable(&scope, Action::CreateConnection, Uuid::from_u128(7), "p");
        let tasks: Vec<_> = (0..10).map(|_| {
            let (store, scope, create) = (fixture.store.clone(), scope.clone(), create.clone());
            tokio::spawn(async move {
                store.connections().create(&scope, &new_connection("a"), None, &create).await.unwrap().into_inner().id
            })
        }).collect();
        let mut ids = std::collections::BTreeSet::new();
        for task in tasks {
            ids.insert(task.await.unwrap());
        }
        assert_eq!(ids.len(), 1);
        let reopened = open_store(&fixture.settings, &fixture.folder, &fixture.clock).await.unwrap();
        let again = reopened.connections().create(&scope, &new_connection("a"), None, &create).await.unwrap().into_inner();
        assert!(ids.contains(&again.id));
        reopened.close().await;
    }

    async fn lists_give_each_connection_once_and_tokens_fit_their_own_list_only(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        for i in 0..7 {
            fixture.connection(&scope, &format!("a{i}")).await;
        }
        let connections = fixture.store.connections();
        let all = ConnectionFilter::default();
        let first = connections.list(&scope, &all, &page(3, "", "q")).await.unwrap();
        let (mut names, mut token): (Vec<_>, _) = (first.items.iter().map(|c| c.account_name.as_str().to_owned()).collect(), first.next_page_token.clone());
        while !token.is_empty() {
            let next = connections.list(&scope, &all, &page(3, &token, "q")).await.unwrap();
            names.extend(next.items.iter().map(|c| c.account_name.as_str().to_owned()));
            token = next.next_page_token;
        }
        assert_eq!(names, (0..7).map(|i| format!("a{i}")).collect::<Vec<_>>());

        let other = fixture.tenant("other").await;
        let token = first.next_page_token;
        for (scope, query, token) in [(&other, "q", token.as_str()), (&scope, "another query", &token), (&scope, "q", "AAAA"), (&scope, "q", &token[1..])] {
            let refused = connections.list(scope, &all, &page(3, token, query)).await;
            assert!(matches!(refused, Err(Error::PageToken)), "{query}");
        }
    }

    async fn filters_narrow_a_list(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        fixture.connection(&scope, "shared").await;
        let create = write(&scope, Action::CreateConnection);
        for user in ["u1", "u2"] {
            fixture.store.connections().create(&scope, &owned_by(user, "own"), Some(&credential("CANARY")), &create).await.unwrap().into_inner();
        }
        let count = async |filter: ConnectionFilter| fixture.store.connections().list(&scope, &filter, &page(50, "", "q")).await.unwrap().items.len();
        let user = Some(Owner::User(credvault_domain::UserId::parse("u1").unwrap()));
        assert_eq!(count(ConnectionFilter::default()).await, 3);
        assert_eq!(count(ConnectionFilter { owner: user, ..Default::default() }).await, 1);
        assert_eq!(count(ConnectionFilter { owner: Some(Owner::Tenant), ..Default::default() }).await, 1);
        assert_eq!(count(ConnectionFilter { state: Some(ConnectionState::Connected), ..Default::default() }).await, 2);
        let name = Some(AccountName::parse("own").unwrap());
        assert_eq!(count(ConnectionFilter { account_name: name, ..Default::default() }).await, 2);
        let provider = Some(credvault_domain::ProviderId::parse("shopify").unwrap());
        assert_eq!(count(ConnectionFilter { provider, ..Default::default() }).await, 0);
    }

    async fn a_suspended_tenant_is_not_served_until_it_is_resumed(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let id = fixture.connection(&scope, "a").await.id;
        fixture.put(&scope, id, "CANARY").await;
        let tenants = fixture.store.tenants();
        let suspend = write(&scope, Action::SuspendTenant);
        tenants.set_state(&scope, TenantState::Suspended, &suspend).await.unwrap().into_inner();
        tenants.set_state(&scope, TenantState::Suspended, &suspend).await.unwrap().into_inner();
        assert!(matches!(fixture.fetch(&scope, id).await, Err(Error::TenantSuspended(_))));
        assert!(matches!(fixture.store.connections().get(&scope, id).await, Err(Error::TenantSuspended(_))));
        let put = fixture.store.credentials().put(&scope, id, &credential("CANARY-2"), None, &suspend).await;
        assert!(matches!(put, Err(Error::TenantSuspended(_))));
        let log = fixture.store.audit().list(&scope, &credvault_store::AuditFilter::default(), &page(50, "", "q")).await.unwrap();
        assert!(!log.items.is_empty(), "its log stays readable");
        tenants.set_state(&scope, TenantState::Active, &suspend).await.unwrap().into_inner();
        assert_eq!(fixture.fetch(&scope, id).await.unwrap(), "CANARY");
    }

    async fn a_users_everything_goes_with_the_user(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let create = write(&scope, Action::CreateConnection);
        for (user, account) in [("u1", "a"), ("u1", "b"), ("u2", "a")] {
            fixture.store.connections().create(&scope, &owned_by(user, account), Some(&credential("CANARY")), &create).await.unwrap().into_inner();
        }
        fixture.connection(&scope, "shared").await;
        let users = fixture.store.users();
        let listed = users.list(&scope, &page(50, "", "q")).await.unwrap().items;
        let shown: Vec<_> = listed.iter().map(|user| (user.id.as_str(), user.connections)).collect();
        assert_eq!(shown, [("u1", 2), ("u2", 1)]);
        let u1 = credvault_domain::UserId::parse("u1").unwrap();
        let delete = write(&scope, Action::DeleteUser);
        assert_eq!(users.delete(&scope, &u1, &delete, soon()).await.unwrap().into_inner(), 2);
        assert_eq!(users.delete(&scope, &u1, &delete, soon()).await.unwrap().into_inner(), 0);
        assert_eq!(fixture.count("connections").await, 2);
        assert_eq!(fixture.count("credential_versions").await, 1);
    }

    async fn every_change_leaves_its_record_and_its_row_in_the_feed(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let id = fixture.connection(&scope, "a").await.id;
        fixture.put(&scope, id, "CANARY").await;
        let delete = write(&scope, Action::DeleteConnection);
        let failed = fixture.store.connections().delete(&scope, id, Some(Etag::of(77)), &delete).await;
        assert!(failed.is_err());
        fixture.store.connections().delete(&scope, id, None, &delete).await.unwrap().into_inner();
        let log = fixture.store.audit().list(&scope, &credvault_store::AuditFilter::default(), &page(50, "", "q")).await.unwrap();
        let actions: Vec<_> = log.items.iter().map(|record| record.action.as_str()).collect();
        assert_eq!(actions, ["DeleteConnection", "PutCredential", "CreateConnection", "CreateTenant"], "newest first; what failed changed nothing");
        assert!(log.items[..3].iter().all(|record| record.connection == Some(id)));
        assert_eq!(log.items[1].version, Some(1));
        let concat = if fixture.postgres.is_some() { "string_agg(kind, ',' ORDER BY seq)" } else { "group_concat(kind, ',')" };
        let feed = fixture.text(&format!("SELECT {concat} AS v FROM changes")).await;
        assert_eq!(feed, "CREATED,CREATED,CREDENTIAL_STORED,DELETED", "of the tenant, then of the connection");
    }

    async fn summaries_count_what_the_log_has(fixture: &Fixture) {
        use credvault_store::{AuditFilter, AuditGroup};
        let scope = fixture.tenant("acme").await;
        let id = fixture.connection(&scope, "a").await.id;
        for _ in 0..3 {
            let event = credvault_domain::AuditEvent { connection: Some(id), ..event(&scope, Action::FetchCredential) };
            fixture.store.audit().record(&permit(), event, ()).await.unwrap().into_inner();
        }
        let summary = fixture.store.audit().summarize(&scope, &AuditFilter::default(), &[AuditGroup::Action, AuditGroup::Outcome]).await.unwrap();
        assert_eq!((summary[0].keys.join(" "), summary[0].count), ("FetchCredential OK".to_owned(), 3));
        let by_day = fixture.store.audit().summarize(&scope, &AuditFilter::default(), &[AuditGroup::Day, AuditGroup::Connection]).await.unwrap();
        assert_eq!(by_day.iter().map(|row| row.count).sum::<i64>(), 5);
        let total = fixture.store.audit().summarize(&scope, &AuditFilter::default(), &[]).await.unwrap();
        assert_eq!(total[0].count, 5);
        let none = AuditFilter { start_time: Some(credvault_domain::Clock::now(&fixture.clock).after(Duration::from_secs(1))), ..AuditFilter::default() };
        assert!(fixture.store.audit().list(&scope, &none, &page(50, "", "q")).await.unwrap().items.is_empty());
        let about = AuditFilter { connection: Some(id), action: Some(Action::FetchCredential), ..AuditFilter::default() };
        assert_eq!(fixture.store.audit().list(&scope, &about, &page(50, "", "q")).await.unwrap().items.len(), 3);
    }
}
