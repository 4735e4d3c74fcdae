//! The steps of a refresh, one by one: who may claim, who may store, and what a crash leaves behind.

mod claims;
mod disconnected;
mod incidents;
mod refusals;
mod search;
mod unknown_outcomes;

use std::time::Duration;

use credvault_domain::{
    Action, AuditEvent, AuthMode, Clock as _, Connection, ConnectionState, FieldName, Grant, ProviderId,
    TenantScope, Timestamp,
};
use credvault_store::{
    Claim, Claimed, ConnectionKey, GiveUp, NewCredential, RefreshFailure, RefreshSchedule, RefreshedTokens,
    RepeatRisk, Selector, Store, Tested,
};

use crate::fixture::{Fixture, by_provider, credential, scope, write};

/// A week, whatever the provider.
pub fn for_a_week(risk: RepeatRisk) -> GiveUp<'static> {
    giving_up_after(Duration::from_secs(7 * 24 * 3600), risk)
}

fn giving_up_after(give_up_after: Duration, risk: RepeatRisk) -> GiveUp<'static> {
    fn nothing(_: &ProviderId, _: &AuthMode) -> RepeatRisk {
        RepeatRisk::Nothing
    }
    fn consent(_: &ProviderId, _: &AuthMode) -> RepeatRisk {
        RepeatRisk::Consent
    }
    fn other_consents(_: &ProviderId, _: &AuthMode) -> RepeatRisk {
        RepeatRisk::OtherConsents
    }
    let risk = match risk {
        RepeatRisk::Nothing => &nothing as _,
        RepeatRisk::Consent => &consent as _,
        RepeatRisk::OtherConsents => &other_consents as _,
    };
    GiveUp { give_up_after, risk, has_incident: &|_| false }
}

/// The connection has ended without an answer.
pub fn unknown(retry_time: Timestamp) -> RefreshFailure {
    RefreshFailure::Uncertain { retry_time, at_work: false }
}

/// A refusal that the vault does not understand.
fn refused() -> RefreshFailure {
    RefreshFailure::Refused { retry_time: Timestamp::from_micros(0), code: Some("invalid_request".into()) }
}

/// What a test that works leaves of a connection.
async fn test_works(fixture: &Fixture, scope: &TenantScope, key: &ConnectionKey, seen: i64) {
    let accepted = Tested::Accepted { account: None, settings: std::collections::BTreeMap::new() };
    tested(fixture, scope, key, seen, &accepted).await;
}

async fn tested(
    fixture: &Fixture,
    scope: &TenantScope,
    key: &ConnectionKey,
    seen: i64,
    result: &Tested,
) -> Connection {
    let write = write(scope, Action::TestConnection);
    let connections = fixture.store.connections();
    connections.tested(scope, key.connection(), (1, seen), result, &write).await.unwrap().into_inner()
}

/// As if what the row knows had happened so many days earlier.
async fn ago(fixture: &Fixture, columns: &[&str], days: i64) {
    for column in columns {
        let back = days * 24 * 3600 * 1_000_000;
        fixture.execute(&format!("UPDATE refreshes SET {column} = {column} - {back}")).await;
    }
}

/// Claims as the search for what is due does.
async fn look(fixture: &Fixture, key: &ConnectionKey, seen: i64, give_up_when: GiveUp<'_>) -> Claim {
    let refreshes = fixture.store.refreshes();
    // Proof of life takes a moment to be there.
    for _ in 0..200 {
        match refreshes.claim(key, seen, give_up_when, false).await.unwrap() {
            Claim::Busy => tokio::time::sleep(Duration::from_millis(20)).await,
            claim
            @ (Claim::Ours(_) | Claim::Later { .. } | Claim::Changed | Claim::Dead | Claim::Nothing) => {
                return claim;
            }
        }
    }
    panic!("another process has claimed it all the time");
}

/// A connection whose refresh was sent, and sent once more, both times without an answer.
async fn repeated_in_vain(
    fixture: &Fixture,
    scope: &TenantScope,
    give_up_when: GiveUp<'_>,
) -> (ConnectionKey, i64) {
    let (key, seen) = refreshable(fixture, scope, "a").await;
    let lost = unknown(Timestamp::from_micros(0));
    let ours = claimed(&fixture.store, &key, seen).await;
    fixture.store.refreshes().fail(&ours, &lost, &record(&key)).await.unwrap();
    let Claim::Ours(again) = look(fixture, &key, seen, give_up_when).await else { panic!("not repeated") };
    fixture.store.refreshes().fail(&again, &lost, &record(&key)).await.unwrap();
    (key, seen)
}

async fn error_of(
    fixture: &Fixture,
    scope: &TenantScope,
    key: &ConnectionKey,
) -> Option<(String, Option<String>)> {
    let connection = fixture.store.connections().get(scope, key.connection()).await.unwrap();
    assert_eq!(connection.state == ConnectionState::Error, connection.error.is_some());
    connection.error.map(|error| (error.reason, error.code))
}

/// A connection whose tokens can be refreshed, with its key and generation.
pub async fn refreshable(fixture: &Fixture, scope: &TenantScope, account: &str) -> (ConnectionKey, i64) {
    let id = fixture.connection(scope, account).await.id;
    let due_time = Some(fixture.clock.now());
    let new = NewCredential {
        schedule: Some(RefreshSchedule { due_time, client_id: None, grant: Grant::renewed(None) }),
        ..credential("CANARY first")
    };
    let write = write(scope, Action::PutCredential);
    fixture.store.credentials().put(scope, id, &new, None, &write).await.unwrap().into_inner();
    let selector = Selector::Connection { id, version: None };
    let fetched = fixture.store.credentials().fetch(scope, &selector).await.unwrap();
    (fetched.key(), fetched.generation())
}

async fn due(fixture: &Fixture) -> Vec<(ConnectionKey, i64)> {
    let found = fixture.store.refreshes().due(10, &[], None).await.unwrap();
    found.due.into_iter().map(|due| (due.key, due.generation)).collect()
}

pub async fn claimed(store: &Store, key: &ConnectionKey, seen: i64) -> Claimed {
    // Proof of life takes a moment to be there.
    for _ in 0..200 {
        match store.refreshes().claim(key, seen, for_a_week(RepeatRisk::Consent), true).await.unwrap() {
            Claim::Ours(claimed) => return *claimed,
            Claim::Busy => tokio::time::sleep(Duration::from_millis(20)).await,
            other @ (Claim::Later { .. } | Claim::Changed | Claim::Dead | Claim::Nothing) => {
                panic!("{other:?}")
            }
        }
    }
    panic!("never claimed");
}

pub fn refreshed(claimed: &Claimed, value: &str) -> RefreshedTokens {
    let mut fields = claimed.fields.clone();
    fields.set(FieldName::parse("token").unwrap(), value.to_owned().into());
    RefreshedTokens {
        fields,
        expire_time: None,
        due_time: None,
        scopes: None,
        settings: Default::default(),
        client_id: None,
        grant: Grant::renewed(None),
    }
}

pub fn record(key: &ConnectionKey) -> AuditEvent {
    AuditEvent::of(key.tenant().clone(), Action::RefreshConnection)
}

fn scope_of(tenant: &str) -> TenantScope {
    scope(tenant, None)
}

async fn refreshable_key(fixture: &Fixture, scope: &TenantScope) -> (ConnectionKey, i64) {
    let fetched = fixture.store.credentials().fetch(scope, &by_provider(None, None)).await.unwrap();
    (fetched.key(), fetched.generation())
}
