//! The steps of a refresh, one by one: who may claim, who may store, and what a crash leaves behind.

use std::time::Duration;

use credvault_domain::{
    Action, AuditEvent, AuthMode, Clock as _, ConnectionState, FieldName, ProviderId, TenantId, TenantScope,
    Timestamp,
};
use credvault_store::{
    AppFault, AppKey, AppRevision, Claim, Claimed, Error, LeftOut, NewCredential, Pause, Perseverance, Place,
    RefreshFailure, Renewal, Renewed, RepeatRisk, Selector, Store, Tested,
};
use sea_orm::{ConnectionTrait as _, TransactionTrait as _};
use secrecy::ExposeSecret as _;

use crate::fixture::*;
use crate::on_both;

/// A week, whatever the provider.
pub fn for_a_week(risk: RepeatRisk) -> Perseverance<'static> {
    persevering(Duration::from_secs(7 * 24 * 3600), risk)
}

fn persevering(longest: Duration, risk: RepeatRisk) -> Perseverance<'static> {
    fn nothing(_: &ProviderId, _: &AuthMode) -> RepeatRisk {
        RepeatRisk::Nothing
    }
    fn consent(_: &ProviderId, _: &AuthMode) -> RepeatRisk {
        RepeatRisk::Consent
    }
    fn other_consents(_: &ProviderId, _: &AuthMode) -> RepeatRisk {
        RepeatRisk::OtherConsents
    }
    let risk = match risk {
        RepeatRisk::Nothing => &nothing as _,
        RepeatRisk::Consent => &consent as _,
        RepeatRisk::OtherConsents => &other_consents as _,
    };
    Perseverance { longest, risk }
}

/// The connection has ended without an answer.
pub fn unknown(retry_time: Timestamp) -> RefreshFailure {
    RefreshFailure::Uncertain { retry_time, at_work: false }
}

/// A refusal that the vault does not understand.
fn refused() -> RefreshFailure {
    RefreshFailure::Refused { retry_time: Timestamp::from_micros(0), code: Some("invalid_request".into()) }
}

/// What a test that works leaves of a connection.
async fn test_works(fixture: &Fixture, scope: &TenantScope, place: &Place, seen: i64) {
    let (accepted, write) = (
        Tested::Accepted { account: None, settings: std::collections::BTreeMap::new() },
        write(scope, Action::TestConnection),
    );
    let tested =
        fixture.store.connections().tested(scope, place.connection(), (1, seen), &accepted, &write).await;
    tested.unwrap().into_inner();
}

/// As if what the row knows had happened so many days earlier.
async fn ago(fixture: &Fixture, columns: &[&str], days: i64) {
    for column in columns {
        let back = days * 24 * 3600 * 1_000_000;
        fixture.execute(&format!("UPDATE refreshes SET {column} = {column} - {back}")).await;
    }
}

/// Claims as the search for what is due does.
async fn look(fixture: &Fixture, place: &Place, seen: i64, perseverance: Perseverance<'_>) -> Claim {
    fixture.store.refreshes().claim(place, seen, perseverance, false).await.unwrap()
}

async fn error_of(fixture: &Fixture, scope: &TenantScope, place: &Place) -> Option<(String, Option<String>)> {
    let connection = fixture.store.connections().get(scope, place.connection()).await.unwrap();
    assert_eq!(connection.state == ConnectionState::Error, connection.error.is_some());
    connection.error.map(|error| (error.reason, error.code))
}

/// A connection whose tokens can be renewed, with its place and generation.
pub async fn renewing(fixture: &Fixture, scope: &TenantScope, account: &str) -> (Place, i64) {
    let id = fixture.connection(scope, account).await.id;
    let due_time = Some(fixture.clock.now());
    let new =
        NewCredential { renewal: Some(Renewal { due_time, client_id: None }), ..credential("CANARY first") };
    let write = write(scope, Action::PutCredential);
    fixture.store.credentials().put(scope, id, &new, None, &write).await.unwrap().into_inner();
    let selector = Selector::Connection { id, version: None };
    let fetched = fixture.store.credentials().fetch(scope, &selector).await.unwrap();
    (fetched.place(), fetched.generation())
}

async fn due(fixture: &Fixture) -> Vec<(Place, i64)> {
    let found = fixture.store.refreshes().due(10, &[], None).await.unwrap();
    found.due.into_iter().map(|due| (due.place, due.generation)).collect()
}

