//! What every change leaves: its record, its row in the change feed, and the memory of its request.

use std::time::Duration;

use credvault_domain::{Action, Etag, Revocation, TenantState};
use credvault_store::{AuditFilter, ConnectionPatch, Error};
use uuid::Uuid;

use super::page;
use crate::fixture::{
    Fixture, credential, event, new_connection, open_store, owned_by, permit, repeatable, soon, write,
};
use crate::on_both;
use crate::refreshes::refreshable;

on_both![
    a_request_made_twice_has_one_effect,
    a_request_made_twice_at_once_has_one_effect_and_survives_a_restart,
    a_suspended_tenant_is_not_served_until_it_is_resumed,
    a_users_everything_goes_with_the_user,
    every_change_leaves_its_record_and_its_row_in_the_feed,
    a_settled_revocation_is_on_record_as_the_vaults_own_work,
    summaries_count_what_the_log_has,
];

async fn a_request_made_twice_has_one_effect(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let id = Uuid::from_u128(1);
    let connections = fixture.store.connections();
    let create = repeatable(&scope, Action::CreateConnection, id, "CANARY payload");
    let first = connections.create(&scope, &new_connection("a"), None, &create).await.unwrap().into_inner();
    let again = connections.create(&scope, &new_connection("a"), None, &create).await.unwrap().into_inner();
    assert_eq!(first, again);
    let other = repeatable(&scope, Action::CreateConnection, id, "another payload");
    assert!(matches!(
        connections.create(&scope, &new_connection("b"), None, &other).await,
        Err(Error::RequestIdReused)
    ));
    let elsewhere = repeatable(&scope, Action::UpdateConnection, id, "CANARY payload");
    let patch = ConnectionPatch::default();
    assert!(matches!(
        connections.update(&scope, first.id, None, &patch, &elsewhere).await,
        Err(Error::RequestIdReused)
    ));

    let put = repeatable(&scope, Action::PutCredential, Uuid::from_u128(2), "p");
    let credentials = fixture.store.credentials();
    for _ in 0..3 {
        let version =
            credentials.put(&scope, first.id, &credential("CANARY"), None, &put).await.unwrap().into_inner();
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
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let store = fixture.store.clone();
            let scope = scope.clone();
            let create = create.clone();
            tokio::spawn(async move {
                store
                    .connections()
                    .create(&scope, &new_connection("a"), None, &create)
                    .await
                    .unwrap()
                    .into_inner()
                    .id
            })
        })
        .collect();
    let mut ids = std::collections::BTreeSet::new();
    for task in tasks {
        ids.insert(task.await.unwrap());
    }
    assert_eq!(ids.len(), 1);
    let reopened = open_store(&fixture.settings, &fixture.folder, &fixture.clock).await.unwrap();
    let again = reopened
        .connections()
        .create(&scope, &new_connection("a"), None, &create)
        .await
        .unwrap()
        .into_inner();
    assert!(ids.contains(&again.id));
    reopened.close().await;
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
    let log = fixture.store.audit().list(&scope, &AuditFilter::default(), &page(50, "", "q")).await.unwrap();
    assert!(!log.items.is_empty(), "its log stays readable");
    tenants.set_state(&scope, TenantState::Active, &suspend).await.unwrap().into_inner();
    assert_eq!(fixture.fetch(&scope, id).await.unwrap(), "CANARY");
}

