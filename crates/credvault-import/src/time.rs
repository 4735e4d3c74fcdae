//! Instants and lifetimes as other systems write them, and the names under which they do. It reads no clock: a lifetime
//! counts from an instant that the row has.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::name::plain;

/// Members that say when an access token ends, in the order in which they count. The last two may be lifetimes.
pub(crate) const ENDS: [&str; 8] = [
    "expires_at",
    "token_expires_at",
    "access_token_expires_at",
    "expiry",
    "expiry_date",
    "expiration",
    EXPIRES,
    EXPIRES_IN,
];

/// An instant to some programs, and a lifetime to others, such as Meta's older answers.
const EXPIRES: &str = "expires";

/// A lifetime in seconds (RFC 6749, section 5.1).
const EXPIRES_IN: &str = "expires_in";

/// Members and columns that say since when a row holds its token.
pub(crate) const STORED: [&str; 5] = ["obtained_at", "issued_at", "stored_at", "updated_at", "created_at"];

/// Members and columns that say when the owner consented.
pub(crate) const CONSENTED: [&str; 4] = ["connected_at", "granted_at", "obtained_at", "created_at"];

/// Ten years in seconds. A smaller number is a lifetime, for as an instant it would be before 1980.
const LONGEST_LIFETIME: i64 = 315_360_000;

/// From here on a number counts milliseconds: as seconds it would be in the year 5138.
const MILLISECONDS: i64 = 100_000_000_000;

/// Seconds since the epoch: of a number of seconds or milliseconds, or of an ISO 8601 text as JavaScript, PostgreSQL and
/// `psql` write it. A text without a zone is UTC. `None` if it is none of these.
pub(crate) fn instant(value: &Value) -> Option<i64> {
    match number(value) {
        Some(number) if number >= MILLISECONDS => Some(number / 1000),
        Some(number) => Some(number),
        None => parse(value.as_str()?),
    }
}

/// The same of when a row's owner consented, which may be a day alone: its first instant. A zero says nothing.
pub(crate) fn instant_or_day(value: &Value) -> Option<i64> {
    let day = || parse(&format!("{}T00:00:00Z", value.as_str()?.trim()));
    instant(value).or_else(day).filter(|instant| (1..MILLISECONDS).contains(instant))
}

/// When a token ends, as a row says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// At this instant, in seconds since the epoch.
    At(i64),
    /// This many seconds after the row got it.
    After(i64),
}

/// What a member of [`ENDS`] says. `None` if its value is neither an instant nor a lifetime.
pub(crate) fn end(name: &str, value: &Value) -> Option<End> {
    let lives = plain(name) == plain(EXPIRES_IN);
    let may_live = plain(name) == plain(EXPIRES);
    match number(value).filter(|number| *number > 0) {
        Some(seconds) if lives || (may_live && seconds < LONGEST_LIFETIME) => Some(End::After(seconds)),
        _ if lives => None,
        _ => instant(value).map(End::At),
    }
}

/// Whether a member is one of [`ENDS`] and says by a zero that there is no end, as Meta does.
pub(crate) fn is_endless(name: &str, value: &Value) -> bool {
    number(value) == Some(0) && ENDS.iter().any(|end| plain(end) == plain(name))
}

/// A whole number, also as a text.
fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "far below the bounds of an i64")]
fn whole(number: f64) -> Option<i64> {
    (number.abs() < 1e15).then_some(number as i64)
}

fn parse(text: &str) -> Option<i64> {
    let mut text = text.trim().replacen(' ', "T", 1);
    let zone = text.find('T').and_then(|at| text.get(at..)?.find(['Z', '+', '-']).map(|zone| at + zone));
    match zone {
        None => text.push('Z'),
        // PostgreSQL writes whole hours only.
        Some(at) if text.len() - at == 3 => text.push_str(":00"),
        Some(_) => {}
    }
    OffsetDateTime::parse(&text, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_as_others_write_them() {
        let texts =
            ["2026-11-26T18:00:00.000Z", "2026-11-26 18:00:00", "2026-11-26 19:00:00+01", "1795716000"];
        for text in texts {
            assert_eq!(instant(&Value::from(text)), Some(1_795_716_000), "{text}");
        }
        assert_eq!(instant(&Value::from(1_795_716_000_000_i64)), Some(1_795_716_000));
        assert_eq!(instant(&Value::from("soon")), None);
        assert_eq!(instant_or_day(&Value::from("2026-11-26")), Some(1_795_651_200));
        for nothing in [Value::from("soon"), Value::from(0), Value::from(1_795_716_000_000_000_i64)] {
            assert_eq!(instant_or_day(&nothing), None);
        }
    }

    #[test]
    fn an_end_is_an_instant_or_a_lifetime_by_its_name_and_its_size() {
        let (instant, lifetime) = (Some(End::At(1_795_716_000)), Some(End::After(5_184_000)));
        for (name, value, expected) in [
            ("expires_at", Value::from(1_795_716_000), instant),
            ("expires", Value::from("2026-11-26T18:00:00Z"), instant),
            ("expires", Value::from(1_795_716_000_000_i64), instant),
            ("expires", Value::from(5_184_000), lifetime),
            ("expiresIn", Value::from("5184000"), lifetime),
            ("expires_in", Value::from("2026-11-26T18:00:00Z"), None),
            ("expires_in", Value::from(-1), None),
            ("expires_at", Value::from("soon"), None),
        ] {
            assert_eq!(end(name, &value), expected, "{name}: {value}");
        }
        assert!(is_endless("expiresAt", &Value::from(0)) && is_endless("expires_in", &Value::from("0")));
        assert!(!is_endless("expires_at", &Value::from(1)) && !is_endless("count", &Value::from(0)));
    }
}