pub async fn claimed(store: &Store, place: &Place, seen: i64) -> Claimed {
    // Proof of life takes a moment to be there.
    for _ in 0..200 {
        match store.refreshes().claim(place, seen, for_a_week(RepeatRisk::Consent), true).await.unwrap() {
            Claim::Ours(claimed) => return *claimed,
            Claim::Busy => tokio::time::sleep(Duration::from_millis(20)).await,
            other @ (Claim::Later { .. } | Claim::Changed | Claim::Dead | Claim::Nothing) => {
                panic!("{other:?}")
            }
        }
    }
    panic!("never claimed");
}

pub fn renewed(claimed: &Claimed, value: &str) -> Renewed {
    let mut fields = claimed.fields.clone();
    fields.set(FieldName::parse("token").unwrap(), value.to_owned().into());
    Renewed {
        fields,
        expire_time: None,
        due_time: None,
        scopes: None,
        settings: Default::default(),
        client_id: None,
    }
}

pub fn record(place: &Place) -> AuditEvent {
    AuditEvent::of(place.tenant().clone(), Action::RefreshConnection)
}

on_both! {
    async fn a_budget_is_spent_once_whoever_spends_it(fixture: &Fixture) {
        let app = |client: &str| AppKey { provider: ProviderId::parse("generic").unwrap(), client_id: Some(client.into()) };
        let cost = Duration::from_millis(300);
        let store = &fixture.store;
        let begun = tokio::time::Instant::now();
        assert!(store.spend(&app("one"), cost).await.unwrap());
        assert!(!store.spend(&app("one"), cost).await.unwrap(), "it lasts 300 ms");
        assert!(store.spend(&app("two"), cost).await.unwrap(), "another app has its own");
        while !store.spend(&app("one"), cost).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(begun.elapsed() >= cost - Duration::from_millis(5), "{:?}", begun.elapsed());
        // A clock that was an hour ahead has stopped nobody.
        fixture.execute("UPDATE budgets SET time = time + 3600000000").await;
        assert!(store.spend(&app("one"), cost).await.unwrap());
    }

    async fn what_is_not_asked_does_not_crowd_out_the_rest(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let (first, _) = renewing(fixture, &scope, "first").await;
        let known = fixture.store.refreshes().due(10, &[], None).await.unwrap().due;
        assert_eq!(known[0].place, first);
        let (acme, other) = (Some(scope.tenant().clone()), Some(TenantId::parse("other").unwrap()));
        let app = Some(known[0].app.clone());
        let another = Some(AppKey { client_id: Some("another".into()), ..known[0].app.clone() });
        for (tenant, app, left) in [
            (None, app.clone(), 0),
            (acme.clone(), None, 0),
            (acme.clone(), app.clone(), 0),
            (None, another.clone(), 1),
            (other, app, 1),
            (acme, another, 1),
        ] {
            let without = LeftOut { tenant, app };
            assert_eq!(usize::from(!without.covers(&known[0])), left);
            // Once where all is found, and once where more is than is asked for.
            for limit in [10, 1] {
                let found = fixture.store.refreshes().due(limit, std::slice::from_ref(&without), None).await.unwrap();
                assert_eq!(found.due.len(), left, "{without:?}");
            }
        }
    }

    async fn a_thousand_due_of_one_tenant_hide_none_of_another(fixture: &Fixture) {
        let hostile = fixture.tenant("hostile").await;
        let (first, _) = renewing(fixture, &hostile, "first").await;
        // As if it had a thousand of them, all due before the others'.
        let random = if fixture.postgres.is_some() { "gen_random_uuid()" } else { "randomblob(16)" };
        let columns = "owner_user, provider, auth_mode, state, enabled, config, labels, hints, revision, create_time, update_time";
        fixture.execute(&format!(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000)
             INSERT INTO connections (tenant_id, id, account_name, is_default, last_version, current_version, {columns})
             SELECT tenant_id, {random}, 'number ' || n.n, false, 0, 0, {columns} FROM connections, n"
        )).await;
        fixture.execute(
            "INSERT INTO refreshes (tenant_id, connection_id, generation, state, due_time, failures, marked, provider, doubted)
             SELECT tenant_id, id, 1, 'IDLE', 5, 0, false, provider, false FROM connections WHERE account_name <> 'first'"
        ).await;
        let mut others = Vec::new();
        for name in ["a", "m", "z"] {
            let scope = fixture.tenant(name).await;
            others.push(renewing(fixture, &scope, "one").await.0);
        }
        let found = fixture.store.refreshes().due(100, &[], None).await.unwrap();
        assert!(!found.all && found.next.is_none());
        let tenants: Vec<_> = found.due.iter().take(4).map(|due| due.place.tenant().as_str()).collect();
        assert_eq!(tenants, ["a", "hostile", "m", "z"]);
        assert!(others.iter().all(|other| found.due[..4].iter().any(|due| due.place == *other)));
        let hostiles = found.due.iter().filter(|due| due.place.tenant() == first.tenant()).count();
        assert!((100..=116).contains(&hostiles), "{hostiles}");
        // From where an earlier search has ended.
        let found = fixture.store.refreshes().due(100, &[], Some(others[1].tenant())).await.unwrap();
        assert_eq!(found.due[0].place, others[2]);
    }

    async fn a_stored_app_wakes_what_waits_for_it_and_nothing_else(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let other = fixture.tenant("other").await;
        let retry_time = fixture.clock.now().after(Duration::from_secs(3600));
        let app = Pause::App { fault: AppFault::Refused, revision: AppRevision::NONE };
        let mut places = Vec::new();
        for (scope, pause) in [(&scope, app), (&scope, Pause::Throttled), (&other, app), (&other, Pause::Unavailable)] {
            let (place, seen) = renewing(fixture, scope, &format!("{pause:?}").chars().take(9).collect::<String>()).await;
            let ours = claimed(&fixture.store, &place, seen).await;
            let failure = RefreshFailure::Temporary { retry_time, pause };
            fixture.store.refreshes().fail(&ours, &failure, &record(&place)).await.unwrap();
            drop(ours);
            // Who comes later is told why.
            let later = fixture.store.refreshes().claim(&place, seen, for_a_week(RepeatRisk::Consent), false).await.unwrap();
            assert!(matches!(later, Claim::Later { time, pause: told, .. } if time == retry_time && told == pause), "{later:?}");
            places.push(place);
        }
        let provider = ProviderId::parse("generic").unwrap();
        assert_eq!(due(fixture).await, []);
        let woken = async |tenant: &TenantId| {
            fixture.store.refreshes().wake_waiting_for_app(tenant, &provider).await.unwrap();
            due(fixture).await.into_iter().map(|(place, _)| place).collect::<Vec<_>>()
        };
        assert_eq!(woken(scope.tenant()).await, [places[0].clone()]);
        let all = woken(&TenantId::platform()).await;
        assert!(all.len() == 2 && all.contains(&places[0]) && all.contains(&places[2]), "{all:?}");
    }

    async fn one_of_many_claims_and_what_it_stores_is_served(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let (place, seen) = renewing(fixture, &scope, "a").await;
        let ours = claimed(&fixture.store, &place, seen).await;
        assert_eq!(ours.fields.get("token").unwrap().expose_secret(), "CANARY first");
        for _ in 0..20 {
            assert!(matches!(fixture.store.refreshes().claim(&place, seen, for_a_week(RepeatRisk::Nothing), true).await.unwrap(), Claim::Busy));
        }
        assert!(fixture.store.refreshes().store(&ours, &renewed(&ours, "CANARY second"), &record(&place)).await.unwrap());
        assert_eq!(fixture.fetch(&scope, place.connection()).await.unwrap(), "CANARY second");
        // Whoever still knows the tokens before it is told to read again, and the same answer is not stored twice.
        assert!(matches!(fixture.store.refreshes().claim(&place, seen, for_a_week(RepeatRisk::Nothing), true).await.unwrap(), Claim::Changed));
        assert!(!fixture.store.refreshes().store(&ours, &renewed(&ours, "CANARY third"), &record(&place)).await.unwrap());
        assert_eq!(fixture.fetch(&scope, place.connection()).await.unwrap(), "CANARY second");
        let next = claimed(&fixture.store, &place, seen + 1).await;
        assert_eq!(next.fields.get("token").unwrap().expose_secret(), "CANARY second");
    }

    async fn a_credential_that_was_replaced_meanwhile_is_not_overwritten(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let (place, seen) = renewing(fixture, &scope, "a").await;
        let ours = claimed(&fixture.store, &place, seen).await;
        fixture.put(&scope, place.connection(), "CANARY fresh consent").await;
        assert!(!fixture.store.refreshes().store(&ours, &renewed(&ours, "CANARY stale"), &record(&place)).await.unwrap());
        assert!(!fixture.store.refreshes().fail(&ours, &RefreshFailure::Dead { code: None }, &record(&place)).await.unwrap());
        assert_eq!(fixture.fetch(&scope, place.connection()).await.unwrap(), "CANARY fresh consent");
        let connection = fixture.store.connections().get(&scope, place.connection()).await.unwrap();
        assert_eq!(connection.state, ConnectionState::Connected);
    }

    async fn an_unknown_outcome_shows_and_is_looked_into_until_the_provider_has_spoken(fixture: &Fixture) {
        for (account, risk) in [("a", RepeatRisk::Nothing), ("b", RepeatRisk::Consent)] {
            let scope = fixture.tenant(account).await;
            let (place, seen) = renewing(fixture, &scope, account).await;
            let lost = unknown(Timestamp::from_micros(0));
            let mut ours = claimed(&fixture.store, &place, seen).await;
            assert!(!ours.uncertain);
            for _ in 0..20 {
                assert!(fixture.store.refreshes().fail(&ours, &lost, &record(&place)).await.unwrap());
                assert_eq!(error_of(fixture, &scope, &place).await, Some(("PROVIDER_UNAVAILABLE".into(), None)));
                let Claim::Ours(again) = look(fixture, &place, seen, for_a_week(risk)).await else { panic!("{risk:?}") };
                assert!(again.uncertain);
                ours = *again;
            }
            assert!(fixture.store.refreshes().store(&ours, &renewed(&ours, "CANARY alive"), &record(&place)).await.unwrap());
            assert_eq!(error_of(fixture, &scope, &place).await, None);
            assert_eq!(fixture.fetch(&scope, place.connection()).await.unwrap(), "CANARY alive");
        }
    }

    async fn one_repeat_is_sent_where_more_may_cost_other_consents_and_a_forced_one_still_finds_out(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let (place, seen) = renewing(fixture, &scope, "a").await;
        let lost = unknown(Timestamp::from_micros(0));
        let careful = for_a_week(RepeatRisk::OtherConsents);
        let ours = claimed(&fixture.store, &place, seen).await;
        fixture.store.refreshes().fail(&ours, &lost, &record(&place)).await.unwrap();
        let Claim::Ours(again) = look(fixture, &place, seen, careful).await else { panic!("not repeated") };
        fixture.store.refreshes().fail(&again, &lost, &record(&place)).await.unwrap();
        assert!(matches!(look(fixture, &place, seen, careful).await, Claim::Dead));
        assert_eq!(error_of(fixture, &scope, &place).await.unwrap().0, "REAUTHORIZATION_REQUIRED");
        assert!(matches!(look(fixture, &place, seen, for_a_week(RepeatRisk::Nothing)).await, Claim::Dead));
        // The provider has not refused: a caller who insists is let through, and an outage leaves it as it is.
        let forced = claimed(&fixture.store, &place, seen).await;
        fixture.store.refreshes().fail(&forced, &lost, &record(&place)).await.unwrap();
        assert_eq!(error_of(fixture, &scope, &place).await.unwrap().0, "REAUTHORIZATION_REQUIRED");
        let forced = claimed(&fixture.store, &place, seen).await;
        let dead = RefreshFailure::Dead { code: Some("invalid_grant".into()) };
        fixture.store.refreshes().fail(&forced, &dead, &record(&place)).await.unwrap();
        let shown = Some(("REAUTHORIZATION_REQUIRED".into(), Some("invalid_grant".into())));
        assert_eq!(error_of(fixture, &scope, &place).await, shown);
        let insisting = fixture.store.refreshes().claim(&place, seen, careful, true).await.unwrap();
        assert!(matches!(insisting, Claim::Dead), "the provider has spoken");
    }

    async fn what_was_silent_for_too_long_asks_for_consent_where_tokens_rotate_and_nowhere_else(fixture: &Fixture) {
        let lost = unknown(Timestamp::from_micros(0));
        for (account, risk) in [("a", RepeatRisk::Nothing), ("b", RepeatRisk::Consent)] {
            let scope = fixture.tenant(account).await;
            let (place, seen) = renewing(fixture, &scope, account).await;
            let ours = claimed(&fixture.store, &place, seen).await;
            fixture.store.refreshes().fail(&ours, &lost, &record(&place)).await.unwrap();
            let over = look(fixture, &place, seen, persevering(Duration::ZERO, risk)).await;
            let error = error_of(fixture, &scope, &place).await.unwrap().0;
            match risk {
                RepeatRisk::Nothing => assert!(matches!(over, Claim::Ours(_)) && error == "PROVIDER_UNAVAILABLE"),
                RepeatRisk::Consent | RepeatRisk::OtherConsents => assert!(matches!(over, Claim::Dead) && error == "REAUTHORIZATION_REQUIRED"),
            }
            drop(over);
            assert!(claimed(&fixture.store, &place, seen).await.uncertain, "a caller may insist");
        }
    }

    async fn a_refusal_without_a_known_reason_shows_after_the_token_and_some_tries(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let (place, seen) = renewing(fixture, &scope, "a").await;
        let refused = RefreshFailure::Refused { retry_time: Timestamp::from_micros(0), code: Some("invalid_request".into()) };
        for attempt in 1..=3 {
            assert_eq!(error_of(fixture, &scope, &place).await, None, "attempt {attempt}");
            let Claim::Ours(ours) = look(fixture, &place, seen, for_a_week(RepeatRisk::Consent)).await else {
                panic!("attempt {attempt}")
            };
            fixture.store.refreshes().fail(&ours, &refused, &record(&place)).await.unwrap();
        }
        let shown = Some(("REAUTHORIZATION_REQUIRED".into(), Some("invalid_request".into())));
        assert_eq!(error_of(fixture, &scope, &place).await, shown);
        assert_eq!(fixture.text("SELECT CAST(count(*) AS TEXT) AS v FROM changes WHERE kind = 'UPDATED'").await, "3");
        // It is asked again, and works when the provider takes it.
        let Claim::Ours(ours) = look(fixture, &place, seen, for_a_week(RepeatRisk::Consent)).await else { panic!() };
        fixture.store.refreshes().store(&ours, &renewed(&ours, "CANARY alive"), &record(&place)).await.unwrap();
        assert_eq!(error_of(fixture, &scope, &place).await, None);
    }

    async fn while_the_provider_may_be_at_it_nobody_sends_again_whoever_insists_and_whatever_a_test_says(fixture: &Fixture) {
        let retry_time = fixture.clock.now().after(Duration::from_secs(60));
        for (account, pause, binds) in [
            ("a", Pause::AtWork, true), ("b", Pause::Throttled, true), ("c", Pause::Unavailable, false), ("d", Pause::Crowded, false),
        ] {
            let scope = fixture.tenant(account).await;
            let (place, seen) = renewing(fixture, &scope, account).await;
            let refreshes = fixture.store.refreshes();
            let ours = claimed(&fixture.store, &place, seen).await;
            if pause == Pause::AtWork {
                refreshes.fail(&ours, &RefreshFailure::Uncertain { retry_time, at_work: true }, &record(&place)).await.unwrap();
            } else {
                refreshes.fail(&ours, &unknown(Timestamp::from_micros(0)), &record(&place)).await.unwrap();
                let again = claimed(&fixture.store, &place, seen).await;
                refreshes.fail(&again, &RefreshFailure::Temporary { retry_time, pause }, &record(&place)).await.unwrap();
            }
            let waits = |claim: &Claim| matches!(claim, Claim::Later { time, pause: told, .. } if *time == retry_time && *told == pause);
            let insisting = || async { refreshes.claim(&place, seen, for_a_week(RepeatRisk::Consent), true).await.unwrap() };
            if binds {
                assert!(waits(&insisting().await), "{pause:?}");
            }
            test_works(fixture, &scope, &place, seen).await;
            let looked = look(fixture, &place, seen, for_a_week(RepeatRisk::Consent)).await;
            if binds {
                assert!(waits(&insisting().await) && waits(&looked), "{pause:?}");
                assert_eq!(due(fixture).await, [], "{pause:?}");
            } else {
                assert!(matches!(looked, Claim::Ours(_)), "{pause:?}: looked into at once");
            }
        }
    }

    async fn time_in_which_nobody_asked_is_no_silence_of_the_provider(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let (place, seen) = renewing(fixture, &scope, "a").await;
        let week = for_a_week(RepeatRisk::Consent);
        let refreshes = fixture.store.refreshes();
        let ours = claimed(&fixture.store, &place, seen).await;
        refreshes.fail(&ours, &unknown(fixture.clock.now()), &record(&place)).await.unwrap();
        // Disabled, or the vault was away. A crash then changes nothing.
        ago(fixture, &["unclear_time", "retry_time"], 8).await;
        let Claim::Ours(ours) = look(fixture, &place, seen, week).await else { panic!("nothing was sent in that week") };
        drop(ours);
        let Claim::Ours(again) = look(fixture, &place, seen, week).await else { panic!("nor had the first an answer") };
        refreshes.fail(&again, &unknown(fixture.clock.now()), &record(&place)).await.unwrap();
        let Claim::Ours(third) = look(fixture, &place, seen, week).await else { panic!("the week has hardly begun") };
        refreshes.fail(&third, &unknown(fixture.clock.now()), &record(&place)).await.unwrap();
        // It was asked all the time.
        ago(fixture, &["unclear_time"], 8).await;
        assert!(matches!(look(fixture, &place, seen, week).await, Claim::Dead));
        assert_eq!(error_of(fixture, &scope, &place).await.unwrap().0, "REAUTHORIZATION_REQUIRED");
    }

    async fn an_outage_after_a_refusal_is_no_silence_either(fixture: &Fixture) {
        let unclear = async || fixture.text("SELECT coalesce(CAST(unclear_time AS TEXT), '') AS v FROM refreshes").await;
        let scope = fixture.tenant("acme").await;
        let (place, seen) = renewing(fixture, &scope, "a").await;
        let refreshes = fixture.store.refreshes();
        let hour = Duration::from_secs(3600);
        let outage = RefreshFailure::Temporary { retry_time: fixture.clock.now().after(hour), pause: Pause::Unavailable };
        let ours = claimed(&fixture.store, &place, seen).await;
        refreshes.fail(&ours, &refused(), &record(&place)).await.unwrap();
        assert_ne!(unclear().await, "");
        let ours = claimed(&fixture.store, &place, seen).await;
        refreshes.fail(&ours, &outage, &record(&place)).await.unwrap();
        assert_eq!(unclear().await, "", "the provider answers, and the token was not refused");
        // Where an outcome is open, it stays so, and the pause does not count.
        let ours = claimed(&fixture.store, &place, seen).await;
        refreshes.fail(&ours, &unknown(fixture.clock.now()), &record(&place)).await.unwrap();
        let ours = claimed(&fixture.store, &place, seen).await;
        let before: i64 = unclear().await.parse().unwrap();
        refreshes.fail(&ours, &outage, &record(&place)).await.unwrap();
        let moved = unclear().await.parse::<i64>().unwrap() - before;
        let hour = i64::try_from(hour.as_micros()).unwrap();
        assert!((hour - 60_000_000..=hour).contains(&moved), "{moved}");
    }

    async fn refusals_are_counted_and_outages_are_none(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let (place, seen) = renewing(fixture, &scope, "a").await;
        let outage = RefreshFailure::Temporary { retry_time: Timestamp::from_micros(0), pause: Pause::Unavailable };
        for (attempt, failure) in [&outage, &outage, &refused(), &outage, &refused(), &refused()].into_iter().enumerate() {
            assert_eq!(error_of(fixture, &scope, &place).await, None, "attempt {attempt}");
            let Claim::Ours(ours) = look(fixture, &place, seen, for_a_week(RepeatRisk::Consent)).await else { panic!("{attempt}") };
            fixture.store.refreshes().fail(&ours, failure, &record(&place)).await.unwrap();
        }
        let shown = Some(("REAUTHORIZATION_REQUIRED".into(), Some("invalid_request".into())));
        assert_eq!(error_of(fixture, &scope, &place).await, shown);
    }

    async fn what_asks_for_consent_and_is_asked_again_is_not_forgotten_when_its_time_comes_meanwhile(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let (place, seen) = renewing(fixture, &scope, "a").await;
        let refreshes = fixture.store.refreshes();
        let retry_time = fixture.clock.now().after(Duration::from_secs(60));
        for retry_time in [Timestamp::from_micros(0), Timestamp::from_micros(0), retry_time] {
            let ours = claimed(&fixture.store, &place, seen).await;
            let failure = RefreshFailure::Refused { retry_time, code: None };
            refreshes.fail(&ours, &failure, &record(&place)).await.unwrap();
        }
        assert!(matches!(look(fixture, &place, seen, for_a_week(RepeatRisk::Consent)).await, Claim::Dead));
        fixture.clock.advance(Duration::from_secs(90));
        refreshes.put_off(&place, seen, true).await.unwrap();
        assert_eq!(due(fixture).await, [(place.clone(), seen)]);
        // What is disabled or deleted waits for whoever changes that.
        refreshes.put_off(&place, seen, false).await.unwrap();
        assert_eq!(due(fixture).await, []);
    }

    async fn a_test_that_works_has_what_was_given_up_looked_into_again(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let (place, seen) = renewing(fixture, &scope, "a").await;
        let week = for_a_week(RepeatRisk::Nothing);
        for _ in 0..3 {
            let ours = claimed(&fixture.store, &place, seen).await;
            fixture.store.refreshes().fail(&ours, &refused(), &record(&place)).await.unwrap();
        }
        fixture.execute(&format!("UPDATE refreshes SET retry_time = {}", fixture.clock.now().micros())).await;
        ago(fixture, &["unclear_time"], 8).await;
        assert!(matches!(look(fixture, &place, seen, week).await, Claim::Dead));
        let shown = Some(("REAUTHORIZATION_REQUIRED".into(), Some("invalid_request".into())));
        assert_eq!(error_of(fixture, &scope, &place).await, shown, "the provider's code stays");
        assert_eq!(due(fixture).await, []);
        test_works(fixture, &scope, &place, seen).await;
        assert_eq!(error_of(fixture, &scope, &place).await, Some(("PROVIDER_UNAVAILABLE".into(), None)));
        assert_eq!(due(fixture).await, [(place.clone(), seen)]);
        let Claim::Ours(ours) = look(fixture, &place, seen, week).await else { panic!("given up without asking") };
        fixture.store.refreshes().store(&ours, &renewed(&ours, "CANARY alive"), &record(&place)).await.unwrap();
        assert_eq!(error_of(fixture, &scope, &place).await, None);
    }

    async fn tokens_that_can_never_be_stored_are_no_trouble_of_the_databases(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let (place, seen) = renewing(fixture, &scope, "a").await;
        let ours = claimed(&fixture.store, &place, seen).await;
        let huge = renewed(&ours, &"x".repeat(200 * 1024));
        let error = fixture.store.refreshes().store(&ours, &huge, &record(&place)).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge) && !error.is_transient(), "{error:?}");
    }

    async fn without_a_refresh_token_consent_is_asked_for_at_the_end(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let (place, seen) = renewing(fixture, &scope, "a").await;
        let ours = claimed(&fixture.store, &place, seen).await;
        fixture.store.refreshes().fail(&ours, &RefreshFailure::Nothing, &record(&place)).await.unwrap();
        let shown = Some(("REAUTHORIZATION_REQUIRED".into(), None));
        assert_eq!(error_of(fixture, &scope, &place).await, shown);
        assert!(due(fixture).await.is_empty());
    }

    async fn an_attempt_that_was_not_sent_uses_nothing_up(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let (place, seen) = renewing(fixture, &scope, "a").await;
        let retry_time = fixture.clock.now();
        let ours = claimed(&fixture.store, &place, seen).await;
        fixture.store.refreshes().fail(&ours, &unknown(retry_time), &record(&place)).await.unwrap();
        for _ in 0..3 {
            let again = claimed(&fixture.store, &place, seen).await;
            assert!(again.uncertain);
            let not_sent = RefreshFailure::Temporary { retry_time, pause: Pause::Unavailable };
            fixture.store.refreshes().fail(&again, &not_sent, &record(&place)).await.unwrap();
            let connection = fixture.store.connections().get(&scope, place.connection()).await.unwrap();
            assert_eq!(connection.error.unwrap().reason, "PROVIDER_UNAVAILABLE", "uncertain still");
        }
    }

    async fn a_claim_that_an_error_left_behind_does_not_stay(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let (place, seen) = renewing(fixture, &scope, "a").await;
        drop(claimed(&fixture.store, &place, seen).await);
        let again = claimed(&fixture.store, &place, seen).await;
        assert!(again.uncertain, "what was sent under it may have worked");
    }

    async fn a_provider_with_grace_is_asked_until_it_answers(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let (place, seen) = renewing(fixture, &scope, "a").await;
        let lost = unknown(fixture.clock.now());
        let mut ours = claimed(&fixture.store, &place, seen).await;
        for _ in 0..3 {
            assert!(fixture.store.refreshes().fail(&ours, &lost, &record(&place)).await.unwrap());
            let Claim::Ours(again) = fixture.store.refreshes().claim(&place, seen, for_a_week(RepeatRisk::Nothing), true).await.unwrap() else {
                panic!("not claimed again")
            };
            ours = *again;
        }
        assert!(fixture.store.refreshes().store(&ours, &renewed(&ours, "CANARY second"), &record(&place)).await.unwrap());
        let connection = fixture.store.connections().get(&scope, place.connection()).await.unwrap();
        assert!(connection.state == ConnectionState::Connected && connection.error.is_none());
        assert!(connection.last_refreshed_time.is_some());
    }

    async fn a_destroyed_version_leaves_no_tokens_behind(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let (place, seen) = renewing(fixture, &scope, "a").await;
        let ours = claimed(&fixture.store, &place, seen).await;
        fixture.store.refreshes().store(&ours, &renewed(&ours, "CANARY second"), &record(&place)).await.unwrap();
        let destroy = write(&scope, Action::DestroyCredentialVersion);
        fixture.store.credentials().destroy(&scope, place.connection(), 1, &destroy).await.unwrap().into_inner();
        assert_eq!(fixture.text("SELECT CAST(count(*) AS TEXT) AS v FROM tokens").await, "0");
        assert!(matches!(fixture.store.refreshes().claim(&place, seen + 2, for_a_week(RepeatRisk::Nothing), true).await.unwrap(), Claim::Nothing));
    }

    async fn what_is_due_is_found_and_a_failure_waits(fixture: &Fixture) {
        let scope = fixture.tenant("acme").await;
        let (place, seen) = renewing(fixture, &scope, "a").await;
        assert_eq!(due(fixture).await, [(place.clone(), seen)]);
        let ours = claimed(&fixture.store, &place, seen).await;
        assert_eq!(due(fixture).await, [], "somebody is at it");
        let retry_time = fixture.clock.now().after(Duration::from_secs(3600));
        fixture.store.refreshes().fail(&ours, &RefreshFailure::Temporary { retry_time, pause: Pause::Unavailable }, &record(&place)).await.unwrap();
        let claim = |forced| async move {
            let (place, seen) = renewing_place(fixture, &scope_of("acme")).await;
            fixture.store.refreshes().claim(&place, seen, for_a_week(RepeatRisk::Consent), forced).await.unwrap()
        };
        assert!(matches!(claim(false).await, Claim::Later { time, pause: Pause::Unavailable, .. } if time == retry_time));
        assert!(matches!(claim(true).await, Claim::Ours(_)), "whoever insists is let through");
    }
}

