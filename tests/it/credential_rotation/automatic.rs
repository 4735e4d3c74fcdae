//! Credentials that the vault replaces by itself when they are due, and those that it reminds of.

use std::time::Duration;

use credvault_domain::Clock as _;
use credvault_proto::v1;
use credvault_simulator::Minting;
use tonic::Status;

use super::{FIRST, OVERLAP, ended, first_key, minter, rotate, served, settled, standing, started};
use crate::harness::{Client, VaultBuilder, eventually, input, refusal};
use crate::health::{get, lasting, receiver};
use crate::on_both;

const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);

fn period(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

fn every(days: i64, mode: &str) -> v1::CreateConnectionRequest {
    v1::CreateConnectionRequest { rotation_period: Some(period(days * 86_400)), ..first_key(mode) }
}

/// Changes how often the credential is replaced.
async fn change(
    app: &Client,
    id: &str,
    rotation_period: Option<prost_types::Duration>,
) -> Result<v1::Connection, Status> {
    let update = v1::UpdateConnectionRequest {
        connection: Some(v1::Connection { id: id.to_owned(), rotation_period, ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["rotation_period".into()] }),
        ..Default::default()
    };
    Ok(app.connections().update_connection(update).await?.into_inner().connection.unwrap())
}

/// The ids of the connections whose credential is due before the clock has gone on for so long.
async fn due_within(app: &Client, now: i64, time: Duration) -> Vec<String> {
    let seconds = now + i64::try_from(time.as_secs()).unwrap();
    let rotation_due_before = Some(prost_types::Timestamp { seconds, nanos: 0 });
    let request = v1::ListConnectionsRequest { rotation_due_before, ..Default::default() };
    let listed = app.connections().list_connections(request).await.unwrap().into_inner().connections;
    listed.into_iter().map(|connection| connection.id).collect()
}

on_both![
    the_vault_replaces_a_key_when_it_is_due,
    a_person_is_reminded_where_the_vault_has_no_call,
    an_attempt_that_failed_is_made_again,
    keys_that_are_made_in_vain_stop_the_vault_until_it_is_asked,
    settings_decide_whether_the_vault_replaces_a_key,
    a_period_is_whole_days,
];

async fn the_vault_replaces_a_key_when_it_is_due(builder: VaultBuilder) {
    let (connected, app) = started(builder).await;
    let (clock, provider) = (&connected.vault.clock, &connected.provider);
    let id = app.create(every(30, "api_key")).await.unwrap().id;
    let created = get(&app, &id).await;
    assert_eq!(created.rotation_due_time.unwrap().seconds, clock.now().after(DAY * 30).seconds());
    assert!(created.rotation.unwrap().automatic);
    // Within an hour after that.
    clock.advance(DAY * 30 + Duration::from_secs(3600));
    eventually("a new version", || async { get(&app, &id).await.current_version == 2 }).await;
    let rotated = get(&app, &id).await;
    assert_eq!(rotated.rotation_due_time.unwrap().seconds, clock.now().after(DAY * 30).seconds());
    let new = served(&app, &id).await;
    assert!(new != FIRST && provider.has_key(FIRST));
    let records = app.events().await;
    let record = records.iter().find(|record| record.action == "RotateCredential").unwrap();
    assert_eq!((record.service.as_str(), record.outcome()), ("vault", v1::AuditOutcome::Ok));
    clock.advance(OVERLAP);
    ended(&connected, FIRST).await;
    settled(&app, &id).await;
    assert_eq!((provider.counts().mints, provider.counts().key_revocations), (1, 1));
    let never = change(&app, &id, None).await.unwrap();
    assert_eq!((never.rotation_period, never.rotation_due_time), (None, None));
}

async fn a_person_is_reminded_where_the_vault_has_no_call(builder: VaultBuilder) {
    let (connected, app) = started(builder).await;
    let clock = &connected.vault.clock;
    let operator = lasting(&connected, "operator").await;
    let receiver = receiver(&operator, &["credential.rotation_due"]).await;
    let id = app.create(every(30, "by_hand")).await.unwrap().id;
    assert!(!standing(&app, &id).await.automatic);
    for (count, passed) in [(1, 16), (2, 11), (3, 2), (4, 1)] {
        assert_eq!(receiver.count(), count - 1);
        clock.advance(DAY * passed);
        eventually("a reminder", || async { receiver.count() >= count }).await;
    }
    let days: Vec<_> =
        receiver.received().iter().map(|one| one.json()["data"]["days"].as_i64().unwrap()).collect();
    assert_eq!(days, [14, 3, 1, 0]);
    let last = receiver.received().pop().unwrap().json();
    assert_eq!(last["data"]["connection_id"], id.as_str());
    assert!(last["data"]["rotation_due_time"].as_str().unwrap().ends_with('Z'));
    let now = clock.now().seconds();
    assert_eq!(due_within(&app, now, DAY).await, [id.as_str()]);
    // A new version begins anew.
    let put = v1::PutCredentialRequest {
        connection_id: id.clone(),
        credential: Some(input(&[("key", "sim_key_shop-2")])),
        ..Default::default()
    };
    app.vault().put_credential(put).await.unwrap();
    assert!(due_within(&app, now, DAY).await.is_empty());
    assert_eq!(due_within(&app, now, DAY * 31).await, [id.as_str()]);
    clock.advance(DAY * 16);
    eventually("the first reminder of the new version", || async { receiver.count() >= 5 }).await;
    assert_eq!(connected.provider.counts().mints, 0);
}

async fn an_attempt_that_failed_is_made_again(builder: VaultBuilder) {
    let (connected, app) = started(builder).await;
    let (clock, provider) = (&connected.vault.clock, &connected.provider);
    provider.behave(|behaviour| behaviour.minting = Minting::Unavailable);
    let id = app.create(every(1, "api_key")).await.unwrap().id;
    clock.advance(DAY + Duration::from_secs(3600));
    let failed = || async { !standing(&app, &id).await.failure_reason.is_empty() };
    eventually("a failure", failed).await;
    let standing = standing(&app, &id).await;
    assert_eq!(standing.failure_reason, "PROVIDER_UNAVAILABLE");
    assert!(standing.next_attempt_time.is_some());
    assert_eq!(served(&app, &id).await, FIRST);
    provider.behave(|behaviour| behaviour.minting = Minting::Works);
    // The row's time has a random part of an hour.
    clock.advance(Duration::from_secs(2 * 3600));
    eventually("a new version", || async { get(&app, &id).await.current_version == 2 }).await;
    assert_eq!(provider.counts().keys_minted, 1);
}

async fn keys_that_are_made_in_vain_stop_the_vault_until_it_is_asked(builder: VaultBuilder) {
    let (connected, app) = started(builder).await;
    let (clock, provider) = (&connected.vault.clock, &connected.provider);
    let operator = lasting(&connected, "operator").await;
    let receiver = receiver(&operator, &["credential.rotation_due"]).await;
    let id = app.create(every(30, "api_key")).await.unwrap().id;
    provider.behave(|behaviour| behaviour.minting = Minting::Lost);
    clock.advance(DAY * 30 + HOUR);
    eventually("a key in vain", || async { standing(&app, &id).await.left_keys == 1 }).await;
    assert!(standing(&app, &id).await.automatic);
    clock.advance(HOUR * 2);
    eventually("another one", || async { standing(&app, &id).await.left_keys == 2 }).await;
    let paused = standing(&app, &id).await;
    assert!(!paused.automatic && paused.next_attempt_time.is_none());
    eventually("a reminder", || async { receiver.count() == 1 }).await;
    assert_eq!(receiver.received()[0].json()["data"]["days"], 0);
    clock.advance(DAY);
    provider.behave(|behaviour| behaviour.minting = Minting::Works);
    assert_eq!(rotate(&app, &id).await.unwrap().version, 2);
    assert!(standing(&app, &id).await.automatic);
    assert_eq!((provider.counts().mints, receiver.count()), (3, 1));
}

async fn settings_decide_whether_the_vault_replaces_a_key(builder: VaultBuilder) {
    let (_connected, app) = started(builder).await;
    let create = v1::CreateConnectionRequest {
        provider: "sendgrid".into(),
        auth_mode: "api_key".into(),
        rotation_period: Some(period(30 * 86_400)),
        credential: Some(input(&[("api_key", "SG.CANARY_id.CANARY_secret")])),
        ..first_key("api_key")
    };
    let id = app.create(create).await.unwrap().id;
    assert!(!standing(&app, &id).await.automatic);
    for (access, automatic) in [(Some("full"), true), (None, false)] {
        let fields = access.iter().map(|access| {
            let kind = Some(prost_types::value::Kind::StringValue((*access).to_owned()));
            ("key_access".to_owned(), prost_types::Value { kind })
        });
        let config = Some(prost_types::Struct { fields: fields.collect() });
        let update = v1::UpdateConnectionRequest {
            connection: Some(v1::Connection { id: id.clone(), config, ..Default::default() }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["config".into()] }),
            ..Default::default()
        };
        app.connections().update_connection(update).await.unwrap();
        assert_eq!(standing(&app, &id).await.automatic, automatic);
    }
}

