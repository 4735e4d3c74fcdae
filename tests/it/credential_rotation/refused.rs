//! Rotations that give no new version: the credential before serves on, and what is left at the provider shows.

use std::time::Duration;

use credvault_proto::v1;
use credvault_simulator::{Minting, Revocation};
use tonic_types::StatusExt as _;

use super::{FIRST, OVERLAP, ended, first_key, rotate, served, settled, standing, started};
use crate::harness::{VaultBuilder, eventually, refusal};
use crate::on_both;

on_both![
    a_key_that_fails_its_test_is_revoked_and_the_one_before_serves,
    a_provider_that_makes_no_key_changes_nothing,
    a_mode_without_the_call_says_how_to_do_it_by_hand,
    no_key_is_made_for_another_account,
    no_key_is_made_that_would_cut_another_connection_off,
    a_key_that_is_not_revoked_yet_is_revoked_later,
];

async fn a_key_that_fails_its_test_is_revoked_and_the_one_before_serves(builder: VaultBuilder) {
    let (connected, app) = started(builder).await;
    let id = app.create(first_key("api_key")).await.unwrap().id;
    connected.provider.behave(|behaviour| behaviour.made_keys_work = false);
    let refused = rotate(&app, &id).await.unwrap_err();
    assert_eq!(refusal(&refused), "FailedPrecondition ROTATION_REFUSED");
    eventually("the end of the new key", || async { connected.provider.made_keys("shop-1").is_empty() })
        .await;
    settled(&app, &id).await;
    assert_eq!(served(&app, &id).await, FIRST);
    assert!(connected.provider.has_key(FIRST));
    let standing = standing(&app, &id).await;
    assert_eq!((standing.failure_reason.as_str(), standing.left_key_time), ("ROTATION_REFUSED", None));
}

async fn a_provider_that_makes_no_key_changes_nothing(builder: VaultBuilder) {
    let (connected, app) = started(builder).await;
    let id = app.create(first_key("api_key")).await.unwrap().id;
    for (minting, expected, is_left) in [
        (Minting::Refused, "FailedPrecondition ROTATION_REFUSED", false),
        (Minting::Unavailable, "Unavailable PROVIDER_UNAVAILABLE", false),
        (Minting::Lost, "Unavailable PROVIDER_UNAVAILABLE", true),
    ] {
        connected.provider.behave(|behaviour| behaviour.minting = minting);
        let refused = rotate(&app, &id).await.unwrap_err();
        assert_eq!(refusal(&refused), expected, "{minting:?}");
        assert_eq!(served(&app, &id).await, FIRST);
        let standing = standing(&app, &id).await;
        assert_eq!(standing.left_key_time.is_some(), is_left, "{minting:?}");
        assert!(!standing.failure_reason.is_empty() && standing.left_key_id.is_empty());
    }
    let lost = app.events().await.into_iter().find(|record| record.changed_fields == ["rotation.key_left"]);
    assert_eq!(lost.unwrap().outcome(), v1::AuditOutcome::Failed);
    connected.provider.behave(|behaviour| behaviour.minting = Minting::Works);
    rotate(&app, &id).await.unwrap();
    let after = standing(&app, &id).await;
    assert!(after.failure_reason.is_empty() && after.left_key_time.is_some(), "a person has to look for it");
}

