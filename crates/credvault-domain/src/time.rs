//! Instants as the vault stores them, and the interface of the clock. Reads no clock itself.

use std::fmt;
use std::time::Duration;

/// An instant: microseconds since 1970-01-01T00:00:00Z. The same integer in PostgreSQL, in SQLite and here, so that
/// no driver, zone or number of digits can change its order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The first instant of year 10000, which no stored time may reach (RFC 3339 has four-digit years).
    const END: i64 = 253_402_300_800_000_000;

    /// The instant at `micros` microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The instant at whole seconds and nanoseconds since the epoch, the form of protobuf and JWT. `None` outside the years
    /// 1970 to 9999.
    pub fn from_seconds(seconds: i64, nanos: i32) -> Option<Self> {
        let micros = seconds.checked_mul(1_000_000)?.checked_add(i64::from(nanos) / 1_000)?;
        (0..Self::END).contains(&micros).then_some(Self(micros))
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since the epoch, rounded down; never negative.
    pub fn millis(self) -> u64 {
        u64::try_from(self.0 / 1_000).unwrap_or(0)
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The nanoseconds beyond [`Timestamp::seconds`].
    pub fn subsecond_nanos(self) -> i32 {
        i32::try_from(self.0.rem_euclid(1_000_000) * 1_000).unwrap_or(0)
    }

    /// The instant `duration` after this one, at most the end of year 9999.
    pub fn after(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros).min(Self::END - 1))
    }

    /// The instant `duration` before this one.
    pub fn before(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros))
    }

    /// The time from `self` until `later`; zero if `later` is not later.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_micros(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }
}

/// In UTC and to the second, as RFC 3339 has it: `2023-11-14T22:13:20Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, second) = (self.seconds().div_euclid(86_400), self.seconds().rem_euclid(86_400));
        // Years that begin in March have the leap day at their end, and eras of 400 years are of one length.
        let (era, day) = ((day + 719_468).div_euclid(146_097), (day + 719_468).rem_euclid(146_097));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let year = era * 400 + year + i64::from(month >= 10);
        let month = if month < 10 { month + 3 } else { month - 9 };
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// The present time with its uncertainty. `earliest` and `latest` differ from `now` while the system's clock and the
/// database's disagree, because either may be wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Present {
    /// Compare this with the beginning of a validity.
    pub earliest: Timestamp,
    /// Use this for everything else.
    pub now: Timestamp,
    /// Compare this with the end of a validity.
    pub latest: Timestamp,
}

/// A source of the present time. Everything receives it as an argument, so that tests control the time.
pub trait Clock: Send + Sync + 'static {
    /// The present instant, without its uncertainty.
    fn now(&self) -> Timestamp;

    /// The present instant, and the bounds for checking certificates and tokens.
    fn present(&self) -> Present {
        let now = self.now();
        Present { earliest: now, now, latest: now }
    }

    /// Whether data may be destroyed because its time is over. While this is `false`, the data stays.
    fn is_trusted(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_as_rfc_3339_has_it() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Timestamp::from_micros(seconds * 1_000_000 + 5).to_string(), text);
        }
    }

    #[test]
    fn seconds_and_nanos_survive_the_round_trip() {
        let instant = Timestamp::from_seconds(1_700_000_000, 123_456_789).expect("in range");
        assert_eq!(instant.seconds(), 1_700_000_000);
        assert_eq!(instant.subsecond_nanos(), 123_456_000, "precision is a microsecond");
    }

    #[test]
    fn instants_outside_four_digit_years_are_refused() {
        assert_eq!(Timestamp::from_seconds(-1, 0), None);
        assert_eq!(Timestamp::from_seconds(253_402_300_800, 0), None);
        assert_eq!(Timestamp::from_seconds(i64::MAX, 0), None);
    }

    #[test]
    fn arithmetic_saturates() {
        let late = Timestamp::from_seconds(253_402_300_799, 0).expect("last second");
        assert_eq!(late.after(Duration::MAX).seconds(), 253_402_300_799);
        assert_eq!(late.until(Timestamp::default()), Duration::ZERO);
    }
}
