//! Times on the command line: a day, an instant, or a duration from now.

use std::time::Duration;

use credvault_domain::{Clock as _, Timestamp};

use crate::clock::SystemClock;
use crate::grpc::timestamp;

/// What a time may be.
const RULE: &str = "must be a day, such as 2026-11-21, an instant, such as 2026-11-21T08:30:00Z, or a duration from now, such as \
                    90m, 1h or 2d";

/// Whole seconds, minutes, hours or days, such as `90m`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return None,
    };
    let number = text.get(..text.len() - 1)?;
    let number: u32 = number.parse().ok().filter(|_| number.chars().all(|c| c.is_ascii_digit()))?;
    Some(Duration::from_secs(u64::from(number) * unit))
}

/// A day, which means its begin in UTC, an instant, or a duration before now.
pub(super) fn past(text: &str) -> Result<prost_types::Timestamp, String> {
    read(text, |duration| SystemClock.now().before(duration))
}

/// The same, but a duration counts from now on.
pub(super) fn coming(text: &str) -> Result<prost_types::Timestamp, String> {
    read(text, |duration| SystemClock.now().after(duration))
}

/// The day in UTC of a day, an instant, or a duration before now, such as `2026-11-21`.
pub(super) fn past_day(text: &str) -> Result<String, String> {
    let time = past(text)?.to_string();
    Ok(time.split('T').next().unwrap_or_default().to_owned())
}

fn read(text: &str, from_now: impl Fn(Duration) -> Timestamp) -> Result<prost_types::Timestamp, String> {
    if let Some(duration) = duration(text) {
        return Ok(timestamp(from_now(duration)));
    }
    text.parse().map_err(|_| RULE.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_day_an_instant_or_a_duration() {
        assert_eq!(past("2026-11-21").expect("a day"), past("2026-11-21T00:00:00Z").expect("an instant"));
        let now = SystemClock.now().seconds();
        for (text, seconds) in [("90s", 90), ("90m", 5_400), ("1h", 3_600), ("2d", 172_800)] {
            let (ago, ahead) = (past(text).expect("a duration"), coming(text).expect("a duration"));
            assert!((now - seconds - 60..=now - seconds + 60).contains(&ago.seconds), "{text}");
            assert!((now + seconds - 60..=now + seconds + 60).contains(&ahead.seconds), "{text}");
        }
        for wrong in ["", "h", "1w", "-1h", "+1h", "1.5h", "99999999999d", "soon", "CANARY"] {
            let refused = past(wrong).expect_err("no time");
            assert!(refused.contains("90m, 1h or 2d") && !refused.contains("CANARY"), "{wrong}");
        }
        assert_eq!(past_day("2026-11-21T08:30:00Z"), Ok("2026-11-21".to_owned()));
        assert_eq!(past_day("2026-11-21"), Ok("2026-11-21".to_owned()));
        assert!(past_day("7d").is_ok_and(|day| day.len() == 10));
    }
}