async fn a_mode_without_the_call_says_how_to_do_it_by_hand(builder: VaultBuilder) {
    let (connected, app) = started(builder).await;
    let id = app.create(first_key("by_hand")).await.unwrap().id;
    let refused = rotate(&app, &id).await.unwrap_err();
    assert_eq!(refusal(&refused), "FailedPrecondition ROTATION_BY_HAND");
    for word in ["Minter", "Settings, API keys", "PutCredential"] {
        assert!(refused.message().contains(word), "{refused:?}");
    }
    assert!(refused.get_error_details().retry_info().is_none());
    assert_eq!(connected.provider.counts().mints, 0);
    let get = v1::GetProviderRequest { provider: "minter".into() };
    let provider = app.connections().get_provider(get).await.unwrap().into_inner().provider.unwrap();
    let rotations = provider.auth_modes.into_iter().map(|mode| (mode.name, mode.key_rotation.unwrap()));
    let rotations: Vec<_> = rotations
        .map(|(name, rotation)| {
            let overlap = rotation.overlap.map(|overlap| overlap.seconds);
            (
                name,
                rotation.rotate_after_days,
                rotation.mints,
                rotation.revokes,
                rotation.self_replacing,
                overlap,
            )
        })
        .collect();
    assert_eq!(
        rotations,
        [
            ("api_key".to_owned(), 90, true, true, false, Some(3600)),
            ("by_hand".to_owned(), 30, false, false, false, None),
            ("rolled".to_owned(), 0, true, false, true, Some(0)),
            ("single".to_owned(), 0, true, true, false, Some(3600)),
            ("timed".to_owned(), 0, true, false, false, Some(3600)),
        ]
    );
}

async fn no_key_is_made_for_another_account(builder: VaultBuilder) {
    let (connected, app) = started(builder).await;
    let mut versions = Vec::new();
    for account in ["shop-2", "shop-1"] {
        let kind = Some(prost_types::value::Kind::StringValue(account.to_owned()));
        let setting = ("account".to_owned(), prost_types::Value { kind });
        let create = v1::CreateConnectionRequest {
            account_name: account.into(),
            config: Some(prost_types::Struct { fields: [setting].into() }),
            ..first_key("api_key")
        };
        let id = app.create(create).await.unwrap().id;
        let rotated = rotate(&app, &id).await;
        versions.push(rotated.map(|rotated| rotated.version).map_err(|refused| refusal(&refused)));
        assert_eq!(connected.provider.counts().mints, u64::from(account == "shop-1"));
    }
    assert_eq!(versions, [Err("FailedPrecondition STATE_INVALID".to_owned()), Ok(2)]);
}

async fn no_key_is_made_that_would_cut_another_connection_off(builder: VaultBuilder) {
    let (connected, app) = started(builder).await;
    let id = app.create(first_key("single")).await.unwrap().id;
    let copy = v1::CreateConnectionRequest { account_name: "copy".into(), ..first_key("single") };
    let copy = app.create(copy).await.unwrap().id;
    for id in [&id, &copy] {
        let refused = rotate(&app, id).await.unwrap_err();
        assert_eq!(refusal(&refused), "FailedPrecondition STATE_INVALID");
    }
    assert_eq!(connected.provider.counts().mints, 0);
    let request = v1::DisconnectConnectionRequest { connection_id: copy, ..Default::default() };
    app.connections().disconnect_connection(request).await.unwrap();
    assert_eq!(rotate(&app, &id).await.unwrap().version, 2);
}

async fn a_key_that_is_not_revoked_yet_is_revoked_later(builder: VaultBuilder) {
    let (connected, app) = started(builder).await;
    let provider = &connected.provider;
    let id = app.create(first_key("api_key")).await.unwrap().id;
    rotate(&app, &id).await.unwrap();
    provider.behave(|behaviour| behaviour.revocation = Revocation::Unavailable);
    connected.vault.clock.advance(OVERLAP);
    eventually("an attempt", || async { provider.counts().key_revocations >= 1 }).await;
    assert!(provider.has_key(FIRST));
    assert_eq!(standing(&app, &id).await.ending_keys, 1);
    provider.behave(|behaviour| behaviour.revocation = Revocation::RefusesUnknown);
    // The next attempt waits for a minute.
    connected.vault.clock.advance(Duration::from_secs(120));
    ended(&connected, FIRST).await;
    settled(&app, &id).await;
    assert_eq!(standing(&app, &id).await.left_key_time, None);
}