async fn a_users_everything_goes_with_the_user(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let create = write(&scope, Action::CreateConnection);
    for (user, account) in [("u1", "a"), ("u1", "b"), ("u2", "a")] {
        fixture
            .store
            .connections()
            .create(&scope, &owned_by(user, account), Some(&credential("CANARY")), &create)
            .await
            .unwrap()
            .into_inner();
    }
    fixture.connection(&scope, "shared").await;
    let users = fixture.store.users();
    let listed = users.list(&scope, &page(50, "", "q")).await.unwrap().items;
    let shown: Vec<_> = listed.iter().map(|user| (user.id.as_str(), user.connections)).collect();
    assert_eq!(shown, [("u1", 2), ("u2", 1)]);
    let u1 = credvault_domain::UserId::parse("u1").unwrap();
    let delete = write(&scope, Action::DeleteUser);
    assert_eq!(users.delete(&scope, &u1, None, &delete, soon()).await.unwrap().into_inner().connections, 2);
    assert_eq!(users.delete(&scope, &u1, None, &delete, soon()).await.unwrap().into_inner().connections, 0);
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
    let log = fixture.store.audit().list(&scope, &AuditFilter::default(), &page(50, "", "q")).await.unwrap();
    let actions: Vec<_> = log.items.iter().map(|record| record.action.as_str()).collect();
    assert_eq!(
        actions,
        ["DeleteConnection", "PutCredential", "CreateConnection", "CreateTenant"],
        "newest first; what failed changed nothing"
    );
    assert!(log.items[..3].iter().all(|record| record.connection == Some(id)));
    assert_eq!(log.items[1].version, Some(1));
    let concat = if fixture.postgres.is_some() {
        "string_agg(kind, ',' ORDER BY seq)"
    } else {
        "group_concat(kind, ',')"
    };
    let feed = fixture.text(&format!("SELECT {concat} AS v FROM changes")).await;
    assert_eq!(feed, "CREATED,CREATED,CREDENTIAL_STORED,DELETED", "of the tenant, then of the connection");
}

async fn a_settled_revocation_is_on_record_as_the_vaults_own_work(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (revocations, audit) = (fixture.store.revocations(), fixture.store.audit());
    for (account, settled, outcome) in [("a", Revocation::Done, "OK"), ("b", Revocation::Failed, "FAILED")] {
        let (key, _) = refreshable(fixture, &scope, account).await;
        let id = key.connection();
        let disconnect = write(&scope, Action::DisconnectConnection);
        revocations.disconnect(&scope, id, None, true, &disconnect).await.unwrap().into_inner();
        let about = AuditFilter { connection: Some(id), ..AuditFilter::default() };
        let before = audit.list(&scope, &about, &page(50, "", "q")).await.unwrap().items.len();
        let generation = revocations.open(&key).await.unwrap().map(|found| found.generation);
        revocations.attempted(&key, generation, Revocation::Pending).await.unwrap();
        let after = audit.list(&scope, &about, &page(50, "", "q")).await.unwrap().items;
        assert_eq!(after.len(), before, "nothing is settled yet");
        revocations.attempted(&key, generation, settled).await.unwrap();
        let after = audit.list(&scope, &about, &page(50, "", "q")).await.unwrap().items;
        assert_eq!(after.len(), before + 1);
        assert_eq!(after[0].action, "DisconnectConnection");
        assert_eq!(after[0].service.as_deref(), Some("vault"));
        assert_eq!(after[0].outcome.as_str(), outcome);
    }
}

async fn summaries_count_what_the_log_has(fixture: &Fixture) {
    use credvault_store::AuditGroup;
    let scope = fixture.tenant("acme").await;
    let id = fixture.connection(&scope, "a").await.id;
    for _ in 0..3 {
        let event =
            credvault_domain::AuditEvent { connection: Some(id), ..event(&scope, Action::FetchCredential) };
        fixture.store.audit().record(&permit(), event, ()).await.unwrap().into_inner();
    }
    let summary = fixture
        .store
        .audit()
        .summarize(&scope, &AuditFilter::default(), &[AuditGroup::Action, AuditGroup::Outcome])
        .await
        .unwrap();
    assert_eq!(summary[0].keys.join(" "), "FetchCredential OK");
    assert_eq!(summary[0].count, 3);
    let by_day = fixture
        .store
        .audit()
        .summarize(&scope, &AuditFilter::default(), &[AuditGroup::Day, AuditGroup::Connection])
        .await
        .unwrap();
    assert_eq!(by_day.iter().map(|row| row.count).sum::<i64>(), 5);
    let total = fixture.store.audit().summarize(&scope, &AuditFilter::default(), &[]).await.unwrap();
    assert_eq!(total[0].count, 5);
    let none = AuditFilter {
        start_time: Some(credvault_domain::Clock::now(&fixture.clock).after(Duration::from_secs(1))),
        ..AuditFilter::default()
    };
    assert!(fixture.store.audit().list(&scope, &none, &page(50, "", "q")).await.unwrap().items.is_empty());
    let about =
        AuditFilter { connection: Some(id), action: Some(Action::FetchCredential), ..AuditFilter::default() };
    assert_eq!(fixture.store.audit().list(&scope, &about, &page(50, "", "q")).await.unwrap().items.len(), 3);
}
