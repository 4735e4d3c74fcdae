//! What an answer says about the end of a token.

use std::time::Duration;

use credvault_domain::Timestamp;
use serde_json::Value;

/// The longest life of an access token that is believed: one that is said to live longer is renewed after that.
const LONGEST: Duration = Duration::from_secs(400 * 24 * 3600);
/// The longest life of a refresh token that is reckoned with, in seconds.
const CENTURY: f64 = 100.0 * 366.0 * 24.0 * 3600.0;
/// The life of a token whose end is named in a way that is not understood.
const HOUR: Duration = Duration::from_secs(3600);

/// What an answer says about an end.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Life {
    /// Nothing.
    Unnamed,
    /// That it is so far away.
    Lasts(Duration),
    /// Zero, less than that, or an instant that has passed: providers mean "over", "never" or "as usual" by that.
    Void,
    /// Something that is neither a number nor an instant.
    Unclear,
}

impl Life {
    /// Reads a number of seconds: as number or as text, with or without a fraction.
    pub(crate) fn of_seconds(value: Option<&Value>) -> Self {
        match value {
            None | Some(Value::Null) => Self::Unnamed,
            Some(value) => number(value).map_or(Self::Unclear, Self::lasting),
        }
    }

    /// Reads an instant in seconds since 1970 or in RFC 3339, as seen from `sent`.
    pub(crate) fn of_instant(value: Option<&Value>, sent: Timestamp) -> Self {
        let value = match value {
            None | Some(Value::Null) => return Self::Unnamed,
            Some(value) => value,
        };
        let seconds =
            number(value).map(|seconds| seconds.floor() as i64).or_else(|| rfc3339(value.as_str()?));
        match seconds.and_then(|seconds| Timestamp::from_seconds(seconds, 0)) {
            Some(end) if end > sent => Self::Lasts(sent.until(end)),
            Some(_) => Self::Void,
            None => Self::Unclear,
        }
    }

    fn lasting(seconds: f64) -> Self {
        if seconds > 0.0 { Self::Lasts(Duration::from_secs_f64(seconds.min(CENTURY))) } else { Self::Void }
    }

    /// The life to reckon with, never longer than what was said; `None` has no end. `default` is what the provider's file
    /// says of answers that name none.
    pub(crate) fn or_default(self, default: Option<Duration>) -> Option<Duration> {
        let life = match self {
            Self::Unnamed => default?,
            Self::Lasts(life) => life,
            // Not "for ever": what is renewed too early costs a call, and what is never renewed ends the connection.
            Self::Void => default.unwrap_or(HOUR),
            Self::Unclear => default.map_or(HOUR, |default| default.min(HOUR)),
        };
        Some(life.min(LONGEST))
    }
}

/// A finite number, or a text that writes one.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

fn rfc3339(text: &str) -> Option<i64> {
    let format = &time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::parse(text.trim(), format).ok().map(time::OffsetDateTime::unix_timestamp)
}
