//! What an incident of the provider holds back: nothing is given up while it lasts, and everything as ever after it.

use std::time::Duration;

use credvault_domain::{Clock as _, Timestamp};
use credvault_store::{Claim, GiveUp, Pause, RefreshFailure, RepeatRisk};

use super::{
    ago, claimed, error_of, for_a_week, giving_up_after, look, record, refreshable, refused,
    repeated_in_vain, unknown,
};
use crate::fixture::Fixture;
use crate::on_both;

on_both![
    what_an_incident_leaves_open_for_too_long_is_not_given_up,
    after_an_incident_an_outcome_is_looked_into_for_the_full_time_again,
    a_repeat_that_may_cost_other_consents_waits_for_the_end_of_the_incident,
    refusals_during_an_incident_ask_for_no_consent,
];

/// The same rule, while the provider has an incident.
fn in_incident(give_up_when: GiveUp<'static>) -> GiveUp<'static> {
    GiveUp { has_incident: &|_| true, ..give_up_when }
}

async fn what_an_incident_leaves_open_for_too_long_is_not_given_up(fixture: &Fixture) {
    let lost = unknown(Timestamp::from_micros(0));
    for (account, risk, failure) in [("a", RepeatRisk::Nothing, refused()), ("b", RepeatRisk::Consent, lost)]
    {
        let scope = fixture.tenant(account).await;
        let (key, seen) = refreshable(fixture, &scope, account).await;
        let at_once = giving_up_after(Duration::ZERO, risk);
        let ours = claimed(&fixture.store, &key, seen).await;
        fixture.store.refreshes().fail(&ours, &failure, &record(&key)).await.unwrap();
        let before = error_of(fixture, &scope, &key).await;
        for _ in 0..2 {
            let Claim::Ours(ours) = look(fixture, &key, seen, in_incident(at_once)).await else {
                panic!("{risk:?}: given up during an incident")
            };
            fixture.store.refreshes().fail(&ours, &failure, &record(&key)).await.unwrap();
            assert_eq!(error_of(fixture, &scope, &key).await, before, "{risk:?}");
        }
        assert!(matches!(look(fixture, &key, seen, at_once).await, Claim::Dead), "{risk:?}");
        assert_eq!(error_of(fixture, &scope, &key).await.unwrap().0, "REAUTHORIZATION_REQUIRED");
    }
}

async fn after_an_incident_an_outcome_is_looked_into_for_the_full_time_again(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (key, seen) = refreshable(fixture, &scope, "a").await;
    let week = for_a_week(RepeatRisk::Consent);
    let ours = claimed(&fixture.store, &key, seen).await;
    let lost = unknown(fixture.clock.now());
    fixture.store.refreshes().fail(&ours, &lost, &record(&key)).await.unwrap();
    ago(fixture, &["unsettled_time"], 8).await;
    let Claim::Ours(ours) = look(fixture, &key, seen, in_incident(week)).await else { panic!("given up") };
    fixture.store.refreshes().fail(&ours, &lost, &record(&key)).await.unwrap();
    let after = look(fixture, &key, seen, week).await;
    assert!(matches!(after, Claim::Ours(_)), "the silence of an incident counts for nothing: {after:?}");
}

async fn a_repeat_that_may_cost_other_consents_waits_for_the_end_of_the_incident(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let careful = for_a_week(RepeatRisk::OtherConsents);
    let (key, seen) = repeated_in_vain(fixture, &scope, careful).await;
    let waits = look(fixture, &key, seen, in_incident(careful)).await;
    assert!(matches!(waits, Claim::Later { pause: Pause::Unavailable, .. }), "{waits:?}");
    assert_eq!(error_of(fixture, &scope, &key).await.unwrap().0, "PROVIDER_UNAVAILABLE");
    assert!(matches!(look(fixture, &key, seen, careful).await, Claim::Dead));
}

async fn refusals_during_an_incident_ask_for_no_consent(fixture: &Fixture) {
    let scope = fixture.tenant("acme").await;
    let (key, seen) = refreshable(fixture, &scope, "a").await;
    let week = for_a_week(RepeatRisk::Consent);
    let refusal = |code: &str| RefreshFailure::Refused {
        retry_time: Timestamp::from_micros(0),
        code: Some(code.to_owned()),
    };
    for attempt in 1..=3 {
        let Claim::Ours(ours) = look(fixture, &key, seen, in_incident(week)).await else {
            panic!("attempt {attempt}")
        };
        fixture.store.refreshes().fail(&ours, &refusal("busy"), &record(&key)).await.unwrap();
        assert_eq!(error_of(fixture, &scope, &key).await, None, "attempt {attempt}");
    }
    // After it, three count as ever.
    for attempt in 1..=3 {
        assert_eq!(error_of(fixture, &scope, &key).await, None, "attempt {attempt} after the incident");
        let Claim::Ours(ours) = look(fixture, &key, seen, week).await else { panic!("attempt {attempt}") };
        fixture.store.refreshes().fail(&ours, &refusal("no"), &record(&key)).await.unwrap();
    }
    let shown = Some(("REAUTHORIZATION_REQUIRED".to_owned(), Some("no".to_owned())));
    assert_eq!(error_of(fixture, &scope, &key).await, shown);
}
