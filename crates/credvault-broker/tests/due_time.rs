//! When tokens are refreshed ahead of need.

use std::time::Duration;

use credvault_broker::{due_time, first_due_time};
use credvault_catalog::{Catalog, Mode};
use credvault_domain::{AuthMode, Exhausted, ProviderId, Random, Timestamp};

/// No jitter: everything comes as early as it may.
struct Zeros;

impl Random for Zeros {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), Exhausted> {
        bytes.fill(0);
        Ok(())
    }
}

fn mode<'c>(catalog: &'c Catalog, provider: &str) -> &'c Mode {
    let provider = catalog.get(&ProviderId::parse(provider).expect("an id")).expect("known");
    provider.mode(&AuthMode::parse("oauth2_code").expect("a mode")).expect("known")
}

fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 3600)
}

#[test]
fn a_refresh_token_is_used_in_the_first_half_of_its_own_life() {
    let catalog = Catalog::load(None).expect("the embedded files are sound");
    let sent = Timestamp::from_seconds(1_700_000_000, 0).expect("in range");
    let due = |provider: &str, end: Option<Duration>| {
        let due = due_time(mode(&catalog, provider), None, end.map(|end| sent.after(end)), sent, &Zeros);
        due.map(|due| sent.until(due))
    };
    // Half of it, less the most that jitter takes.
    assert_eq!(
        due("shopify", Some(days(30))),
        Some(days(12)),
        "what the answer said is sooner than the file's 90 days"
    );
    assert_eq!(due("shopify", None), Some(days(36)), "the file's 90 days");
    assert_eq!(due("shopify", Some(days(1000))), Some(days(36)), "the file's 90 days are sooner");
    assert_eq!(due("ebay", Some(days(500))), None, "a refresh gives eBay's refresh token no longer life");
}

#[test]
fn a_first_token_that_is_to_be_replaced_is_due_at_once() {
    let catalog = Catalog::load(None).expect("the embedded files are sound");
    let sent = Timestamp::from_seconds(1_700_000_000, 0).expect("in range");
    let hour = Some(sent.after(Duration::from_secs(3600)));
    let meta = mode(&catalog, "meta");
    assert_eq!(first_due_time(meta, hour, None, sent, &Zeros), Some(sent));
    assert_eq!(first_due_time(meta, None, None, sent, &Zeros), Some(sent), "also if its end is not known");
    assert!(due_time(meta, hour, None, sent, &Zeros) > Some(sent), "the next one is not the first");
    let xero = mode(&catalog, "xero");
    assert_eq!(
        first_due_time(xero, hour, None, sent, &Zeros),
        due_time(xero, hour, None, sent, &Zeros),
        "another provider's first token is like the next ones"
    );
}