async fn a_period_is_whole_days(builder: VaultBuilder) {
    let (_connected, app) = started(builder).await;
    let id = app.create(first_key("api_key")).await.unwrap().id;
    assert_eq!(get(&app, &id).await.rotation_due_time, None);
    for seconds in [0, -86_400, 3600, 86_401, 731 * 86_400] {
        let create = v1::CreateConnectionRequest {
            account_name: "other".into(),
            rotation_period: Some(period(seconds)),
            ..first_key("api_key")
        };
        let refused = app.create(create).await.unwrap_err();
        assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID", "{seconds}");
        let refused = change(&app, &id, Some(period(seconds))).await.unwrap_err();
        assert_eq!(refusal(&refused), "InvalidArgument FIELDS_INVALID", "{seconds}");
    }
    let longest = change(&app, &id, Some(period(730 * 86_400))).await.unwrap();
    assert_eq!(longest.rotation_period, Some(period(730 * 86_400)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_replace_a_key_once() {
    let mut connected = minter(VaultBuilder::postgres()).await;
    connected.vault.tenant("acme").await;
    let first = lasting(&connected, "app").await.acting_for("acme", None);
    let other = connected.vault.instance.take().unwrap();
    connected.vault.start().await;
    let second = lasting(&connected, "app").await.acting_for("acme", None);
    let id = first.create(every(30, "api_key")).await.unwrap().id;

    connected.provider.behave(|behaviour| behaviour.hold = true);
    let mut rotations = tokio::task::JoinSet::new();
    for app in [&first, &second, &first, &second] {
        let (app, id) = (app.clone(), id.clone());
        rotations.spawn(async move { rotate(&app, &id).await });
    }
    eventually("another key", || async { connected.provider.counts().keys_minted == 1 }).await;
    for _ in 0..3 {
        let refused = rotations.join_next().await.unwrap().unwrap().unwrap_err();
        assert_eq!(refusal(&refused), "FailedPrecondition ROTATION_RUNNING");
    }
    connected.provider.behave(|behaviour| behaviour.hold = false);
    assert_eq!(rotations.join_next().await.unwrap().unwrap().unwrap().version, 2);
    assert_eq!(connected.provider.counts().mints, 1);

    let before = served(&second, &id).await;
    connected.vault.clock.advance(DAY * 30 + Duration::from_secs(3600));
    eventually("the second rotation", || async { get(&first, &id).await.current_version == 3 }).await;
    connected.vault.clock.advance(OVERLAP);
    ended(&connected, &before).await;
    settled(&first, &id).await;
    let counts = connected.provider.counts();
    assert_eq!((counts.mints, counts.key_revocations), (2, 2));
    other.stop().await;
}
