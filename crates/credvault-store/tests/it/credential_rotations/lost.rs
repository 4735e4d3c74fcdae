//! Answers that come late, or never: no key is lost that is the only one to work, and none goes where it did not come from.

use std::collections::BTreeMap;
use std::time::Duration;

use credvault_domain::{Action, Clock as _, Config, Destinations, Reason};
use credvault_store::{
    ConnectionPatch, Error, RotatedFrom, RotationClaim, RotationFailure, RotationWish, Tested,
};

use super::{
    DAY, FORCED, KEY_ONLY, connection, ends, failure, kept, kept_for, keyed, name, revoked_after,
    rolled_back, rotating, rotating_as, secret, shown, stored,
};
use crate::fixture::{Fixture, credential, repeatable, write};
use crate::on_both;

on_both![
    a_lost_answer_leaves_a_doubt_where_the_provider_ends_the_old_key,
    a_key_that_lives_after_its_doubtful_end_serves_on,
    a_new_key_serves_if_the_old_one_was_stored_once_more,
    a_new_key_waits_while_its_connection_is_deleted,
    a_new_key_does_not_wait_for_an_earlier_pause,
    a_request_that_was_done_meanwhile_makes_no_other_key,
    a_key_that_has_ended_the_one_before_is_kept_if_its_claim_was_lost,
    a_new_key_does_not_go_to_another_host,
    a_request_is_remembered_if_another_process_stores_its_key,
];

async fn a_lost_answer_leaves_a_doubt_where_the_provider_ends_the_old_key(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    let rotations = fixture.store.credential_rotations();
    let day = RotationWish { old_key_life: Some(DAY), ..FORCED };
    // Its process has gone before it has sent anything.
    drop(rotating_as(&fixture.store, &key, day).await);
    drop(rotating_as(&fixture.store, &key, day).await);
    assert_eq!(fixture.count("connection_health WHERE warn_time IS NOT NULL").await, 0);
    assert_eq!(connection(fixture, &scope, &key).await.rotation_due_time, None);
    for is_told in [true, false] {
        let ours = rotating_as(&fixture.store, &key, day).await;
        rotations.sending(&ours).await.unwrap();
        let end = fixture.clock.now().after(DAY).micros();
        if is_told {
            let lost = RotationFailure { lost: true, ..failure(Reason::ProviderUnavailable) };
            rotations.fail(&ours, lost).await.unwrap();
            assert_eq!(fixture.count(&format!("connections WHERE test_time = {end}")).await, 1);
        } else {
            // Its process has gone. The database's clock says when it claimed.
            drop(ours);
            drop(rotating_as(&fixture.store, &key, day).await);
        }
        assert!(shown(fixture, &scope, &key).await.left_time.is_some());
        let doubtful = connection(fixture, &scope, &key).await;
        assert_eq!(doubtful.expire_time, None, "it serves as long as it works");
        let due = doubtful.rotation_due_time;
        assert!(due.is_some_and(|due| due <= fixture.clock.now()), "the vault makes another one by itself");
        assert_eq!(fixture.count("connection_health WHERE warn_time IS NOT NULL").await, 1);

        let next = rotating_as(&fixture.store, &key, day).await;
        let minted = kept(fixture, &next, &format!("CANARY new {is_told}")).await.unwrap();
        stored(fixture, &scope, (&next, &minted), &revoked_after(fixture, DAY)).await.unwrap();
        let now = connection(fixture, &scope, &key).await;
        assert_eq!((now.expire_time, now.rotation_due_time), (None, None));
        assert_eq!(fixture.count("connection_health WHERE warn_time IS NOT NULL").await, 0);
    }
    // Where the vault revokes it, a lost answer does not end it.
    let ours = rotating(&fixture.store, &key).await;
    rotations.sending(&ours).await.unwrap();
    let lost = RotationFailure { lost: true, ..failure(Reason::ProviderUnavailable) };
    rotations.fail(&ours, lost).await.unwrap();
    assert_eq!(connection(fixture, &scope, &key).await.rotation_due_time, None);
}

async fn a_key_that_lives_after_its_doubtful_end_serves_on(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    let rotations = fixture.store.credential_rotations();
    let day = RotationWish { old_key_life: Some(DAY), ..FORCED };
    let ours = rotating_as(&fixture.store, &key, day).await;
    rotations.sending(&ours).await.unwrap();
    let lost = RotationFailure { lost: true, ..failure(Reason::ProviderUnavailable) };
    rotations.fail(&ours, lost).await.unwrap();
    fixture.clock.advance(DAY * 2);
    assert_eq!(fixture.fetch(&scope, key.connection()).await.unwrap(), "CANARY old");
    let ends = "connection_health WHERE grant_end_time IS NOT NULL";
    assert_eq!(fixture.count(ends).await, 1);
    let works = Tested::Accepted { account: None, settings: BTreeMap::new() };
    let test = write(&scope, Action::TestConnection);
    let connections = fixture.store.connections();
    connections.tested(&scope, key.connection(), (1, 0), &works, &test).await.unwrap().into_inner();
    assert_eq!(fixture.count(ends).await, 0);
}

