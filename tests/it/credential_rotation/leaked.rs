//! Keys that must end now, and keys that must not be lost: what a rotation leaves of the ones before it.

use std::time::Duration;

use credvault_proto::v1;

use super::{
    FIRST, OVERLAP, ended, first_key, roll_back, rotate, rotate_by, served, settled, standing, started,
};
use crate::harness::{VaultBuilder, eventually, input, refusal};
use crate::health::get;
use crate::on_both;

on_both![
    earlier_keys_end_with_the_one_that_is_revoked_now,
    a_repeated_request_learns_that_a_key_is_left,
    a_key_that_two_connections_serve_is_not_revoked,
    a_new_key_that_does_not_work_is_kept_where_the_old_one_ends,
];

fn at_once(id: &str) -> v1::RotateCredentialRequest {
    v1::RotateCredentialRequest { connection_id: id.to_owned(), revoke_now: true, ..Default::default() }
}

async fn earlier_keys_end_with_the_one_that_is_revoked_now(builder: VaultBuilder) {
    let (connected, app) = started(builder).await;
    let id = app.create(first_key("api_key")).await.unwrap().id;
    rotate(&app, &id).await.unwrap();
    let second = served(&app, &id).await;
    assert!(connected.provider.has_key(FIRST), "it has its overlap");
    let rotated = rotate_by(&app, at_once(&id)).await.unwrap();
    assert_eq!(rotated.old_key.unwrap().state(), v1::OldKeyState::Ended);
    assert!(!connected.provider.has_key(&second) && !connected.provider.has_key(FIRST));
}

async fn a_repeated_request_learns_that_a_key_is_left(builder: VaultBuilder) {
    let (connected, app) = started(builder).await;
    let unnamed = v1::CreateConnectionRequest {
        credential: Some(input(&[("key", "sim_key_shop-2")])),
        ..first_key("api_key")
    };
    let id = app.create(unnamed).await.unwrap().id;
    let request = v1::RotateCredentialRequest {
        request_id: "0193a5b2-7c40-7cc1-9d3e-1f2a3b4c5d6f".into(),
        ..at_once(&id)
    };
    for _ in 0..2 {
        let rotated = rotate_by(&app, request.clone()).await.unwrap();
        assert_eq!((rotated.version, rotated.old_key.unwrap().state()), (2, v1::OldKeyState::Left));
    }
    assert_eq!(connected.provider.counts().mints, 1);
}

async fn a_key_that_two_connections_serve_is_not_revoked(builder: VaultBuilder) {
    let (connected, app) = started(builder).await;
    let id = app.create(first_key("api_key")).await.unwrap().id;
    let copy = v1::CreateConnectionRequest { account_name: "copy".into(), ..first_key("api_key") };
    let other = app.create(copy).await.unwrap().id;
    let rotated = rotate_by(&app, at_once(&id)).await.unwrap();
    assert_eq!(rotated.old_key.unwrap().state(), v1::OldKeyState::Left);
    assert!(connected.provider.has_key(FIRST));
    assert!(standing(&app, &id).await.left_key_time.is_some());
    // The last one that has it ends it.
    rotate_by(&app, at_once(&other)).await.unwrap();
    ended(&connected, FIRST).await;
    settled(&app, &other).await;
}

async fn a_new_key_that_does_not_work_is_kept_where_the_old_one_ends(builder: VaultBuilder) {
    let (connected, app) = started(builder).await;
    let id = app.create(first_key("timed")).await.unwrap().id;
    connected.provider.behave(|behaviour| behaviour.made_keys_work = false);
    let refused = rotate(&app, &id).await.unwrap_err();
    assert_eq!(refusal(&refused), "Unavailable PROVIDER_UNAVAILABLE");
    assert_eq!(served(&app, &id).await, FIRST);
    assert_eq!(standing(&app, &id).await.stage(), v1::CredentialRotationStage::Testing);
    // By then the old one has ended, so this one serves, whatever its test says.
    connected.vault.clock.advance(OVERLAP + Duration::from_secs(60));
    eventually("the new version", || async { get(&app, &id).await.current_version == 2 }).await;
    assert_ne!(served(&app, &id).await, FIRST);
    assert_eq!(connected.provider.made_keys("shop-1").len(), 1);
    assert_eq!(connected.provider.counts().mints, 1);
    // The end of the old one counts from when the new one was made, not from when it serves.
    assert_eq!(refusal(&roll_back(&app, &id).await.unwrap_err()), "FailedPrecondition KEY_REVOKED");
}
