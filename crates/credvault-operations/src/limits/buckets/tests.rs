//! What the buckets let through, in every order of callers, and what a call costs.

use std::sync::Arc;
use std::time::Instant;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn per_second(calls: u64, burst: u64) -> Rate {
    Rate::new(calls, Duration::from_secs(1), burst)
}

/// Numbers that differ from run to run of no test: xorshift64* by Vigna.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }
}

#[test]
fn a_bucket_holds_its_burst_and_fills_at_its_rate() {
    let buckets = Buckets::default();
    let (key, rate) = (buckets.key("acme", "u1"), per_second(10, 5));
    let mut now = 7 * SECOND;
    for _ in 0..5 {
        assert_eq!(buckets.take(key, rate, 1, now), Ok(()));
    }
    assert_eq!(buckets.take(key, rate, 1, now), Err(Duration::from_millis(100)));
    assert_eq!(buckets.in_use(key, rate, now), 5);
    now += SECOND / 10;
    assert_eq!(buckets.take(key, rate, 1, now), Ok(()));
    assert_eq!(buckets.take(key, rate, 2, now), Err(Duration::from_millis(200)));
    buckets.give_back(key, rate, 3, now);
    assert_eq!(buckets.take(key, rate, 3, now), Ok(()));
    assert!(buckets.take(key, rate, 1, now).is_err());
    // More than it holds never passes.
    assert!(buckets.take(key, rate, 6, now + 60 * SECOND).is_err());
    buckets.close(key, now, now + 60 * SECOND);
    assert_eq!(buckets.closed_for(key, now + 59 * SECOND), Some(Duration::from_secs(1)));
    assert_eq!(buckets.closed_for(key, now + 60 * SECOND), None);
}

/// In any span of time, no key gets more than its burst and what the rate gives in that time; and one that asks at half its
/// rate is never refused.
#[test]
fn in_no_span_of_time_is_more_let_through_than_the_rate_gives() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for round in 0..200 {
        let buckets = Buckets::default();
        let (calls, burst) = (1 + numbers.below(50), 1 + numbers.below(20));
        let rate = per_second(calls, burst);
        let (noisy, calm) = (buckets.key("acme", "noisy"), buckets.key("acme", "calm"));
        let (mut now, mut taken, mut next_calm) = (SECOND, Vec::new(), SECOND);
        for _ in 0..500 {
            now += numbers.below(2 * rate.interval);
            let amount = 1 + numbers.below(3);
            if buckets.take(noisy, rate, amount, now).is_ok() {
                taken.push((now, amount));
            }
            if now >= next_calm {
                assert_eq!(buckets.take(calm, rate, 1, now), Ok(()), "round {round}");
                next_calm = now + 2 * rate.interval;
            }
        }
        for (place, (from, _)) in taken.iter().enumerate() {
            let mut sum = 0;
            for (at, amount) in taken.iter().skip(place) {
                sum += amount;
                assert!(sum <= burst + (at - from) / rate.interval, "round {round}: {sum} in {}", at - from);
            }
        }
    }
}

/// As many keys as there are slots, and twice as many again: those that are there keep their buckets, newcomers share those of
/// their namespace, and once the old ones are idle all have their own again.
#[test]
fn a_flood_of_names_slows_down_its_own_namespace_alone() {
    let buckets = Buckets::of_slots(1024);
    let rate = per_second(1, 10);
    let now = SECOND;
    let settled: Vec<_> = (0..100).map(|i| buckets.key("calm", i)).collect();
    for key in &settled {
        assert_eq!(buckets.take(*key, rate, 1, now), Ok(()));
    }
    let flood = (0..20_000).filter(|i| buckets.take(buckets.key("flood", i), rate, 10, now).is_ok()).count();
    assert!(flood < 1024, "{flood} names have got a whole bucket");
    for key in &settled {
        assert_eq!(buckets.take(*key, rate, 9, now), Ok(()));
        assert!(buckets.take(*key, rate, 1, now).is_err());
    }
    let newcomer = buckets.key("other", "u1");
    assert_eq!(
        buckets.take(newcomer, rate, 1, now),
        Ok(()),
        "another namespace shares nothing with the flood"
    );
    let later = now + 11 * SECOND;
    let again = (0..512).filter(|i| buckets.take(buckets.key("flood", i), rate, 10, later).is_ok()).count();
    assert!(again > 500, "{again}");
}

#[test]
fn threads_take_together_what_one_may() {
    let buckets = Arc::new(Buckets::default());
    let (key, rate) = (buckets.key("acme", ""), per_second(1000, 1000));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let buckets = Arc::clone(&buckets);
            std::thread::spawn(move || {
                (0..1000).filter(|_| buckets.take(key, rate, 1, SECOND).is_ok()).count()
            })
        })
        .collect();
    let taken: usize = threads.into_iter().map(|thread| thread.join().expect("ended")).sum();
    assert_eq!(taken, 1000);
}

/// What a take costs. The bound is far above what is measured (docs/limits.md), for builds without optimisation on busy
/// machines; it notices a lock that is waited for, or a search of the table.
#[test]
fn a_take_costs_little_in_a_full_table() {
    let buckets = Buckets::default();
    let rate = per_second(1_000_000, 1_000_000);
    let keys: Vec<_> = (0..40_000).map(|i| buckets.key("acme", i)).collect();
    for key in &keys {
        let _ = buckets.take(*key, rate, 1000, SECOND);
    }
    let begun = Instant::now();
    for key in keys.iter().cycle().take(200_000) {
        let _ = buckets.take(*key, rate, 1, SECOND);
    }
    let each = begun.elapsed() / 200_000;
    assert!(each < Duration::from_micros(20), "{each:?}");
}
