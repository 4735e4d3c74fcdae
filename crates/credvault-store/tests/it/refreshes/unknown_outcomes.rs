//! Answers that were lost: when the token is sent again, and when consent is asked for.

use std::time::Duration;

use credvault_domain::{Clock as _, ConnectionState, Timestamp};
use credvault_store::{Claim, Pause, RefreshFailure, RepeatRisk};

use super::{
    ago, claimed, error_of, for_a_week, giving_up_after, look, record, refreshable, refreshed, refused,
    repeated_in_vain, unknown,
};
use crate::fixture::Fixture;
use crate::on_both;

on_both![
    an_unknown_outcome_shows_and_is_looked_into_until_the_provider_has_spoken,
    one_repeat_is_sent_where_more_may_cost_other_consents_and_a_forced_one_still_finds_out,
    what_was_silent_for_too_long_asks_for_consent_where_tokens_rotate_and_nowhere_else,
    time_without_a_request_is_no_silence_of_the_provider,
    an_outage_after_a_refusal_is_no_silence_either,
    a_provider_with_grace_is_asked_until_it_answers,
];

async fn an_unknown_outcome_shows_and_is_looked_into_until_the_provider_has_spoken(fixture: &Fixture) {
    for (account, risk) in [("a", RepeatRisk::Nothing), ("b", RepeatRisk::Consent)] {
        let scope = fixture.tenant(account).await;
        let (key, seen) = refreshable(fixture, &scope, account).await;
        let lost = unknown(Timestamp::from_micros(0));
        let mut ours = claimed(&fixture.store, &key, seen).await;
        assert!(!ours.uncertain);
        for _ in 0..20 {
            assert!(fixture.store.refreshes().fail(&ours, &lost, &record(&key)).await.unwrap());
            assert_eq!(error_of(fixture, &scope, &key).await, Some(("PROVIDER_UNAVAILABLE".into(), None)));
            let Claim::Ours(again) = look(fixture, &key, seen, for_a_week(risk)).await else {
                panic!("{risk:?}")
            };
            assert!(again.uncertain);
            ours = *again;
        }
        assert!(
            fixture
                .store
                .refreshes()
                .store(&ours, &refreshed(&ours, "CANARY alive"), &record(&key))
                .await
                .unwrap()
        );
        assert_eq!(error_of(fixture, &scope, &key).await, None);
        assert_eq!(fixture.fetch(&scope, key.connection()).await.unwrap(), "CANARY alive");
    }
}

async fn one_repeat_is_sent_where_more_may_cost_other_consents_and_a_forced_one_still_finds_out(
    fixture: &Fixture,
) {
    let scope = fixture.tenant("acme").await;
    let careful = for_a_week(RepeatRisk::OtherConsents);
    let (key, seen) = repeated_in_vain(fixture, &scope, careful).await;
    assert!(matches!(look(fixture, &key, seen, careful).await, Claim::Dead));
    assert_eq!(error_of(fixture, &scope, &key).await.unwrap().0, "REAUTHORIZATION_REQUIRED");
    assert!(matches!(look(fixture, &key, seen, for_a_week(RepeatRisk::Nothing)).await, Claim::Dead));
    // The provider has not refused: a caller who insists is let through, and an outage leaves it as it is.
    let forced = claimed(&fixture.store, &key, seen).await;
    fixture
        .store
        .refreshes()
        .fail(&forced, &unknown(Timestamp::from_micros(0)), &record(&key))
        .await
        .unwrap();
    assert_eq!(error_of(fixture, &scope, &key).await.unwrap().0, "REAUTHORIZATION_REQUIRED");
    let forced = claimed(&fixture.store, &key, seen).await;
    let dead = RefreshFailure::Dead { code: Some("invalid_grant".into()) };
    fixture.store.refreshes().fail(&forced, &dead, &record(&key)).await.unwrap();
    let shown = Some(("REAUTHORIZATION_REQUIRED".into(), Some("invalid_grant".into())));
    assert_eq!(error_of(fixture, &scope, &key).await, shown);
    let insisting = fixture.store.refreshes().claim(&key, seen, careful, true).await.unwrap();
    assert!(matches!(insisting, Claim::Dead), "the provider has spoken");
}

