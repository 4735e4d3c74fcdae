//! Who may send a refresh token: one claim at a time, and what was stored meanwhile is not overwritten.

use std::time::Duration;

use credvault_domain::{Action, Clock as _, ConnectionState, Timestamp};
use credvault_store::{Claim, Pause, RefreshFailure, RepeatRisk};
use secrecy::ExposeSecret as _;

use super::{claimed, due, for_a_week, look, record, refreshable, refreshed, test_works, unknown};
use crate::fixture::{Fixture, open_store, write};
use crate::on_both;

on_both![
    one_of_many_claims_and_what_it_stores_is_served,
    a_credential_that_was_replaced_meanwhile_is_not_overwritten,
    while_the_provider_may_be_working_no_caller_and_no_test_sends_the_token_again,
    an_attempt_that_was_not_sent_uses_nothing_up,
    a_claim_that_an_error_left_behind_does_not_stay,
    a_destroyed_version_leaves_no_tokens_behind,
];

async fn one_of_many_claims_and_what_it_stores_is_served(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (key, seen) = refreshable(fixture, &scope, "a").await;
    let ours = claimed(&fixture.store, &key, seen).await;
    assert_eq!(ours.fields.get("token").unwrap().expose_secret(), "CANARY first");
    for _ in 0..20 {
        assert!(matches!(
            fixture.store.refreshes().claim(&key, seen, for_a_week(RepeatRisk::Nothing), true).await.unwrap(),
            Claim::Busy
        ));
    }
    assert!(
        fixture
            .store
            .refreshes()
            .store(&ours, &refreshed(&ours, "CANARY second"), &record(&key))
            .await
            .unwrap()
    );
    assert_eq!(fixture.fetch(&scope, key.connection()).await.unwrap(), "CANARY second");
    // A caller with the previous tokens must read again, and the same answer is not stored twice.
    assert!(matches!(
        fixture.store.refreshes().claim(&key, seen, for_a_week(RepeatRisk::Nothing), true).await.unwrap(),
        Claim::Changed
    ));
    assert!(
        !fixture
            .store
            .refreshes()
            .store(&ours, &refreshed(&ours, "CANARY third"), &record(&key))
            .await
            .unwrap()
    );
    assert_eq!(fixture.fetch(&scope, key.connection()).await.unwrap(), "CANARY second");
    let next = claimed(&fixture.store, &key, seen + 1).await;
    assert_eq!(next.fields.get("token").unwrap().expose_secret(), "CANARY second");
}

async fn a_credential_that_was_replaced_meanwhile_is_not_overwritten(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (key, seen) = refreshable(fixture, &scope, "a").await;
    let ours = claimed(&fixture.store, &key, seen).await;
    fixture.put(&scope, key.connection(), "CANARY fresh consent").await;
    assert!(
        !fixture
            .store
            .refreshes()
            .store(&ours, &refreshed(&ours, "CANARY stale"), &record(&key))
            .await
            .unwrap()
    );
    assert!(
        !fixture
            .store
            .refreshes()
            .fail(&ours, &RefreshFailure::Dead { code: None }, &record(&key))
            .await
            .unwrap()
    );
    assert_eq!(fixture.fetch(&scope, key.connection()).await.unwrap(), "CANARY fresh consent");
    let connection = fixture.store.connections().get(&scope, key.connection()).await.unwrap();
    assert_eq!(connection.state, ConnectionState::Connected);
}

