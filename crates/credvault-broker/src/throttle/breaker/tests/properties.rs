//! Generated outcomes of many tenants: what a provider answers to one tenant never stops another tenant.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// The tenant whose requests all fail.
const HOSTILE: usize = 0;

/// What happens to the circuits.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// An attempt of a tenant's connection which, if it is let through, has this outcome.
    Attempt { tenant: usize, connection: u8, repeatable: bool, outcome: Outcome },
    /// So many seconds pass.
    Wait(u64),
}

fn failure() -> impl Strategy<Value = Outcome> {
    let pause = prop_oneof![Just(Pause::Unavailable), Just(Pause::Throttled), Just(refused())];
    (pause, 0..1000_u64)
        .prop_map(|(pause, rest)| Outcome::Failure { pause, retry: Duration::from_secs(rest) })
}

fn attempts(
    tenants: std::ops::Range<usize>,
    outcome: BoxedStrategy<Outcome>,
) -> impl Strategy<Value = Event> {
    (tenants, 0..40_u8, any::<bool>(), outcome).prop_map(|(tenant, connection, repeatable, outcome)| {
        Event::Attempt { tenant, connection, repeatable, outcome }
    })
}

fn wait() -> impl Strategy<Value = Event> {
    (0..100_u64).prop_map(Event::Wait)
}

fn happen(scene: &mut Scene, event: Event) {
    match event {
        Event::Wait(time) => scene.now = scene.now.after(seconds(time)),
        Event::Attempt { tenant, connection, repeatable, outcome } => {
            if scene.admit(tenant, connection, repeatable).is_ok() {
                scene.record(tenant, connection, outcome);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn one_tenants_failures_alone_never_open_anothers_circuit(
        events in vec(prop_oneof![
            4 => attempts(HOSTILE..HOSTILE + 1, failure().boxed()),
            1 => attempts(1..5, Just(Outcome::Success).boxed()),
            1 => wait(),
        ], 0..200),
        other in 1..9_usize,
    ) {
        let mut scene = Scene::new();
        for event in events {
            happen(&mut scene, event);
            prop_assert_eq!(scene.admit(other, 1, false), Ok(()), "after {:?}", event);
        }
    }

    #[test]
    fn one_tenants_failures_alone_never_keep_anothers_circuit_open(
        pause in prop_oneof![Just(Pause::Unavailable), Just(Pause::Throttled), Just(refused())],
        events in vec(prop_oneof![
            4 => attempts(HOSTILE..HOSTILE + 1, failure().boxed()),
            1 => wait(),
        ], 0..200),
    ) {
        let mut scene = Scene::new();
        scene.open(pause, 60);
        let end = scene.now.after(seconds(60).max(MAX_OUTAGE_PAUSE)).after(REPEATABLE_HEAD_START);
        for event in events {
            happen(&mut scene, event);
        }
        scene.now = scene.now.max(end);
        prop_assert_eq!(scene.admit(5, 1, false), Ok(()));
        scene.record(5, 1, Outcome::Success);
        prop_assert_eq!(scene.admit(6, 1, false), Ok(()), "the circuit is closed");
    }

    #[test]
    fn one_connections_failures_alone_never_stop_another_of_its_tenant(
        outcomes in vec(failure(), 0..100),
    ) {
        let mut scene = Scene::new();
        for outcome in outcomes {
            scene.record(1, 1, outcome);
            prop_assert_eq!(scene.admit(1, 2, false), Ok(()));
        }
    }

    #[test]
    fn after_any_failures_a_circuit_closes_when_the_provider_answers(
        events in vec(prop_oneof![3 => attempts(0..5, failure().boxed()), 1 => wait()], 0..200),
    ) {
        let mut scene = Scene::new();
        for event in events {
            happen(&mut scene, event);
        }
        // Longer than any requested pause, and longer than any probe counts.
        scene.now = scene.now.after(MAX_REQUESTED_PAUSE).after(REPEATABLE_HEAD_START);
        for tenant in 0..5 {
            for connection in 0..40 {
                if scene.admit(tenant, connection, false).is_ok() {
                    scene.record(tenant, connection, Outcome::Success);
                }
            }
        }
        for tenant in 0..5 {
            prop_assert_eq!(scene.admit(tenant, 0, false), Ok(()));
        }
    }
}