async fn what_was_silent_for_too_long_asks_for_consent_where_tokens_rotate_and_nowhere_else(
    fixture: &Fixture,
) {
    let lost = unknown(Timestamp::from_micros(0));
    for (account, risk) in [("a", RepeatRisk::Nothing), ("b", RepeatRisk::Consent)] {
        let scope = fixture.tenant(account).await;
        let (key, seen) = refreshable(fixture, &scope, account).await;
        let ours = claimed(&fixture.store, &key, seen).await;
        fixture.store.refreshes().fail(&ours, &lost, &record(&key)).await.unwrap();
        let over = look(fixture, &key, seen, giving_up_after(Duration::ZERO, risk)).await;
        let error = error_of(fixture, &scope, &key).await.unwrap().0;
        match risk {
            RepeatRisk::Nothing => {
                assert!(matches!(over, Claim::Ours(_)));
                assert_eq!(error, "PROVIDER_UNAVAILABLE");
            }
            RepeatRisk::Consent | RepeatRisk::OtherConsents => {
                assert!(matches!(over, Claim::Dead));
                assert_eq!(error, "REAUTHORIZATION_REQUIRED");
            }
        }
        drop(over);
        assert!(claimed(&fixture.store, &key, seen).await.uncertain, "a caller may insist");
    }
}

async fn time_without_a_request_is_no_silence_of_the_provider(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (key, seen) = refreshable(fixture, &scope, "a").await;
    let week = for_a_week(RepeatRisk::Consent);
    let refreshes = fixture.store.refreshes();
    let ours = claimed(&fixture.store, &key, seen).await;
    refreshes.fail(&ours, &unknown(fixture.clock.now()), &record(&key)).await.unwrap();
    // Disabled, or the vault was away. A crash then changes nothing.
    ago(fixture, &["unsettled_time", "retry_time"], 8).await;
    let Claim::Ours(ours) = look(fixture, &key, seen, week).await else {
        panic!("nothing was sent in that week")
    };
    drop(ours);
    let Claim::Ours(again) = look(fixture, &key, seen, week).await else {
        panic!("nor had the first an answer")
    };
    refreshes.fail(&again, &unknown(fixture.clock.now()), &record(&key)).await.unwrap();
    let Claim::Ours(third) = look(fixture, &key, seen, week).await else {
        panic!("the week has hardly begun")
    };
    refreshes.fail(&third, &unknown(fixture.clock.now()), &record(&key)).await.unwrap();
    // It was asked all the time.
    ago(fixture, &["unsettled_time"], 8).await;
    assert!(matches!(look(fixture, &key, seen, week).await, Claim::Dead));
    assert_eq!(error_of(fixture, &scope, &key).await.unwrap().0, "REAUTHORIZATION_REQUIRED");
}

async fn an_outage_after_a_refusal_is_no_silence_either(fixture: &Fixture) {
    let unsettled =
        async || fixture.text("SELECT coalesce(CAST(unsettled_time AS TEXT), '') AS v FROM refreshes").await;
    let scope = fixture.tenant("acme").await;
    let (key, seen) = refreshable(fixture, &scope, "a").await;
    let refreshes = fixture.store.refreshes();
    let hour = Duration::from_secs(3600);
    let outage =
        RefreshFailure::Temporary { retry_time: fixture.clock.now().after(hour), pause: Pause::Unavailable };
    let ours = claimed(&fixture.store, &key, seen).await;
    refreshes.fail(&ours, &refused(), &record(&key)).await.unwrap();
    assert_ne!(unsettled().await, "");
    let ours = claimed(&fixture.store, &key, seen).await;
    refreshes.fail(&ours, &outage, &record(&key)).await.unwrap();
    assert_eq!(unsettled().await, "", "the provider answers, and the token was not refused");
    // Where an outcome is open, it stays so, and the pause does not count.
    let ours = claimed(&fixture.store, &key, seen).await;
    refreshes.fail(&ours, &unknown(fixture.clock.now()), &record(&key)).await.unwrap();
    let ours = claimed(&fixture.store, &key, seen).await;
    let before: i64 = unsettled().await.parse().unwrap();
    refreshes.fail(&ours, &outage, &record(&key)).await.unwrap();
    let moved = unsettled().await.parse::<i64>().unwrap() - before;
    let hour = i64::try_from(hour.as_micros()).unwrap();
    assert!((hour - 60_000_000..=hour).contains(&moved), "{moved}");
}

async fn a_provider_with_grace_is_asked_until_it_answers(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (key, seen) = refreshable(fixture, &scope, "a").await;
    let lost = unknown(fixture.clock.now());
    let mut ours = claimed(&fixture.store, &key, seen).await;
    for _ in 0..3 {
        assert!(fixture.store.refreshes().fail(&ours, &lost, &record(&key)).await.unwrap());
        let Claim::Ours(again) =
            fixture.store.refreshes().claim(&key, seen, for_a_week(RepeatRisk::Nothing), true).await.unwrap()
        else {
            panic!("not claimed again")
        };
        ours = *again;
    }
    assert!(
        fixture
            .store
            .refreshes()
            .store(&ours, &refreshed(&ours, "CANARY second"), &record(&key))
            .await
            .unwrap()
    );
    let connection = fixture.store.connections().get(&scope, key.connection()).await.unwrap();
    assert_eq!(connection.state, ConnectionState::Connected);
    assert!(connection.error.is_none());
    assert!(connection.last_refreshed_time.is_some());
}
