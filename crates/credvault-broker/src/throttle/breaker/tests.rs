//! Circuits of several tenants over time. `properties` has the same with generated outcomes.

use credvault_domain::ProviderId;
use credvault_store::{AppFault, AppRevision, Pause};

use super::super::circuit::{MAX_OUTAGE_PAUSE, OUTAGE_FAILURES, REPEATABLE_HEAD_START};
use super::*;
use crate::deadlines::MAX_ATTEMPT_TIME;

mod properties;

fn refused() -> Pause {
    Pause::App { fault: AppFault::Refused, revision: AppRevision::NONE }
}

fn key() -> BreakerKey {
    let provider = ProviderId::parse("simulator").expect("an id");
    BreakerKey { app: AppKey { provider, client_id: Some("app".to_owned()) }, app_owner: None, host: None }
}

fn attempt(tenant: usize, connection: u8, repeatable: bool) -> Attempt {
    let tenant = TenantId::parse(&format!("tenant-{tenant}")).expect("an id");
    let connection = ConnectionId::from_uuid(uuid::Uuid::from_u128(u128::from(connection)));
    Attempt { tenant, connection, app: AppRevision::NONE, repeatable }
}

fn noon() -> Timestamp {
    Timestamp::from_seconds(1_700_000_000, 0).expect("in range")
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The circuits of one app, and the time.
struct Scene {
    breakers: Breakers,
    now: Timestamp,
}

impl Scene {
    fn new() -> Self {
        Self { breakers: Breakers::default(), now: noon() }
    }

    fn admit(&mut self, tenant: usize, connection: u8, repeatable: bool) -> Result<(), CircuitOpen> {
        self.breakers.admit(&key(), &attempt(tenant, connection, repeatable), self.now)
    }

    fn record(&mut self, tenant: usize, connection: u8, outcome: Outcome) -> bool {
        self.breakers.record(&key(), &attempt(tenant, connection, false), outcome, self.now, 1.0)
    }

    /// Two tenants report the same failure often enough to open the circuit.
    fn open(&mut self, pause: Pause, rest: u64) {
        let outcome = Outcome::Failure { pause, retry: seconds(rest) };
        for round in 0..OUTAGE_FAILURES as usize {
            self.record(1 + round % 2, 1, outcome);
        }
        assert!(self.admit(9, 1, true).is_err(), "{pause:?}");
    }
}

#[test]
fn several_tenants_open_the_circuit_for_all_and_the_reason_stays() {
    for (pause, rest) in [(Pause::Throttled, 90), (refused(), 30), (Pause::Unavailable, 5)] {
        let mut scene = Scene::new();
        scene.open(pause, 90);
        assert_eq!(scene.admit(7, 1, true), Err(CircuitOpen::Paused { pause, retry: seconds(rest) }));
        scene.now = scene.now.after(seconds(rest - 1));
        assert_eq!(scene.admit(7, 1, true), Err(CircuitOpen::Paused { pause, retry: seconds(1) }));
        // A failure of a request that was sent before the circuit opened prolongs nothing.
        scene.record(3, 1, Outcome::Failure { pause, retry: seconds(900) });
        scene.now = scene.now.after(seconds(1));
        assert_eq!(scene.admit(7, 1, true), Ok(()));
    }
}

#[test]
fn several_connections_open_the_circuit_for_their_tenant() {
    let mut scene = Scene::new();
    for connection in 0..2 {
        scene.record(1, connection, Outcome::Failure { pause: Pause::Throttled, retry: seconds(60) });
    }
    assert!(scene.admit(1, 3, true).is_err());
    assert_eq!(scene.admit(2, 3, true), Ok(()));
    assert_eq!(
        scene.breakers.left_out(scene.now),
        [LeftOut { tenant: Some(attempt(1, 0, true).tenant), app: Some(key().app) }]
    );
}

#[test]
fn a_success_between_clears_the_failures() {
    let mut scene = Scene::new();
    for _ in 0..10 {
        scene.record(1, 1, Outcome::Failure { pause: refused(), retry: seconds(60) });
        scene.record(2, 1, Outcome::Success);
        scene.record(3, 1, Outcome::Failure { pause: refused(), retry: seconds(60) });
        scene.record(2, 1, Outcome::Success);
        assert_eq!(scene.admit(4, 1, false), Ok(()));
    }
}

#[test]
fn a_half_open_circuit_admits_two_probes_and_opens_for_longer_if_both_fail() {
    let mut scene = Scene::new();
    scene.open(Pause::Unavailable, 1);
    for rest in [5, 10, 20, 40, 60, 60] {
        scene.now = scene.now.after(seconds(rest));
        assert_eq!((scene.admit(3, 1, true), scene.admit(4, 1, true)), (Ok(()), Ok(())));
        assert_eq!(scene.admit(5, 1, true), Err(CircuitOpen::Probing));
        let down = Outcome::Failure { pause: Pause::Unavailable, retry: seconds(1) };
        assert!(!scene.record(3, 1, down) && scene.record(4, 1, down));
        let next = Err(CircuitOpen::Paused { pause: Pause::Unavailable, retry: seconds((2 * rest).min(60)) });
        assert_eq!(scene.admit(5, 1, true), next);
    }
    scene.now = scene.now.after(seconds(60));
    assert_eq!(scene.admit(3, 1, true), Ok(()));
    scene.record(3, 1, Outcome::Success);
    for tenant in 1..9 {
        assert_eq!(scene.admit(tenant, 1, false), Ok(()));
    }
}

#[test]
fn the_outcome_of_a_probe_counts_even_if_it_comes_late() {
    let mut scene = Scene::new();
    scene.open(Pause::Unavailable, 1);
    scene.now = scene.now.after(seconds(5));
    assert_eq!((scene.admit(3, 1, true), scene.admit(4, 1, true)), (Ok(()), Ok(())));
    // Neither probe gets an answer for as long as an attempt may take. Other attempts come meanwhile.
    for _ in 0..MAX_ATTEMPT_TIME.as_secs() {
        scene.now = scene.now.after(seconds(1));
        assert_eq!(scene.admit(5, 1, true), Err(CircuitOpen::Probing));
    }
    let down = Outcome::Failure { pause: Pause::Unavailable, retry: seconds(1) };
    assert!(!scene.record(3, 1, down) && scene.record(4, 1, down), "it opens again");
    assert!(matches!(scene.admit(5, 1, true), Err(CircuitOpen::Paused { .. })));
}

#[test]
fn repeatable_attempts_probe_before_others() {
    let mut scene = Scene::new();
    scene.open(Pause::Unavailable, 1);
    scene.now = scene.now.after(seconds(5));
    assert!(scene.admit(3, 1, false).is_err(), "a repeatable attempt has come before");
    assert_eq!(scene.admit(4, 1, true), Ok(()));
    scene.now = scene.now.after(REPEATABLE_HEAD_START);
    assert_eq!(scene.admit(3, 1, false), Ok(()), "no repeatable attempt came in time");
}

#[test]
fn a_new_app_closes_the_circuits_that_the_old_one_has_opened() {
    let mut scene = Scene::new();
    scene.open(refused(), 300);
    scene.breakers.forget_app_failures(&ProviderId::parse("other").expect("an id"));
    assert!(scene.admit(3, 1, true).is_err());
    scene.breakers.forget_app_failures(&key().app.provider);
    assert_eq!(scene.admit(3, 1, true), Ok(()));
    // A pause that the provider has asked for is not the app's fault.
    scene.open(Pause::Throttled, 300);
    scene.breakers.forget_app_failures(&key().app.provider);
    assert!(scene.admit(3, 1, true).is_err());
}
