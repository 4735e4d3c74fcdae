//! How long a token lives, as a provider's answer says: in seconds or as an instant, in the many ways in which
//! providers write these. It judges one value and knows no path.

use std::time::Duration;

use credvault_domain::Timestamp;
use serde_json::Value;

/// The longest lifetime of an access token that the vault believes. A token with a longer one is refreshed after this
/// time.
const MAX_LIFETIME: Duration = Duration::from_secs(400 * 24 * 3600);
/// The longest lifetime that is read, in seconds: 100 years. A larger number would overflow instants.
const MAX_READ_SECONDS: f64 = 100.0 * 366.0 * 24.0 * 3600.0;
/// The lifetime that is assumed if the answer names an end that cannot be read: one hour.
const ASSUMED_LIFETIME: Duration = Duration::from_secs(3600);

/// The lifetime of a token as an answer gives it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Lifetime {
    /// The answer does not name one.
    Unnamed,
    /// The token lives for so long from when the request was sent.
    Lasts(Duration),
    /// Zero, a negative number, or an instant in the past. Providers mean "over", "never" or "as usual" by that.
    Elapsed,
    /// A value that is neither a number nor an instant.
    Unclear,
}

impl Lifetime {
    /// Reads seconds: a number or a text, with or without a fraction.
    pub(crate) fn of_seconds(value: Option<&Value>) -> Self {
        match value {
            None | Some(Value::Null) => Self::Unnamed,
            Some(value) => number(value).map_or(Self::Unclear, Self::lasting),
        }
    }

    /// Reads an instant, in seconds since 1970 or in RFC 3339. The lifetime counts from `sent`.
    pub(crate) fn of_instant(value: Option<&Value>, sent: Timestamp) -> Self {
        let value = match value {
            None | Some(Value::Null) => return Self::Unnamed,
            Some(value) => value,
        };
        let seconds =
            number(value).map(|seconds| seconds.floor() as i64).or_else(|| rfc3339(value.as_str()?));
        match seconds.and_then(|seconds| Timestamp::from_seconds(seconds, 0)) {
            Some(end) if end > sent => Self::Lasts(sent.until(end)),
            Some(_) => Self::Elapsed,
            None => Self::Unclear,
        }
    }

    fn lasting(seconds: f64) -> Self {
        if seconds > 0.0 {
            Self::Lasts(Duration::from_secs_f64(seconds.min(MAX_READ_SECONDS)))
        } else {
            Self::Elapsed
        }
    }

    /// The lifetime that the answer names in so many words.
    pub(crate) fn named(self) -> Option<Duration> {
        match self {
            Self::Lasts(lifetime) => Some(lifetime),
            Self::Unnamed | Self::Elapsed | Self::Unclear => None,
        }
    }

    /// The lifetime to plan with, never longer than what the answer names. `None` means that the token does not expire.
    /// `default` is the provider file's lifetime for answers that name none.
    pub(crate) fn or_default(self, default: Option<Duration>) -> Option<Duration> {
        let lifetime = match self {
            Self::Unnamed => default?,
            Self::Lasts(lifetime) => lifetime,
            // Not "no end": refreshing too early costs a call, never refreshing ends the connection.
            Self::Elapsed => default.unwrap_or(ASSUMED_LIFETIME),
            Self::Unclear => default.map_or(ASSUMED_LIFETIME, |default| default.min(ASSUMED_LIFETIME)),
        };
        Some(lifetime.min(MAX_LIFETIME))
    }
}

/// The finite number that `value` is, or that its text spells.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    number.filter(|number| number.is_finite())
}

fn rfc3339(text: &str) -> Option<i64> {
    let format = &time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::parse(text.trim(), format).ok().map(time::OffsetDateTime::unix_timestamp)
}