fn scope_of(tenant: &str) -> TenantScope {
    scope(tenant, None)
}

async fn renewing_place(fixture: &Fixture, scope: &TenantScope) -> (Place, i64) {
    let fetched = fixture.store.credentials().fetch(scope, &by_provider(None, None)).await.unwrap();
    (fetched.place(), fetched.generation())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_is_taken_over_from_a_process_that_is_gone_and_from_no_other() {
    let fixture = Fixture::postgres().await;
    let scope = fixture.tenant("acme").await;
    let (place, seen) = renewing(&fixture, &scope, "a").await;
    let other = open_store(&fixture.settings, &fixture.folder, &fixture.clock).await.unwrap();
    let theirs = claimed(&other, &place, seen).await;
    // Its lease is over, and it lives: slow is not gone.
    fixture.execute("UPDATE refreshes SET lease_time = 0").await;
    for _ in 0..5 {
        assert!(matches!(
            fixture
                .store
                .refreshes()
                .claim(&place, seen, for_a_week(RepeatRisk::Nothing), true)
                .await
                .unwrap(),
            Claim::Busy
        ));
    }
    // It is gone, and its lease is not over.
    drop(theirs);
    other.close().await;
    drop(other);
    fixture.execute("UPDATE refreshes SET lease_time = 9000000000000000").await;
    assert!(matches!(
        fixture.store.refreshes().claim(&place, seen, for_a_week(RepeatRisk::Nothing), true).await.unwrap(),
        Claim::Busy
    ));
    fixture.execute("UPDATE refreshes SET lease_time = 0").await;
    let ours = claimed(&fixture.store, &place, seen).await;
    assert!(ours.uncertain, "what it has sent may have worked");
}

/// What waits for an app is found without a lock, and may have been renewed before it is woken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_renewed_meanwhile_is_not_woken_by_a_stored_app() {
    let fixture = Fixture::postgres().await;
    let scope = fixture.tenant("acme").await;
    let (place, seen) = renewing(&fixture, &scope, "a").await;
    let retry_time = fixture.clock.now().after(Duration::from_secs(3600));
    let ours = claimed(&fixture.store, &place, seen).await;
    let pause = Pause::App { fault: AppFault::Refused, revision: AppRevision::NONE };
    let failure = RefreshFailure::Temporary { retry_time, pause };
    fixture.store.refreshes().fail(&ours, &failure, &record(&place)).await.unwrap();
    let other = fixture.intruder().await;
    let renewing = other.begin().await.unwrap();
    let renewed = "UPDATE refreshes SET pause = NULL, pause_app = NULL, retry_time = NULL, due_time = NULL";
    renewing.execute_unprepared(renewed).await.unwrap();
    let (store, tenant) = (fixture.store.clone(), scope.tenant().clone());
    let waking = tokio::spawn(async move {
        let provider = ProviderId::parse("generic").unwrap();
        store.refreshes().wake_waiting_for_app(&tenant, &provider).await
    });
    let waiting = "SELECT CAST(count(*) AS TEXT) AS v FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while fixture.text(waiting).await == "0" {
        assert!(!waking.is_finished(), "it does not wait for the row");
    }
    renewing.commit().await.unwrap();
    waking.await.unwrap().unwrap();
    assert_eq!(due(&fixture).await, []);
}
