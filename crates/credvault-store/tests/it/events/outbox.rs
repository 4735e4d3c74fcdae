//! Which changes write an event, and that it is written with its change or not at all.

use std::collections::BTreeMap;

use credvault_domain::{Action, Clock as _, Config, Destinations, EventType, Owner, TenantId, TenantScope};
use credvault_store::{Consent, Error, EventDelivery, NewSettings, RefreshFailure, Tested};
use serde_json::{Value, json};

use super::{deliveries, endpoint, told};
use crate::fixture::{Fixture, credential, new_connection, scope, write};
use crate::on_both;
use crate::refreshes::{claimed, record, refreshable, refreshed, unknown};

on_both![
    an_event_is_written_with_its_change_or_not_at_all,
    every_way_a_connection_can_go_is_told_once,
    every_change_of_a_credential_is_told,
];

async fn an_event_is_written_with_its_change_or_not_at_all(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    let other = fixture.tenant("other").await;
    let platform = scope(TenantId::PLATFORM, None);
    for scope in [&acme, &other, &platform] {
        endpoint(fixture, scope, &[]).await;
    }
    let id = fixture.connection(&acme, "main").await.id;
    assert_eq!(told(fixture, &acme).await, Vec::<String>::new(), "nothing to tell of yet");
    fixture.put(&acme, id, "CANARY one").await;
    assert_eq!(told(fixture, &acme).await, ["connection.connected", "credential.changed"]);
    let credentials = fixture.store.credentials();
    let put = write(&acme, Action::PutCredential);
    let refused = credentials.put(&acme, id, &credential("CANARY two"), Some(7), &put).await;
    assert!(matches!(refused, Err(Error::VersionMismatch { .. })));
    assert_eq!(deliveries(fixture, &acme).await.len(), 2, "what was rolled back is not told");

    let of_tenant = deliveries(fixture, &acme).await;
    let of_platform = deliveries(fixture, &platform).await;
    assert_eq!(told(fixture, &other).await, Vec::<String>::new());
    let what =
        |all: &[EventDelivery]| -> Vec<_> { all.iter().map(|one| (one.event, one.body.clone())).collect() };
    assert_eq!(what(&of_tenant), what(&of_platform), "the same event everywhere");
    let body: Value = serde_json::from_str(&of_tenant[0].body).unwrap();
    assert_eq!(
        body["data"],
        json!({
            "tenant_id": "acme", "connection_id": id.to_string(), "provider": "generic",
            "owner": { "kind": "tenant", "user_id": null }, "account_name": "main",
            "state": "CONNECTED", "reason": null, "provider_code": null, "version": 1, "change": "STORED",
        })
    );
    assert_eq!(body["type"], "credential.changed");
    assert!(body["timestamp"].as_str().unwrap().ends_with('Z'));
    assert!(of_tenant.iter().all(|one| !one.body.contains("CANARY") && !one.body.contains("hint")));
    let of_platforms_own = fixture.store.connections();
    let new = credvault_store::NewConnection { owner: Owner::Platform, ..new_connection("shared") };
    let create = write(&platform, Action::CreateConnection);
    of_platforms_own
        .create(&platform, &new, Some(&credential("CANARY")), &create)
        .await
        .unwrap()
        .into_inner();
    let newest = deliveries(fixture, &platform).await.remove(0);
    assert!(newest.body.contains(r#""tenant_id":null"#));
    assert!(newest.body.contains(r#""kind":"platform""#));
    assert_eq!(deliveries(fixture, &acme).await.len(), 2, "the platform's events are for the platform alone");
}

async fn every_way_a_connection_can_go_is_told_once(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    endpoint(
        fixture,
        &acme,
        &[
            EventType::Recovered,
            EventType::ReauthorizationRequired,
            EventType::Connected,
            EventType::Disconnected,
        ],
    )
    .await;
    let (key, seen) = refreshable(fixture, &acme, "a").await;
    let refreshes = fixture.store.refreshes();
    let ours = claimed(&fixture.store, &key, seen).await;
    refreshes.fail(&ours, &unknown(fixture.clock.now()), &record(&key)).await.unwrap();
    let again = claimed(&fixture.store, &key, seen).await;
    refreshes.store(&again, &refreshed(&again, "CANARY"), &record(&key)).await.unwrap();
    let fine = claimed(&fixture.store, &key, seen + 1).await;
    refreshes.store(&fine, &refreshed(&fine, "CANARY"), &record(&key)).await.unwrap();
    let dead = claimed(&fixture.store, &key, seen + 2).await;
    refreshes.fail(&dead, &RefreshFailure::Dead { code: None }, &record(&key)).await.unwrap();
    fixture.put(&acme, key.connection(), "CANARY").await;
    let disconnect = write(&acme, Action::DisconnectConnection);
    fixture
        .store
        .revocations()
        .disconnect(&acme, key.connection(), None, true, &disconnect)
        .await
        .unwrap()
        .into_inner();
    let delete = write(&acme, Action::DeleteConnection);
    fixture.store.connections().delete(&acme, key.connection(), None, &delete).await.unwrap().into_inner();
    assert_eq!(
        told(fixture, &acme).await,
        [
            "connection.connected",
            "connection.recovered",
            "connection.reauthorization_required",
            "connection.connected",
            "connection.disconnected",
        ]
    );
    let required = deliveries(fixture, &acme).await.remove(2).body;
    assert!(required.contains(r#""reason":"REAUTHORIZATION_REQUIRED""#));
    assert!(required.contains(r#""state":"ERROR""#));
    deleted_and_undeleted(fixture, &acme).await;
}

/// Deleted as it was, and so not served any more; then undeleted.
async fn deleted_and_undeleted(fixture: &Fixture, acme: &TenantScope) {
    let delete = write(acme, Action::DeleteConnection);
    let id = fixture.connection(acme, "b").await.id;
    fixture.put(acme, id, "CANARY").await;
    fixture.store.connections().delete(acme, id, None, &delete).await.unwrap().into_inner();
    assert!(deliveries(fixture, acme).await[0].body.contains(r#""state":"DELETED""#));
    fixture
        .store
        .connections()
        .undelete(acme, id, None, &write(acme, Action::UndeleteConnection))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        told(fixture, acme).await[5..],
        ["connection.connected", "connection.disconnected", "connection.connected"]
    );
}

async fn every_change_of_a_credential_is_told(fixture: &Fixture) {
    let acme = fixture.tenant("acme").await;
    endpoint(fixture, &acme, &[]).await;
    let id = fixture.connection(&acme, "a").await.id;
    let consent = Consent {
        settings: NewSettings { config: Config::default(), destinations: Destinations::default() },
        account: None,
        confirmed_account: None,
        confirmed_settings: BTreeMap::new(),
        scopes: None,
    };
    let credentials = fixture.store.credentials();
    let connections = fixture.store.connections();
    let complete = write(&acme, Action::CompleteAuthorization);
    credentials.authorize(&acme, id, &credential("CANARY"), &consent, &complete).await.unwrap().into_inner();
    let test = write(&acme, Action::TestConnection);
    let accepted = || Tested::Accepted { account: None, settings: BTreeMap::new() };
    for tested in [Tested::Refused, Tested::Refused, accepted(), accepted()] {
        connections.tested(&acme, id, (1, 0), &tested, &test).await.unwrap().into_inner();
    }
    fixture.put(&acme, id, "CANARY").await;
    let rollback = write(&acme, Action::RollbackCredential);
    credentials.rollback(&acme, id, 1, None, None, &rollback).await.unwrap().into_inner();
    for version in [2, 2, 3] {
        let destroy = write(&acme, Action::DestroyCredentialVersion);
        credentials.destroy(&acme, id, version, &destroy).await.unwrap().into_inner();
    }
    assert_eq!(
        told(fixture, &acme).await,
        [
            "connection.connected",
            "credential.changed",
            "connection.reauthorization_required",
            "connection.recovered",
            "credential.changed",
            "credential.changed",
            "credential.changed",
            "connection.disconnected",
            "credential.changed",
        ]
    );
    let changes: Vec<_> = deliveries(fixture, &acme)
        .await
        .into_iter()
        .rev()
        .filter(|one| one.kind == "credential.changed")
        .map(|one| serde_json::from_str::<Value>(&one.body).unwrap()["data"].take())
        .map(|data| format!("{} {} {}", data["change"], data["version"], data["state"]).replace('"', ""))
        .collect();
    assert_eq!(
        changes,
        [
            "STORED 1 CONNECTED",
            "STORED 2 CONNECTED",
            "STORED 3 CONNECTED",
            "DESTROYED 2 CONNECTED",
            "DESTROYED 3 DISCONNECTED",
        ]
    );
}