async fn a_new_key_serves_if_the_old_one_was_stored_once_more(fixture: &Fixture) {
    let (scope, rotations) = (fixture.tenant("acme").await, fixture.store.credential_rotations());
    let day = RotationWish { old_key_life: Some(DAY), ..FORCED };
    for (account, put) in [("same", "CANARY old"), ("other", "CANARY other")] {
        let id = fixture.connection(&scope, account).await.id;
        fixture.put(&scope, id, "CANARY old").await;
        let key = fixture.store.connection_key(&scope, id);
        let ours = rotating_as(&fixture.store, &key, day).await;
        let minted = kept(fixture, &ours, "CANARY new").await.unwrap();
        fixture.put(&scope, id, put).await;
        let end = minted.create_time.after(DAY);
        let from = RotatedFrom::Ends { time: end, names: vec![name()] };
        let refused = stored(fixture, &scope, (&ours, &minted), &from).await;
        assert!(matches!(refused, Err(Error::VersionMismatch { .. })), "{refused:?}");
        rotations.postpone(&ours, failure(Reason::VersionMismatch)).await.unwrap();
        drop(ours);
        fixture.clock.advance(Duration::from_secs(60));
        let job = RotationWish { old_key_life: Some(DAY), ..KEY_ONLY };
        let claim = rotations.claim(&key, None, job).await.unwrap();
        if account == "same" {
            let RotationClaim::Ours(job) = claim else { panic!("{claim:?}") };
            let again = job.minted.clone().unwrap();
            assert_eq!((secret(&again.fields), again.create_time), ("CANARY new", minted.create_time));
            assert_eq!(stored(fixture, &scope, (&job, &again), &from).await.unwrap(), 3);
            assert_eq!(fixture.fetch(&scope, id).await.unwrap(), "CANARY new");
        } else {
            assert!(matches!(claim, RotationClaim::Nothing), "{claim:?}");
            assert_eq!(fixture.fetch(&scope, id).await.unwrap(), "CANARY other");
            // It has ended the first one all the same.
            rolled_back(fixture, &scope, &key).await.unwrap();
            assert_eq!(connection(fixture, &scope, &key).await.expire_time, Some(end));
        }
    }
}

async fn a_new_key_waits_while_its_connection_is_deleted(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    let (rotations, connections) = (fixture.store.credential_rotations(), fixture.store.connections());
    let day = RotationWish { old_key_life: Some(DAY), ..FORCED };
    let ours = rotating_as(&fixture.store, &key, day).await;
    kept(fixture, &ours, "CANARY new").await.unwrap();
    rotations.postpone(&ours, failure(Reason::ProviderUnavailable)).await.unwrap();
    drop(ours);
    let delete = write(&scope, Action::DeleteConnection);
    connections.delete(&scope, key.connection(), None, &delete).await.unwrap().into_inner();
    fixture.clock.advance(Duration::from_secs(60));
    let job = RotationWish { old_key_life: Some(DAY), ..KEY_ONLY };
    assert!(matches!(rotations.claim(&key, None, job).await.unwrap(), RotationClaim::Nothing));
    assert!(rotations.due(10, &[]).await.unwrap().is_empty(), "it is looked at later");
    let undelete = write(&scope, Action::UndeleteConnection);
    connections.undelete(&scope, key.connection(), None, &undelete).await.unwrap().into_inner();
    let again = rotating_as(&fixture.store, &key, day).await;
    assert_eq!(again.minted.as_ref().map(|minted| secret(&minted.fields)), Some("CANARY new"));
}

async fn a_new_key_does_not_wait_for_an_earlier_pause(fixture: &Fixture) {
    let (_, key) = keyed(fixture).await;
    let rotations = fixture.store.credential_rotations();
    let ours = rotating(&fixture.store, &key).await;
    let failed = RotationFailure { retry: DAY, ..failure(Reason::ProviderUnavailable) };
    rotations.fail(&ours, failed).await.unwrap();
    drop(ours);
    let ours = rotating(&fixture.store, &key).await;
    kept(fixture, &ours, "CANARY new").await.unwrap();
    drop(ours);
    let claim = rotations.claim(&key, None, KEY_ONLY).await.unwrap();
    assert!(matches!(claim, RotationClaim::Ours(_)), "{claim:?}");
}

