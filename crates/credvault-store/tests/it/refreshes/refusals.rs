//! Refusals of a provider: how many count, and what they make of the connection.

use std::time::Duration;

use credvault_domain::{Clock as _, Timestamp};
use credvault_store::{Claim, Error, Pause, RefreshFailure, RepeatRisk, Tested};

use super::{
    ago, claimed, due, error_of, for_a_week, look, record, refreshable, refreshed, refused, test_works,
    tested,
};
use crate::fixture::Fixture;
use crate::on_both;

on_both![
    a_refusal_without_a_known_reason_shows_after_the_token_and_some_tries,
    refusals_are_counted_and_outages_are_none,
    what_asks_for_consent_and_is_asked_again_is_not_forgotten_when_its_time_comes_meanwhile,
    a_test_that_works_has_what_was_given_up_looked_into_again,
    a_refused_test_has_no_code_and_the_error_keeps_its_time,
    tokens_that_can_never_be_stored_are_no_trouble_of_the_databases,
    without_a_refresh_token_consent_is_asked_for_at_the_end,
];

async fn a_refusal_without_a_known_reason_shows_after_the_token_and_some_tries(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (key, seen) = refreshable(fixture, &scope, "a").await;
    let refused = RefreshFailure::Refused {
        retry_time: Timestamp::from_micros(0),
        code: Some("invalid_request".into()),
    };
    for attempt in 1..=3 {
        assert_eq!(error_of(fixture, &scope, &key).await, None, "attempt {attempt}");
        let Claim::Ours(ours) = look(fixture, &key, seen, for_a_week(RepeatRisk::Consent)).await else {
            panic!("attempt {attempt}")
        };
        fixture.store.refreshes().fail(&ours, &refused, &record(&key)).await.unwrap();
    }
    let shown = Some(("REAUTHORIZATION_REQUIRED".into(), Some("invalid_request".into())));
    assert_eq!(error_of(fixture, &scope, &key).await, shown);
    assert_eq!(
        fixture.text("SELECT CAST(count(*) AS TEXT) AS v FROM changes WHERE kind = 'UPDATED'").await,
        "3"
    );
    // It is asked again, and works when the provider takes it.
    let Claim::Ours(ours) = look(fixture, &key, seen, for_a_week(RepeatRisk::Consent)).await else {
        panic!()
    };
    fixture.store.refreshes().store(&ours, &refreshed(&ours, "CANARY alive"), &record(&key)).await.unwrap();
    assert_eq!(error_of(fixture, &scope, &key).await, None);
}

async fn refusals_are_counted_and_outages_are_none(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (key, seen) = refreshable(fixture, &scope, "a").await;
    let outage =
        RefreshFailure::Temporary { retry_time: Timestamp::from_micros(0), pause: Pause::Unavailable };
    for (attempt, failure) in
        [&outage, &outage, &refused(), &outage, &refused(), &refused()].into_iter().enumerate()
    {
        assert_eq!(error_of(fixture, &scope, &key).await, None, "attempt {attempt}");
        let Claim::Ours(ours) = look(fixture, &key, seen, for_a_week(RepeatRisk::Consent)).await else {
            panic!("{attempt}")
        };
        fixture.store.refreshes().fail(&ours, failure, &record(&key)).await.unwrap();
    }
    let shown = Some(("REAUTHORIZATION_REQUIRED".into(), Some("invalid_request".into())));
    assert_eq!(error_of(fixture, &scope, &key).await, shown);
}

