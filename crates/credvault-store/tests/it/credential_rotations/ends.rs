//! The end of keys: which of them end now, wait, or stay, and what is known of them afterwards.

use std::time::Duration;

use credvault_domain::{Action, Clock as _, Reason, TenantScope, Timestamp};
use credvault_store::{ConnectionKey, KeyEnd, ReplacedKey, RotationClaim, RotationWish};

use super::{
    DAY, DUE, FORCED, KEY_ONLY, ending, ends, failure, kept, keyed, name, revoked_after, rolled_back,
    rotated, rotating_as, secret, shown, stored,
};
use crate::fixture::{Fixture, write};
use crate::on_both;

on_both![
    to_revoke_now_outlives_its_process_and_ends_earlier_keys,
    no_key_is_made_while_one_is_to_end_that_no_call_names,
    a_key_that_another_connection_of_its_owner_serves_is_left,
    a_version_is_revoked_only_as_long_as_its_key_may_have_ended,
    a_key_that_was_rolled_back_from_ends_after_the_overlap,
    what_became_of_a_key_is_known_later,
];

async fn to_revoke_now_outlives_its_process_and_ends_earlier_keys(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    let rotations = fixture.store.credential_rotations();
    rotated(fixture, &scope, &key, "CANARY second", &revoked_after(fixture, DAY)).await;
    let wish = RotationWish { revoke_now: true, ..FORCED };
    let ours = rotating_as(&fixture.store, &key, wish).await;
    kept(fixture, &ours, "CANARY third").await.unwrap();
    rotations.postpone(&ours, failure(Reason::ProviderUnavailable)).await.unwrap();
    drop(ours);
    assert!(ends(fixture, &key).await.is_empty());
    fixture.clock.advance(Duration::from_secs(60));
    // The job does not know what was asked for.
    let RotationClaim::Ours(job) = rotations.claim(&key, None, KEY_ONLY).await.unwrap() else { panic!() };
    let minted = job.minted.clone().unwrap();
    stored(fixture, &scope, (&job, &minted), &revoked_after(fixture, DAY)).await.unwrap();
    assert_eq!(ends(fixture, &key).await.len(), 2, "the leaked one, and the one before it");
    // The next rotation has its overlap again.
    rotated(fixture, &scope, &key, "CANARY fourth", &revoked_after(fixture, DAY)).await;
    assert_eq!(shown(fixture, &scope, &key).await.ending_keys, 3);
    fixture.clock.advance(Duration::from_secs(60));
    assert_eq!(ends(fixture, &key).await.len(), 2);
}

async fn no_key_is_made_while_one_is_to_end_that_no_call_names(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    let rotations = fixture.store.credential_rotations();
    rotated(fixture, &scope, &key, "CANARY new", &revoked_after(fixture, DAY)).await;
    let one_by_one = RotationWish { one_by_one: true, ..FORCED };
    let claim = async |wish| rotations.claim(&key, None, wish).await.unwrap();
    assert!(matches!(claim(one_by_one).await, RotationClaim::Ending));
    assert!(ends(fixture, &key).await.is_empty());
    // The job waits as long as the key has to.
    assert!(matches!(claim(RotationWish { one_by_one: true, ..DUE }).await, RotationClaim::Later(_)));
    let now = RotationWish { revoke_now: true, ..one_by_one };
    assert!(matches!(claim(now).await, RotationClaim::Ending));
    let to_end = ending(fixture, &key).await.unwrap();
    assert!(matches!(claim(one_by_one).await, RotationClaim::Ending), "its end is not known yet");
    assert!(rotations.end_attempted(&to_end, KeyEnd::Ended).await.unwrap());
    let RotationClaim::Ours(ours) = claim(one_by_one).await else { panic!() };
    // A key that was made in vain must end, too.
    kept(fixture, &ours, "CANARY vain").await.unwrap();
    rotations.discard(&ours, failure(Reason::RotationRefused)).await.unwrap();
    drop(ours);
    assert!(matches!(claim(one_by_one).await, RotationClaim::Ending));
    assert!(matches!(claim(FORCED).await, RotationClaim::Ours(_)), "where calls name the key");
}