async fn while_the_provider_may_be_working_no_caller_and_no_test_sends_the_token_again(fixture: &Fixture) {
    let retry_time = fixture.clock.now().after(Duration::from_secs(60));
    for (account, pause, binds) in [
        ("a", Pause::AtWork, true),
        ("b", Pause::Throttled, true),
        ("c", Pause::Unavailable, false),
        ("d", Pause::Crowded, false),
    ] {
        let scope = fixture.tenant(account).await;
        let (key, seen) = refreshable(fixture, &scope, account).await;
        let refreshes = fixture.store.refreshes();
        let ours = claimed(&fixture.store, &key, seen).await;
        if pause == Pause::AtWork {
            refreshes
                .fail(&ours, &RefreshFailure::Uncertain { retry_time, at_work: true }, &record(&key))
                .await
                .unwrap();
        } else {
            refreshes.fail(&ours, &unknown(Timestamp::from_micros(0)), &record(&key)).await.unwrap();
            let again = claimed(&fixture.store, &key, seen).await;
            refreshes
                .fail(&again, &RefreshFailure::Temporary { retry_time, pause }, &record(&key))
                .await
                .unwrap();
        }
        let waits = |claim: &Claim| matches!(claim, Claim::Later { time, pause: told, .. } if *time == retry_time && *told == pause);
        let insisting =
            || async { refreshes.claim(&key, seen, for_a_week(RepeatRisk::Consent), true).await.unwrap() };
        if binds {
            assert!(waits(&insisting().await), "{pause:?}");
        }
        test_works(fixture, &scope, &key, seen).await;
        let looked = look(fixture, &key, seen, for_a_week(RepeatRisk::Consent)).await;
        if binds {
            assert!(waits(&insisting().await), "{pause:?}");
            assert!(waits(&looked), "{pause:?}");
            assert_eq!(due(fixture).await, [], "{pause:?}");
        } else {
            assert!(matches!(looked, Claim::Ours(_)), "{pause:?}: looked into at once");
        }
    }
}

async fn an_attempt_that_was_not_sent_uses_nothing_up(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (key, seen) = refreshable(fixture, &scope, "a").await;
    let retry_time = fixture.clock.now();
    let ours = claimed(&fixture.store, &key, seen).await;
    fixture.store.refreshes().fail(&ours, &unknown(retry_time), &record(&key)).await.unwrap();
    for _ in 0..3 {
        let again = claimed(&fixture.store, &key, seen).await;
        assert!(again.uncertain);
        let not_sent = RefreshFailure::Temporary { retry_time, pause: Pause::Unavailable };
        fixture.store.refreshes().fail(&again, &not_sent, &record(&key)).await.unwrap();
        let connection = fixture.store.connections().get(&scope, key.connection()).await.unwrap();
        assert_eq!(connection.error.unwrap().reason, "PROVIDER_UNAVAILABLE", "uncertain still");
    }
}

async fn a_claim_that_an_error_left_behind_does_not_stay(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (key, seen) = refreshable(fixture, &scope, "a").await;
    drop(claimed(&fixture.store, &key, seen).await);
    let again = claimed(&fixture.store, &key, seen).await;
    assert!(again.uncertain, "what was sent under it may have worked");
}

async fn a_destroyed_version_leaves_no_tokens_behind(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (key, seen) = refreshable(fixture, &scope, "a").await;
    let ours = claimed(&fixture.store, &key, seen).await;
    fixture.store.refreshes().store(&ours, &refreshed(&ours, "CANARY second"), &record(&key)).await.unwrap();
    let destroy = write(&scope, Action::DestroyCredentialVersion);
    fixture.store.credentials().destroy(&scope, key.connection(), 1, &destroy).await.unwrap().into_inner();
    assert_eq!(fixture.text("SELECT CAST(count(*) AS TEXT) AS v FROM tokens").await, "0");
    assert!(matches!(
        fixture.store.refreshes().claim(&key, seen + 2, for_a_week(RepeatRisk::Nothing), true).await.unwrap(),
        Claim::Nothing
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_is_taken_over_from_a_process_that_is_gone_and_from_no_other() {
    let fixture = Fixture::postgres().await;
    let scope = fixture.tenant("acme").await;
    let (key, seen) = refreshable(&fixture, &scope, "a").await;
    let other = open_store(&fixture.settings, &fixture.folder, &fixture.clock).await.unwrap();
    let theirs = claimed(&other, &key, seen).await;
    // Its lease is over, and it lives: slow is not gone.
    fixture.execute("UPDATE refreshes SET lease_time = 0").await;
    for _ in 0..5 {
        assert!(matches!(
            fixture.store.refreshes().claim(&key, seen, for_a_week(RepeatRisk::Nothing), true).await.unwrap(),
            Claim::Busy
        ));
    }
    // It is gone, and its lease is not over.
    drop(theirs);
    other.close().await;
    drop(other);
    fixture.execute("UPDATE refreshes SET lease_time = 9000000000000000").await;
    assert!(matches!(
        fixture.store.refreshes().claim(&key, seen, for_a_week(RepeatRisk::Nothing), true).await.unwrap(),
        Claim::Busy
    ));
    fixture.execute("UPDATE refreshes SET lease_time = 0").await;
    let ours = claimed(&fixture.store, &key, seen).await;
    assert!(ours.uncertain, "what it has sent may have worked");
}
