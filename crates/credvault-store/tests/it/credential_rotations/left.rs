//! Keys that are to end at their provider: sooner, later, or never.

use std::time::Duration;

use credvault_domain::{Action, Config, Destinations};
use credvault_store::{ConnectionPatch, KeyEnd};

use super::{DAY, ending, ends, keyed, name, revoked_after, rotated, secret, shown};
use crate::fixture::{Fixture, write};
use crate::on_both;

on_both![
    a_destroyed_version_ends_its_key_at_once,
    a_call_that_is_not_wanted_yet_is_no_attempt,
    keys_that_stay_where_a_connection_has_led_are_on_record,
    keys_that_wait_when_a_connection_is_purged_are_on_record,
    keys_are_left_if_the_calls_that_end_them_are_about_another_account,
    a_purge_waits_for_the_keys_that_end_with_the_access,
];

/// How many keys are on record that stay at a provider.
async fn on_record(fixture: &Fixture) -> String {
    let left = "SELECT CAST(count(*) AS TEXT) AS v FROM audit_events
        WHERE action = 'RotateCredential' AND outcome = 'FAILED'";
    fixture.text(left).await
}

async fn a_destroyed_version_ends_its_key_at_once(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    let destroy = write(&scope, Action::DestroyCredentialVersion);
    let credentials = fixture.store.credentials();
    rotated(fixture, &scope, &key, "CANARY new", &revoked_after(fixture, DAY)).await;
    assert!(ends(fixture, &key).await.is_empty());
    credentials.destroy(&scope, key.connection(), 1, &destroy).await.unwrap().into_inner();
    let to_end = ending(fixture, &key).await.unwrap();
    assert_eq!(secret(&to_end.fields), "CANARY old");
    assert_eq!(to_end.serving.as_ref().map(secret), Some("CANARY new"));
    assert!(fixture.store.credential_rotations().end_attempted(&to_end, KeyEnd::Ended).await.unwrap());

    rotated(fixture, &scope, &key, "CANARY third", &revoked_after(fixture, DAY)).await;
    assert!(ends(fixture, &key).await.is_empty());
    credentials.destroy(&scope, key.connection(), 3, &destroy).await.unwrap().into_inner();
    let to_end = ending(fixture, &key).await.unwrap();
    assert!(to_end.serving.is_none());
    assert_eq!(secret(&to_end.fields), "CANARY new");
}

async fn a_call_that_is_not_wanted_yet_is_no_attempt(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    let rotations = fixture.store.credential_rotations();
    rotated(fixture, &scope, &key, "CANARY new", &revoked_after(fixture, Duration::ZERO)).await;
    let [number] = ends(fixture, &key).await[..] else { panic!("not one") };
    let pause = Duration::from_secs(600);
    for _ in 0..20 {
        let to_end = rotations.begin_end(&key, number, &[name()]).await.unwrap().unwrap();
        assert!(!rotations.end_attempted(&to_end, KeyEnd::Later(pause)).await.unwrap());
        assert!(rotations.begin_end(&key, number, &[name()]).await.unwrap().is_none(), "not before");
        fixture.clock.advance(pause);
    }
    let record = shown(fixture, &scope, &key).await;
    assert_eq!((record.ending_keys, record.left_time), (1, None));
}

async fn keys_that_stay_where_a_connection_has_led_are_on_record(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    for new in ["CANARY new", "CANARY third"] {
        rotated(fixture, &scope, &key, new, &revoked_after(fixture, DAY)).await;
    }
    let disconnect = write(&scope, Action::DisconnectConnection);
    let revocations = fixture.store.revocations();
    revocations.disconnect(&scope, key.connection(), None, false, &disconnect).await.unwrap().into_inner();
    assert_eq!(on_record(fixture).await, "0");
    let config = Config::new([("host".to_owned(), "other".into())].into_iter().collect()).unwrap();
    let patch = ConnectionPatch {
        config: Some(config),
        destinations: Destinations::new([("host".to_owned(), None)].into_iter().collect()),
        ..ConnectionPatch::default()
    };
    let update = write(&scope, Action::UpdateConnection);
    let connections = fixture.store.connections();
    connections.update(&scope, key.connection(), None, &patch, &update).await.unwrap().into_inner();
    let record = shown(fixture, &scope, &key).await;
    assert_eq!((record.ending_keys, record.left_keys), (0, 2));
    assert!(record.left_time.is_some());
    assert_eq!(on_record(fixture).await, "2");
}

async fn keys_that_wait_when_a_connection_is_purged_are_on_record(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    rotated(fixture, &scope, &key, "CANARY new", &revoked_after(fixture, DAY)).await;
    let (connections, id) = (fixture.store.connections(), key.connection());
    let delete = write(&scope, Action::DeleteConnection);
    connections.delete(&scope, id, None, &delete).await.unwrap().into_inner();
    assert_eq!(on_record(fixture).await, "0");
    connections.purge(&scope, id, None, &write(&scope, Action::PurgeConnection)).await.unwrap().into_inner();
    assert_eq!(on_record(fixture).await, "1");
}

async fn keys_are_left_if_the_calls_that_end_them_are_about_another_account(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    rotated(fixture, &scope, &key, "CANARY new", &revoked_after(fixture, DAY)).await;
    for (setting, left) in [("note", 0), ("account", 1)] {
        let config = Config::new([(setting.to_owned(), "other".into())].into_iter().collect()).unwrap();
        let patch = ConnectionPatch {
            config: Some(config),
            destinations: Destinations::default().with_keys([("account".to_owned(), None)].into()),
            ..ConnectionPatch::default()
        };
        let update = write(&scope, Action::UpdateConnection);
        let connections = fixture.store.connections();
        connections.update(&scope, key.connection(), None, &patch, &update).await.unwrap().into_inner();
        let record = shown(fixture, &scope, &key).await;
        assert_eq!((record.ending_keys, record.left_keys), (1 - left, left), "{setting}");
    }
    assert_eq!(fixture.fetch(&scope, key.connection()).await.unwrap(), "CANARY new");
}

async fn a_purge_waits_for_the_keys_that_end_with_the_access(fixture: &Fixture) {
    for is_ended in [true, false] {
        let scope = fixture.tenant("acme").await;
        let id = fixture.connection(&scope, "a").await.id;
        fixture.put(&scope, id, "CANARY old").await;
        let key = fixture.store.connection_key(&scope, id);
        rotated(fixture, &scope, &key, "CANARY new", &revoked_after(fixture, DAY)).await;
        let connections = fixture.store.connections();
        let delete = write(&scope, Action::DeleteConnection);
        connections.delete_and_revoke(&scope, id, None, false, &delete).await.unwrap().into_inner();
        let purge = write(&scope, Action::PurgeConnection);
        assert!(connections.purge(&scope, id, None, &purge).await.unwrap().into_inner().waits);
        fixture.store.purge_settled(&key).await.unwrap();
        assert_eq!(fixture.count("connections").await, 1);
        if is_ended {
            let to_end = ending(fixture, &key).await.unwrap();
            assert!(
                fixture.store.credential_rotations().end_attempted(&to_end, KeyEnd::Ended).await.unwrap()
            );
        } else {
            // It is not waited for without end.
            fixture.clock.advance(DAY);
        }
        fixture.store.purge_settled(&key).await.unwrap();
        assert_eq!(fixture.count("connections").await, 0);
        assert_eq!(on_record(fixture).await, if is_ended { "0" } else { "1" });
    }
}