async fn a_key_that_another_connection_of_its_owner_serves_is_left(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    let other = fixture.connection(&scope, "b").await.id;
    fixture.put(&scope, other, "CANARY old").await;
    let at_once = revoked_after(fixture, Duration::ZERO);
    rotated(fixture, &scope, &key, "CANARY new", &at_once).await;
    assert!(ending(fixture, &key).await.is_none());
    let record = shown(fixture, &scope, &key).await;
    assert_eq!((record.ending_keys, record.left_key_id.as_deref()), (0, Some("key-1")));
    assert!(rolled_back(fixture, &scope, &key).await.is_ok(), "it lives");

    // What the last connection with it has replaced ends.
    fixture.put(&scope, other, "CANARY own").await;
    rotated(fixture, &scope, &key, "CANARY last", &at_once).await;
    let numbers = ends(fixture, &key).await;
    let rotations = fixture.store.credential_rotations();
    let to_end = rotations.begin_end(&key, numbers[0], &[name()]).await.unwrap().unwrap();
    assert_eq!(secret(&to_end.fields), "CANARY old");
}

async fn a_version_is_revoked_only_as_long_as_its_key_may_have_ended(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    let rotations = fixture.store.credential_rotations();
    rotated(fixture, &scope, &key, "CANARY new", &revoked_after(fixture, Duration::ZERO)).await;
    let to_end = ending(fixture, &key).await.unwrap();
    assert!(rolled_back(fixture, &scope, &key).await.is_err(), "the call may be on its way");
    assert!(rotations.end_attempted(&to_end, KeyEnd::ByHand).await.unwrap());
    assert_eq!(rolled_back(fixture, &scope, &key).await.unwrap(), 3);
    assert_eq!(fixture.fetch(&scope, key.connection()).await.unwrap(), "CANARY old");
}

async fn a_key_that_was_rolled_back_from_ends_after_the_overlap(fixture: &Fixture) {
    let (scope, key) = keyed(fixture).await;
    rotated(fixture, &scope, &key, "CANARY new", &revoked_after(fixture, DAY)).await;
    fixture.clock.advance(DAY / 2);
    rolled_back(fixture, &scope, &key).await.unwrap();
    fixture.clock.advance(DAY / 2);
    assert!(ending(fixture, &key).await.is_none(), "it serves again");
    assert!(ends(fixture, &key).await.is_empty());
    fixture.clock.advance(DAY / 2);
    let to_end = ending(fixture, &key).await.unwrap();
    assert_eq!((to_end.replaced, secret(&to_end.fields)), (false, "CANARY new"));
    // A version that was stored by hand is not the vault's to end.
    fixture.put(&scope, key.connection(), "CANARY by hand").await;
    assert_eq!(shown(fixture, &scope, &key).await.ending_keys, 1);
}

async fn became(fixture: &Fixture, scope: &TenantScope, key: &ConnectionKey) -> (bool, bool, bool) {
    let rotations = fixture.store.credential_rotations();
    let replaced = rotations.replaced(scope, key.connection(), 1).await.unwrap();
    let ReplacedKey { revoke_time, end_time, may_be_left } = replaced;
    let over = |time: Option<Timestamp>| time.is_some_and(|time| time <= fixture.clock.now());
    (revoke_time.is_some(), over(end_time), may_be_left)
}

async fn what_became_of_a_key_is_known_later(fixture: &Fixture) {
    let rotations = fixture.store.credential_rotations();
    for (account, end) in [("left", KeyEnd::ByHand), ("ended", KeyEnd::Ended)] {
        let scope = fixture.tenant("acme").await;
        let id = fixture.connection(&scope, account).await.id;
        fixture.put(&scope, id, &format!("CANARY {account}")).await;
        let key = fixture.store.connection_key(&scope, id);
        let later = revoked_after(fixture, DAY);
        rotated(fixture, &scope, &key, &format!("CANARY new {account}"), &later).await;
        assert_eq!(became(fixture, &scope, &key).await, (true, false, true));
        fixture.clock.advance(DAY);
        let to_end = ending(fixture, &key).await.unwrap();
        assert_eq!(became(fixture, &scope, &key).await, (true, true, true), "it is tried again");
        assert!(rotations.end_attempted(&to_end, end).await.unwrap());
        assert_eq!(became(fixture, &scope, &key).await, (false, end == KeyEnd::Ended, true));
        // What a version says goes with it; that a key is left is still known.
        let destroy = write(&scope, Action::DestroyCredentialVersion);
        fixture.store.credentials().destroy(&scope, id, 1, &destroy).await.unwrap().into_inner();
        let (waits, _, may_be_left) = became(fixture, &scope, &key).await;
        assert_eq!((waits, may_be_left), (false, end == KeyEnd::ByHand));
    }
}
