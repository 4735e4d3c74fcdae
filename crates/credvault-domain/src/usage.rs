//! Usage: what services did with connections, counted by day. Values and their rules; the counts are kept by the store.

use std::sync::Arc;

use crate::{NameError, Timestamp};

/// The longest name of an endpoint, in bytes.
const MAX_ENDPOINT_BYTES: usize = 128;
/// The microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// The most that one item of a report may count of each kind: sums of years stay far below 64 bits.
pub const MAX_ITEM_COUNT: i64 = 1_000_000;

/// A provider's endpoint as services name it in reports, such as `orders` or `GET /v3/orders/{id}`: 1 to 128 printable
/// ASCII characters. A name with ids in it makes a row for each id, so callers send a normalised one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EndpointName(Arc<str>);

impl EndpointName {
    /// The name that stands for all endpoints beyond those that are counted apart.
    pub const OTHER: &'static str = "other";

    /// Parses a name that came from outside.
    ///
    /// # Errors
    /// The text is not 1 to 128 printable ASCII characters, or begins or ends with a blank.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let printable = text.bytes().all(|b| (0x20..=0x7e).contains(&b));
        if (1..=MAX_ENDPOINT_BYTES).contains(&text.len()) && printable && text.trim().len() == text.len() {
            Ok(Self(text.into()))
        } else {
            Err(NameError("must be 1 to 128 printable ASCII characters without a blank at either end"))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as a text that many counts share.
    pub fn into_text(self) -> Arc<str> {
        self.0
    }
}

/// A day in UTC: days since 1970-01-01.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Day(i64);

impl Day {
    /// The day of an instant.
    pub const fn of(time: Timestamp) -> Self {
        Self(time.micros().div_euclid(DAY_MICROS))
    }

    /// The day so many days after 1970-01-01.
    pub const fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// The days since 1970-01-01.
    pub const fn number(self) -> i64 {
        self.0
    }

    /// The day `days` earlier.
    #[must_use]
    pub const fn before(self, days: i64) -> Self {
        Self(self.0.saturating_sub(days))
    }
}

/// What is counted: the first three by services' reports, the last two by the vault itself.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct UsageCounts {
    /// Calls to the provider.
    pub calls: i64,
    /// Calls to it that failed.
    pub errors: i64,
    /// Calls that the provider refused because there were too many.
    pub rate_limit_hits: i64,
    /// Credentials that the vault gave out.
    pub fetches: i64,
    /// Tokens that the vault has renewed.
    pub refreshes: i64,
}

impl UsageCounts {
    /// Adds other counts; sums end at the largest number.
    pub fn add(&mut self, other: &Self) {
        let Self { calls, errors, rate_limit_hits, fetches, refreshes } = other;
        self.calls = self.calls.saturating_add(*calls);
        self.errors = self.errors.saturating_add(*errors);
        self.rate_limit_hits = self.rate_limit_hits.saturating_add(*rate_limit_hits);
        self.fetches = self.fetches.saturating_add(*fetches);
        self.refreshes = self.refreshes.saturating_add(*refreshes);
    }
}

/// What usage can be grouped by. Rows are ordered by their groups in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum UsageGroup {
    /// Grouped by the connection.
    Connection,
    /// Grouped by the provider.
    Provider,
    /// Grouped by the endpoint of the provider.
    Endpoint,
    /// Grouped by the verified user of the call.
    User,
    /// Grouped by the calling service.
    Service,
    /// Grouped by the day in UTC.
    Day,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_short_printable_names() {
        for text in ["orders", "GET /v3/orders/{id}", &"x".repeat(128)] {
            assert!(EndpointName::parse(text).is_ok(), "{text}");
        }
        for text in ["", " orders", "orders ", "or\nders", "é", &"x".repeat(129)] {
            assert!(EndpointName::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_day_begins_at_midnight_utc() {
        let at = |seconds: i64| Day::of(Timestamp::from_micros(seconds * 1_000_000)).number();
        assert_eq!((at(0), at(86_399), at(86_400), at(-1)), (0, 0, 1, -1));
        assert_eq!(Day::from_number(30).before(29), Day::from_number(1));
    }

    #[test]
    fn sums_do_not_overflow() {
        let mut sum = UsageCounts { calls: i64::MAX, ..UsageCounts::default() };
        sum.add(&UsageCounts { calls: 1, fetches: 2, ..UsageCounts::default() });
        assert_eq!((sum.calls, sum.fetches), (i64::MAX, 2));
    }
}
