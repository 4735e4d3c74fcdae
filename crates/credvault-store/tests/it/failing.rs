//! The health of a connection whose access token has ended while its refresh fails: what is read of one connection, the filter
//! by health and the counts say the same.

use std::time::Duration;

use credvault_domain::{
    Action, Clock as _, FieldName, Grant, HealthState, LastError, ProviderId, TenantScope,
};
use credvault_store::{
    AppFault, AppRevision, ConnectionFilter, ConnectionKey, HealthFilter, NewCredential, Pause,
    RefreshFailure, RefreshSchedule, Selector,
};

use crate::fixture::{Fixture, credential, write};
use crate::on_both;
use crate::refreshes::{claimed, record, refreshable, refreshed};

on_both![
    refused_fetches_show_from_the_end_of_the_access_token_on,
    without_an_access_token_the_first_failure_counts,
];

const HOUR: Duration = Duration::from_secs(3600);

/// A connection whose access token lives for an hour, with its key and generation.
async fn with_token(fixture: &Fixture, scope: &TenantScope, account: &str) -> (ConnectionKey, i64) {
    let id = fixture.connection(scope, account).await.id;
    let now = fixture.clock.now();
    let schedule = RefreshSchedule { due_time: Some(now), client_id: None, grant: Grant::renewed(None) };
    let mut new = NewCredential {
        schedule: Some(schedule),
        expire_time: Some(now.after(HOUR)),
        ..credential("CANARY first")
    };
    new.fields.set(FieldName::parse("access_token").unwrap(), "CANARY access".to_owned().into());
    let write = write(scope, Action::PutCredential);
    fixture.store.credentials().put(scope, id, &new, None, &write).await.unwrap().into_inner();
    let selector = Selector::Connection { id, version: None };
    let fetched = fixture.store.credentials().fetch(scope, &selector).await.unwrap();
    (fetched.key(), fetched.generation())
}

/// Has a refresh fail.
async fn fail(fixture: &Fixture, (key, seen): &(ConnectionKey, i64), failure: &RefreshFailure) {
    let ours = claimed(&fixture.store, key, *seen).await;
    fixture.store.refreshes().fail(&ours, failure, &record(key)).await.unwrap();
}

/// The health of a connection, with what went wrong last: as it is read, and as the filter finds it.
async fn agreed(
    fixture: &Fixture,
    scope: &TenantScope,
    key: &ConnectionKey,
    incidents: &[ProviderId],
) -> (HealthState, Option<LastError>) {
    let connections = fixture.store.connections();
    let connection = connections.get(scope, key.connection()).await.unwrap();
    let records = connections.health_of(scope, std::slice::from_ref(&connection)).await.unwrap();
    let record = records.get(&connection.id).cloned().unwrap_or_default();
    let has_incident = incidents.contains(&connection.provider);
    let shown = record.state(&connection, has_incident, fixture.clock.now());
    for state in HealthState::ALL {
        let health = Some(HealthFilter { state, incidents: incidents.to_vec() });
        let filter = ConnectionFilter { health, ids: vec![connection.id], ..ConnectionFilter::default() };
        let found = connections.count(scope, &filter).await.unwrap();
        assert_eq!(found, u64::from(state == shown), "{state:?}, but {shown:?}");
    }
    (shown, record.last_error)
}

async fn refused_fetches_show_from_the_end_of_the_access_token_on(fixture: &Fixture) {
    use HealthState::{Error, ProviderIncident, Uncertain};
    let scope = fixture.tenant("acme").await;
    let app = |fault| Pause::App { fault, revision: AppRevision::NONE };
    let cases = [
        (Pause::Unavailable, Uncertain),
        (Pause::AtWork, Uncertain),
        (Pause::Throttled, Uncertain),
        (Pause::Crowded, Uncertain),
        (Pause::Refused, Uncertain),
        (Pause::Vault, Error),
        (Pause::Uncatalogued, Error),
        (Pause::Incomplete, Error),
        (Pause::Clock, Error),
        (Pause::Broken, Error),
        (app(AppFault::Refused), Error),
        (app(AppFault::Missing), Error),
        (app(AppFault::Other), Error),
    ];
    let retry_time = fixture.clock.now().after(HOUR * 3);
    let mut all = Vec::new();
    for (number, (pause, expected)) in cases.into_iter().enumerate() {
        let one = with_token(fixture, &scope, &format!("a{number}")).await;
        fail(fixture, &one, &RefreshFailure::Temporary { retry_time, pause }).await;
        let (health, error) = agreed(fixture, &scope, &one.0, &[]).await;
        assert_eq!(health, HealthState::Ok, "the access token works: {pause:?}");
        assert_eq!(error.unwrap().retry_time, Some(retry_time));
        all.push((one, pause, expected));
    }
    fixture.clock.advance(HOUR);
    let incidents = [ProviderId::parse("generic").unwrap()];
    for ((key, _), pause, expected) in &all {
        assert_eq!(agreed(fixture, &scope, key, &[]).await.0, *expected, "{pause:?}");
        let meanwhile = if *expected == Uncertain { ProviderIncident } else { Error };
        assert_eq!(agreed(fixture, &scope, key, &incidents).await.0, meanwhile, "{pause:?}");
    }
    let none: [ProviderId; 0] = [];
    for (failing, expected) in [(&none[..], [5, 8, 0, 0]), (&incidents[..], [0, 8, 5, 0])] {
        let counts = fixture.store.connections().counts(&scope, failing).await.unwrap();
        let counted = [Uncertain, Error, ProviderIncident, HealthState::Ok]
            .map(|state| counts.iter().filter(|one| one.health == state).map(|one| one.count).sum::<i64>());
        assert_eq!(counted, expected);
    }
    // New tokens end it.
    let ((key, seen), ..) = &all[0];
    let ours = claimed(&fixture.store, key, *seen).await;
    fixture.store.refreshes().store(&ours, &refreshed(&ours, "CANARY new"), &record(key)).await.unwrap();
    let (health, error) = agreed(fixture, &scope, key, &[]).await;
    assert!(health == HealthState::Ok && error.unwrap().recover_time.is_some());
}

async fn without_an_access_token_the_first_failure_counts(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let one = refreshable(fixture, &scope, "minted").await;
    let begun = fixture.clock.now();
    let failure = RefreshFailure::Outage { retry_time: begun.after(HOUR), status: 503 };
    fail(fixture, &one, &failure).await;
    fixture.clock.advance(HOUR);
    fail(fixture, &one, &failure).await;
    let (health, error) = agreed(fixture, &scope, &one.0, &[]).await;
    let error = error.unwrap();
    assert_eq!((health, error.status), (HealthState::Uncertain, Some(503)));
    assert_eq!((error.down_time, error.time), (Some(begun), begun.after(HOUR)));
    // A credential in its place begins anew.
    let id = one.0.connection();
    fixture.put(&scope, id, "CANARY other").await;
    assert_eq!(agreed(fixture, &scope, &one.0, &[]).await.0, HealthState::Ok);
}