async fn what_asks_for_consent_and_is_asked_again_is_not_forgotten_when_its_time_comes_meanwhile(
    fixture: &Fixture,
) {
    let scope = fixture.tenant("acme").await;
    let (key, seen) = refreshable(fixture, &scope, "a").await;
    let refreshes = fixture.store.refreshes();
    let retry_time = fixture.clock.now().after(Duration::from_secs(60));
    for retry_time in [Timestamp::from_micros(0), Timestamp::from_micros(0), retry_time] {
        let ours = claimed(&fixture.store, &key, seen).await;
        let failure = RefreshFailure::Refused { retry_time, code: None };
        refreshes.fail(&ours, &failure, &record(&key)).await.unwrap();
    }
    assert!(matches!(look(fixture, &key, seen, for_a_week(RepeatRisk::Consent)).await, Claim::Dead));
    fixture.clock.advance(Duration::from_secs(90));
    refreshes.put_off(&key, seen, true).await.unwrap();
    assert_eq!(due(fixture).await, [(key.clone(), seen)]);
    // A disabled or deleted connection waits until it is enabled or undeleted.
    refreshes.put_off(&key, seen, false).await.unwrap();
    assert_eq!(due(fixture).await, []);
}

async fn a_test_that_works_has_what_was_given_up_looked_into_again(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (key, seen) = refreshable(fixture, &scope, "a").await;
    let week = for_a_week(RepeatRisk::Nothing);
    for _ in 0..3 {
        let ours = claimed(&fixture.store, &key, seen).await;
        fixture.store.refreshes().fail(&ours, &refused(), &record(&key)).await.unwrap();
    }
    fixture.execute(&format!("UPDATE refreshes SET retry_time = {}", fixture.clock.now().micros())).await;
    ago(fixture, &["unsettled_time"], 8).await;
    assert!(matches!(look(fixture, &key, seen, week).await, Claim::Dead));
    let shown = Some(("REAUTHORIZATION_REQUIRED".into(), Some("invalid_request".into())));
    assert_eq!(error_of(fixture, &scope, &key).await, shown, "the provider's code stays");
    assert_eq!(due(fixture).await, []);
    test_works(fixture, &scope, &key, seen).await;
    assert_eq!(error_of(fixture, &scope, &key).await, Some(("PROVIDER_UNAVAILABLE".into(), None)));
    assert_eq!(due(fixture).await, [(key.clone(), seen)]);
    let Claim::Ours(ours) = look(fixture, &key, seen, week).await else { panic!("given up without asking") };
    fixture.store.refreshes().store(&ours, &refreshed(&ours, "CANARY alive"), &record(&key)).await.unwrap();
    assert_eq!(error_of(fixture, &scope, &key).await, None);
}

async fn a_refused_test_has_no_code_and_the_error_keeps_its_time(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (key, seen) = refreshable(fixture, &scope, "a").await;
    for _ in 0..3 {
        let ours = claimed(&fixture.store, &key, seen).await;
        fixture.store.refreshes().fail(&ours, &refused(), &record(&key)).await.unwrap();
    }
    let before = fixture.store.connections().get(&scope, key.connection()).await.unwrap().error.unwrap();
    assert_eq!(before.code.as_deref(), Some("invalid_request"));
    fixture.clock.advance(Duration::from_secs(60));
    let after = tested(fixture, &scope, &key, seen, &Tested::Refused).await.error.unwrap();
    assert_eq!(after.reason, before.reason);
    assert_eq!(after.code, None, "a test says nothing of the refresh's code");
    assert_eq!(after.time, before.time, "it is the same error");
}

async fn tokens_that_can_never_be_stored_are_no_trouble_of_the_databases(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (key, seen) = refreshable(fixture, &scope, "a").await;
    let ours = claimed(&fixture.store, &key, seen).await;
    let huge = refreshed(&ours, &"x".repeat(200 * 1024));
    let error = fixture.store.refreshes().store(&ours, &huge, &record(&key)).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge), "{error:?}");
    assert!(!error.is_transient(), "{error:?}");
}

async fn without_a_refresh_token_consent_is_asked_for_at_the_end(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (key, seen) = refreshable(fixture, &scope, "a").await;
    let ours = claimed(&fixture.store, &key, seen).await;
    fixture.store.refreshes().fail(&ours, &RefreshFailure::Nothing, &record(&key)).await.unwrap();
    let shown = Some(("REAUTHORIZATION_REQUIRED".into(), None));
    assert_eq!(error_of(fixture, &scope, &key).await, shown);
    assert!(due(fixture).await.is_empty());
}