async fn a_request_that_was_done_meanwhile_makes_no_other_key(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    let rotations = fixture.store.credential_rotations();
    let request = repeatable(&scope, Action::RotateCredential, uuid::Uuid::from_u128(7), "p");
    let ours = rotating(&fixture.store, &key).await;
    let minted = kept_for(fixture, &ours, "CANARY new", &request).await.unwrap();
    let (new, from) = (credential("CANARY new"), revoked_after(fixture, DAY));
    rotations.store(&scope, (&ours, &minted), &new, &from, &request).await.unwrap().into_inner();
    drop(ours);
    let claim = rotations.claim_for(&key, None, FORCED, Some(&request)).await.unwrap();
    assert!(matches!(claim, RotationClaim::Done), "{claim:?}");
    // A claim that came between gives its key up.
    let ours = rotating(&fixture.store, &key).await;
    let minted = kept(fixture, &ours, "CANARY third").await.unwrap();
    let before = rotations.store(&scope, (&ours, &minted), &new, &from, &request).await.unwrap();
    assert_eq!(before.into_inner().1, 2);
    drop(ours);
    assert_eq!(fixture.count("rotated_keys WHERE role = 'UNUSED'").await, 1);
    assert_eq!(fixture.count("rotated_keys WHERE role = 'MINTED'").await, 0);
    assert_eq!(fixture.count("credential_rotations WHERE state = 'IDLE'").await, 1);
}

async fn a_key_that_has_ended_the_one_before_is_kept_if_its_claim_was_lost(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    let rotations = fixture.store.credential_rotations();
    let at_once = RotationWish { old_key_life: Some(Duration::ZERO), ..FORCED };
    let ours = rotating_as(&fixture.store, &key, at_once).await;
    fixture
        .execute(
            "UPDATE credential_rotations SET state = 'IDLE', claim_id = NULL, process_id = NULL, lease_time = NULL",
        )
        .await;
    assert!(kept(fixture, &ours, "CANARY new").await.is_none(), "it is for the job to serve");
    drop(ours);
    let wish = RotationWish { old_key_life: Some(Duration::ZERO), ..KEY_ONLY };
    let RotationClaim::Ours(job) = rotations.claim(&key, None, wish).await.unwrap() else { panic!() };
    let minted = job.minted.clone().unwrap();
    assert_eq!(secret(&minted.fields), "CANARY new");
    let from = RotatedFrom::Ends { time: minted.create_time, names: vec![name()] };
    assert_eq!(stored(fixture, &scope, (&job, &minted), &from).await.unwrap(), 2);
    assert!(rolled_back(fixture, &scope, &key).await.is_err(), "it has ended");
}

async fn a_new_key_does_not_go_to_another_host(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    let ours = rotating(&fixture.store, &key).await;
    let disconnect = write(&scope, Action::DisconnectConnection);
    let revocations = fixture.store.revocations();
    revocations.disconnect(&scope, key.connection(), None, false, &disconnect).await.unwrap().into_inner();
    let elsewhere = ConnectionPatch {
        config: Some(Config::new([("host".to_owned(), "other".into())].into_iter().collect()).unwrap()),
        destinations: Destinations::new([("host".to_owned(), None)].into()),
        ..ConnectionPatch::default()
    };
    let update = write(&scope, Action::UpdateConnection);
    let connections = fixture.store.connections();
    connections.update(&scope, key.connection(), None, &elsewhere, &update).await.unwrap().into_inner();
    assert!(kept(fixture, &ours, "CANARY new").await.is_none());
    assert_eq!(fixture.count("rotated_keys").await, 0);
    assert!(ends(fixture, &key).await.is_empty());
    assert_eq!(shown(fixture, &scope, &key).await.left_key_id.as_deref(), Some("key-2"));
}

async fn a_request_is_remembered_if_another_process_stores_its_key(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    let rotations = fixture.store.credential_rotations();
    let request = |id| repeatable(&scope, Action::RotateCredential, uuid::Uuid::from_u128(id), "p");
    let ours = rotating(&fixture.store, &key).await;
    kept_for(fixture, &ours, "CANARY new", &request(7)).await.unwrap();
    rotations.postpone(&ours, failure(Reason::ProviderUnavailable)).await.unwrap();
    drop(ours);
    assert!(rotations.repeated(&scope, &request(7)).await.unwrap().is_none());
    // A second request finds the key that waits, and both get it.
    let RotationClaim::Ours(next) = rotations.claim(&key, None, FORCED).await.unwrap() else { panic!() };
    let (minted, new) = (next.minted.clone().unwrap(), credential("CANARY new"));
    let from = revoked_after(fixture, DAY);
    rotations.store(&scope, (&next, &minted), &new, &from, &request(8)).await.unwrap().into_inner();
    drop(next);
    for id in [7, 8] {
        let before = rotations.repeated(&scope, &request(id)).await.unwrap().unwrap();
        assert_eq!(before.into_inner().1, 2);
    }
    // The same request stores its own key.
    let ours = rotating(&fixture.store, &key).await;
    let minted = kept_for(fixture, &ours, "CANARY third", &request(9)).await.unwrap();
    let new = credential("CANARY third");
    rotations.store(&scope, (&ours, &minted), &new, &from, &request(9)).await.unwrap().into_inner();
    let before = rotations.repeated(&scope, &request(9)).await.unwrap().unwrap();
    assert_eq!(before.into_inner().1, 3);
    assert_eq!(fixture.count("requests").await, 3);
}
