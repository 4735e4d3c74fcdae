//! Generated signs of many tenants: what one of them says never stops another.

use credvault_domain::ProviderId;
use credvault_store::AppFault;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const HOSTILE: usize = 0;

/// What happens at the door.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A tenant's connection comes and, if it is let in, this comes of it.
    Attempt { tenant: usize, connection: u8, repeatable: bool, sign: Sign },
    /// Time passes.
    Wait(u64),
}

fn refused() -> Pause {
    Pause::App { fault: AppFault::Refused, revision: AppRevision::NONE }
}

fn ill() -> impl Strategy<Value = Sign> {
    let pause = prop_oneof![Just(Pause::Unavailable), Just(Pause::Throttled), Just(refused())];
    (pause, 0..1000_u64).prop_map(|(pause, rest)| Sign::Ill { pause, rest: Duration::from_secs(rest) })
}

fn attempt(tenants: std::ops::Range<usize>, sign: BoxedStrategy<Sign>) -> impl Strategy<Value = Event> {
    (tenants, 0..40_u8, any::<bool>(), sign).prop_map(|(tenant, connection, repeatable, sign)| {
        Event::Attempt { tenant, connection, repeatable, sign }
    })
}

fn wait() -> impl Strategy<Value = Event> {
    (0..100_u64).prop_map(Event::Wait)
}

fn door() -> Door {
    let provider = ProviderId::parse("simulator").expect("an id");
    Door { app: AppKey { provider, client_id: Some("app".to_owned()) }, own: None, host: None }
}

fn comer(tenant: usize, connection: u8, repeatable: bool) -> Comer {
    let tenant = TenantId::parse(&format!("tenant-{tenant}")).expect("an id");
    let connection = ConnectionId::from_uuid(uuid::Uuid::from_u128(u128::from(connection)));
    Comer { tenant, connection, app: AppRevision::NONE, repeatable }
}

