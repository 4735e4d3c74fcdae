//! Answers that come late, or never: no key is lost that is the only one to work, and none goes where it did not come from.

use std::time::Duration;

use credvault_domain::{Action, Clock as _, Config, Destinations, Reason};
use credvault_store::{ConnectionPatch, RotationClaim, RotationFailure, RotationWish};

use super::{
    DAY, FORCED, KEY_ONLY, connection, ends, failure, kept, kept_for, keyed, name, revoked_after,
    rolled_back, rotating, rotating_as, secret, shown, stored,
};
use crate::fixture::{Fixture, credential, repeatable, write};
use crate::on_both;

on_both![
    a_lost_answer_cuts_the_old_key_short_where_the_provider_ends_it,
    a_key_that_has_ended_the_one_before_is_kept_if_its_claim_was_lost,
    a_new_key_does_not_go_to_another_host,
    a_request_is_remembered_if_another_process_stores_its_key,
];

async fn a_lost_answer_cuts_the_old_key_short_where_the_provider_ends_it(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    let rotations = fixture.store.credential_rotations();
    let day = RotationWish { old_key_life: Some(DAY), ..FORCED };
    for is_told in [true, false] {
        let ours = rotating_as(&fixture.store, &key, day).await;
        let end = fixture.clock.now().after(DAY);
        if is_told {
            let lost = RotationFailure { lost: true, ..failure(Reason::ProviderUnavailable) };
            rotations.fail(&ours, lost).await.unwrap();
            assert_eq!(connection(fixture, &scope, &key).await.expire_time, Some(end));
        } else {
            // Its process has gone. The database's clock says when it claimed.
            drop(ours);
            drop(rotating_as(&fixture.store, &key, day).await);
            assert!(connection(fixture, &scope, &key).await.expire_time.is_some());
        }
        assert!(shown(fixture, &scope, &key).await.left_time.is_some());
        let due = connection(fixture, &scope, &key).await.rotation_due_time;
        assert!(due.is_some_and(|due| due <= fixture.clock.now()), "the vault makes another one by itself");
        assert_eq!(fixture.count("connection_health WHERE warn_time IS NOT NULL").await, 1);

        let next = rotating_as(&fixture.store, &key, day).await;
        let minted = kept(fixture, &next, &format!("CANARY new {is_told}")).await.unwrap();
        stored(fixture, &scope, (&next, &minted), &revoked_after(fixture, DAY)).await.unwrap();
        let now = connection(fixture, &scope, &key).await;
        assert_eq!((now.expire_time, now.rotation_due_time), (None, None));
    }
    // Where the vault revokes it, a lost answer does not end it.
    let ours = rotating(&fixture.store, &key).await;
    let lost = RotationFailure { lost: true, ..failure(Reason::ProviderUnavailable) };
    rotations.fail(&ours, lost).await.unwrap();
    assert_eq!(connection(fixture, &scope, &key).await.expire_time, None);
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
    let from = credvault_store::RotatedFrom::Ends { time: minted.create_time, names: vec![name()] };
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
