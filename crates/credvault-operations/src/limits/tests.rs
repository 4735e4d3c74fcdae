//! Who can spend what of whose allowance.

use super::*;

fn service(name: &str) -> ServiceId {
    ServiceId::parse(&format!("spiffe://test.local/{name}")).expect("id")
}

fn limits(limits: &[(LimitKind, u64)], service_burst: Option<u32>) -> Limits {
    let of = |kind: LimitKind| limits.iter().find(|(limit, _)| *limit == kind).map(|(_, value)| *value);
    let shares = [LimitKind::UserSharePercent, LimitKind::ServiceSharePercent];
    let usual = |kind| if shares.contains(&kind) { 50 } else { 0 };
    let defaults = LimitValues::new(|kind| of(kind).unwrap_or(usual(kind)));
    Limits::new(RateSettings {
        defaults,
        service_burst: service_burst.and_then(NonZeroU32::new),
        rejection_calls_per_minute: None,
    })
}

/// How many calls in a row are let through, and what then refuses.
fn through(limits: &Limits, now: u64, counted: Counted<'_>) -> (usize, Option<(LimitSubject, LimitKind)>) {
    for calls in 0..1000 {
        match limits.count_at(now, limits.defaults(), &[LimitKind::CallsPerSecond], counted, 1) {
            Ok(()) => {}
            Err(Refusal::RateLimited(exceeded)) => return (calls, Some((exceeded.of, exceeded.limit))),
            Err(other) => panic!("{other:?}"),
        }
    }
    (1000, None)
}

#[test]
fn neither_a_user_nor_a_service_spends_the_tenants_whole_allowance() {
    let limits = limits(&[(LimitKind::CallsPerSecond, 20)], None);
    let (acme, other) = (TenantId::parse("acme").expect("id"), TenantId::parse("other").expect("id"));
    let users = ["u1", "u2", "u3"].map(|user| UserId::parse(user).expect("id"));
    let (app, batch, third) = (service("app"), service("batch"), service("third"));
    let by = |user: Option<usize>, service| Counted {
        tenant: &acme,
        user: user.map(|user| &users[user]),
        service,
    };
    use LimitKind::CallsPerSecond as Calls;
    let now = u64::from(u32::MAX) * 1_000;
    assert_eq!(through(&limits, now, by(Some(0), &app)), (10, Some((LimitSubject::User, Calls))));
    // What was refused has cost the service nothing, and the service's half is spent as well.
    assert_eq!(through(&limits, now, by(Some(1), &app)), (0, Some((LimitSubject::Service, Calls))));
    // What the service was refused has cost its user nothing.
    assert_eq!(through(&limits, now, by(Some(1), &batch)), (10, Some((LimitSubject::User, Calls))));
    assert_eq!(through(&limits, now, by(Some(2), &third)), (0, Some((LimitSubject::Tenant, Calls))));
    let elsewhere = Counted { tenant: &other, user: Some(&users[0]), service: &app };
    assert_eq!(through(&limits, now, elsewhere).0, 10);
    let now = now + 1_000_000_000;
    assert_eq!(through(&limits, now, by(None, &app)), (10, Some((LimitSubject::Service, Calls))));
}

#[test]
fn services_have_a_rate_of_their_own_and_administrators_too() {
    let limits = limits(&[(LimitKind::ServiceCallsPerSecond, 5)], Some(10));
    let acme = TenantId::parse("acme").expect("id");
    let app = service("app");
    let counted = Counted { tenant: &acme, user: None, service: &app };
    let expected = Some((LimitSubject::Service, LimitKind::ServiceCallsPerSecond));
    let now = 1_000_000_000;
    assert_eq!(limits.at_once(limits.defaults(), counted), Some(10));
    assert_eq!(through(&limits, now, counted), (10, expected));
    // A tenant with another rate has another burst.
    let own = LimitValues::new(|kind| if kind == LimitKind::ServiceCallsPerSecond { 20 } else { 0 });
    assert_eq!(limits.at_once(&own, counted), Some(40));
    for _ in 0..10 {
        limits.count_administration(&app, &acme).expect("a bucket apart");
    }
    assert!(limits.count_administration(&app, &acme).is_err());
}

#[test]
fn a_refusal_says_whose_limit_it_is_and_who_can_raise_it() {
    let exceeded = Exceeded {
        limit: LimitKind::RefreshesPerMinute,
        of: LimitSubject::User,
        most: 7,
        retry: Duration::from_secs(1),
    };
    let text = exceeded.to_string();
    for part in
        ["this user", "7 forced refreshes a minute", "refreshes_per_minute", "SetTenantLimits", "A fetch"]
    {
        assert!(text.contains(part), "{text}");
    }
}

/// What the frame of a fetch pays: six buckets, with the keys made of the ids.
#[test]
fn counting_a_fetch_costs_little() {
    let limits =
        limits(&[(LimitKind::CallsPerSecond, 1_000_000), (LimitKind::FetchesPerSecond, 1_000_000)], None);
    let acme = TenantId::parse("a-tenant-of-usual-length").expect("id");
    let user = UserId::parse("user_2NfKq8mWzX0rVbYtJcPl").expect("id");
    let app = service("platform/order-sync");
    let counted = Counted { tenant: &acme, user: Some(&user), service: &app };
    let begun = std::time::Instant::now();
    for _ in 0..100_000 {
        let kinds = [LimitKind::CallsPerSecond, LimitKind::FetchesPerSecond];
        let _ = limits.count(limits.defaults(), &kinds, counted, 1);
    }
    let each = begun.elapsed() / 100_000;
    assert!(each < Duration::from_micros(100), "{each:?}");
}