fn noon() -> Timestamp {
    Timestamp::from_seconds(1_700_000_000, 0).expect("in range")
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A door, and the time there.
struct Scene {
    doors: Doors,
    now: Timestamp,
}

impl Scene {
    fn new() -> Self {
        Self { doors: Doors::default(), now: noon() }
    }

    fn pass(&mut self, tenant: usize, connection: u8, repeatable: bool) -> Result<(), Shut> {
        self.doors.pass(&door(), &comer(tenant, connection, repeatable), self.now)
    }

    fn note(&mut self, tenant: usize, connection: u8, sign: Sign) -> bool {
        self.doors.note(&door(), &comer(tenant, connection, false), sign, self.now, 1.0)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wait(time) => self.now = self.now.after(seconds(time)),
            Event::Attempt { tenant, connection, repeatable, sign } => {
                if self.pass(tenant, connection, repeatable).is_ok() {
                    self.note(tenant, connection, sign);
                }
            }
        }
    }

    /// Two tenants say the same often enough.
    fn shut(&mut self, pause: Pause, rest: u64) {
        let sign = Sign::Ill { pause, rest: seconds(rest) };
        for round in 0..PATIENCE as usize {
            self.note(1 + round % 2, 1, sign);
        }
        assert!(self.pass(9, 1, true).is_err(), "{pause:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn one_tenants_signs_alone_never_shut_anothers_door(
        events in vec(prop_oneof![
            4 => attempt(HOSTILE..HOSTILE + 1, ill().boxed()),
            1 => attempt(1..5, Just(Sign::Well).boxed()),
            1 => wait(),
        ], 0..200),
        other in 1..9_usize,
    ) {
        let mut scene = Scene::new();
        for event in events {
            scene.happen(event);
            prop_assert_eq!(scene.pass(other, 1, false), Ok(()), "after {:?}", event);
        }
    }

    #[test]
    fn nor_keep_it_shut(
        pause in prop_oneof![Just(Pause::Unavailable), Just(Pause::Throttled), Just(refused())],
        events in vec(prop_oneof![
            4 => attempt(HOSTILE..HOSTILE + 1, ill().boxed()),
            1 => wait(),
        ], 0..200),
    ) {
        let mut scene = Scene::new();
        scene.shut(pause, 60);
        let end = scene.now.after(seconds(60).max(DOWN.1)).after(DEFERENCE);
        for event in events {
            scene.happen(event);
        }
        scene.now = scene.now.max(end);
        prop_assert_eq!(scene.pass(5, 1, false), Ok(()));
        scene.note(5, 1, Sign::Well);
        prop_assert_eq!(scene.pass(6, 1, false), Ok(()), "it is open");
    }

    #[test]
    fn one_connections_signs_alone_never_stop_another_of_its_tenant(
        signs in vec(ill(), 0..100),
    ) {
        let mut scene = Scene::new();
        for sign in signs {
            scene.note(1, 1, sign);
            prop_assert_eq!(scene.pass(1, 2, false), Ok(()));
        }
    }

    #[test]
    fn whatever_is_said_a_door_opens_again_when_all_is_well(
        events in vec(prop_oneof![3 => attempt(0..5, ill().boxed()), 1 => wait()], 0..200),
    ) {
        let mut scene = Scene::new();
        for event in events {
            scene.happen(event);
        }
        // Longer than any wish, and longer than those who try count.
        scene.now = scene.now.after(LONGEST).after(DEFERENCE);
        for tenant in 0..5 {
            for connection in 0..40 {
                if scene.pass(tenant, connection, false).is_ok() {
                    scene.note(tenant, connection, Sign::Well);
                }
            }
        }
        for tenant in 0..5 {
            prop_assert_eq!(scene.pass(tenant, 0, false), Ok(()));
        }
    }
}

#[test]
fn several_tenants_shut_it_for_everybody_and_the_reason_stays() {
    for (pause, rest) in [(Pause::Throttled, 90), (refused(), 30), (Pause::Unavailable, 5)] {
        let mut scene = Scene::new();
        scene.shut(pause, 90);
        assert_eq!(scene.pass(7, 1, true), Err(Shut::Paused { pause, rest: seconds(rest) }));
        scene.now = scene.now.after(seconds(rest - 1));
        assert_eq!(scene.pass(7, 1, true), Err(Shut::Paused { pause, rest: seconds(1) }));
        // What was sent before it shut prolongs nothing.
        scene.note(3, 1, Sign::Ill { pause, rest: seconds(900) });
        scene.now = scene.now.after(seconds(1));
        assert_eq!(scene.pass(7, 1, true), Ok(()));
    }
}

#[test]
fn several_connections_shut_it_for_their_tenant() {
    let mut scene = Scene::new();
    for connection in 0..2 {
        scene.note(1, connection, Sign::Ill { pause: Pause::Throttled, rest: seconds(60) });
    }
    assert!(scene.pass(1, 3, true).is_err());
    assert_eq!(scene.pass(2, 3, true), Ok(()));
    assert_eq!(
        scene.doors.left_out(scene.now),
        [LeftOut { tenant: Some(comer(1, 0, true).tenant), app: Some(door().app) }]
    );
}

#[test]
fn a_success_between_takes_back_what_was_said() {
    let mut scene = Scene::new();
    for _ in 0..10 {
        scene.note(1, 1, Sign::Ill { pause: refused(), rest: seconds(60) });
        scene.note(2, 1, Sign::Well);
        scene.note(3, 1, Sign::Ill { pause: refused(), rest: seconds(60) });
        scene.note(2, 1, Sign::Well);
        assert_eq!(scene.pass(4, 1, false), Ok(()));
    }
}

#[test]
fn a_door_that_is_ajar_takes_two_who_try_and_shuts_for_longer_if_both_fail() {
    let mut scene = Scene::new();
    scene.shut(Pause::Unavailable, 1);
    for rest in [5, 10, 20, 40, 60, 60] {
        scene.now = scene.now.after(seconds(rest));
        assert_eq!((scene.pass(3, 1, true), scene.pass(4, 1, true)), (Ok(()), Ok(())));
        assert_eq!(scene.pass(5, 1, true), Err(Shut::Probing));
        let down = Sign::Ill { pause: Pause::Unavailable, rest: seconds(1) };
        assert!(!scene.note(3, 1, down) && scene.note(4, 1, down));
        let next = Err(Shut::Paused { pause: Pause::Unavailable, rest: seconds((2 * rest).min(60)) });
        assert_eq!(scene.pass(5, 1, true), next);
    }
    scene.now = scene.now.after(seconds(60));
    assert_eq!(scene.pass(3, 1, true), Ok(()));
    scene.note(3, 1, Sign::Well);
    for tenant in 1..9 {
        assert_eq!(scene.pass(tenant, 1, false), Ok(()));
    }
}

#[test]
fn what_comes_of_those_who_try_counts_however_late_it_comes() {
    let mut scene = Scene::new();
    scene.shut(Pause::Unavailable, 1);
    scene.now = scene.now.after(seconds(5));
    assert_eq!((scene.pass(3, 1, true), scene.pass(4, 1, true)), (Ok(()), Ok(())));
    // A black hole: neither hears anything for as long as an attempt may take. Others come meanwhile.
    for _ in 0..MAX_ATTEMPT_TIME.as_secs() {
        scene.now = scene.now.after(seconds(1));
        assert_eq!(scene.pass(5, 1, true), Err(Shut::Probing));
    }
    let down = Sign::Ill { pause: Pause::Unavailable, rest: seconds(1) };
    assert!(!scene.note(3, 1, down) && scene.note(4, 1, down), "it shuts again");
    assert!(matches!(scene.pass(5, 1, true), Err(Shut::Paused { .. })));
}

#[test]
fn who_can_repeat_tries_before_who_cannot() {
    let mut scene = Scene::new();
    scene.shut(Pause::Unavailable, 1);
    scene.now = scene.now.after(seconds(5));
    assert!(scene.pass(3, 1, false).is_err(), "one that can repeat has come to this door");
    assert_eq!(scene.pass(4, 1, true), Ok(()));
    scene.now = scene.now.after(DEFERENCE);
    assert_eq!(scene.pass(3, 1, false), Ok(()), "it has not come back in time");
}

#[test]
fn another_app_ends_what_the_one_before_has_caused() {
    let mut scene = Scene::new();
    scene.shut(refused(), 300);
    scene.doors.forget(&ProviderId::parse("other").expect("an id"));
    assert!(scene.pass(3, 1, true).is_err());
    scene.doors.forget(&door().app.provider);
    assert_eq!(scene.pass(3, 1, true), Ok(()));
    // What the provider has asked for is not the app's fault.
    scene.shut(Pause::Throttled, 300);
    scene.doors.forget(&door().app.provider);
    assert!(scene.pass(3, 1, true).is_err());
}
