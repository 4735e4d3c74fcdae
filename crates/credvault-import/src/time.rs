//! Instants as other systems write them.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// From here on a number counts milliseconds: as seconds it would be in the year 5138.
const MILLISECONDS: i64 = 100_000_000_000;

/// Seconds since the epoch: of a number of seconds or milliseconds, or of an ISO 8601 text as JavaScript, PostgreSQL and
/// `psql` write it. A text without a zone is UTC. `None` if it is none of these.
pub(crate) fn instant(value: &Value) -> Option<i64> {
    let number = match value {
        Value::Number(number) => Some(number.as_i64().or_else(|| whole(number.as_f64()?))?),
        Value::String(text) => text.parse::<i64>().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    match number {
        Some(number) if number >= MILLISECONDS => Some(number / 1000),
        Some(number) => Some(number),
        None => parse(value.as_str()?),
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
    }
}
