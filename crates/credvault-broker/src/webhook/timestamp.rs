//! The time in a delivery's header. Each form has one spelling: if a provider signs the time right beside the body, a leading
//! zero or a missing weekday would let a sender move bytes between the two.

use credvault_catalog::TimestampForm;
use credvault_domain::Timestamp;
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

/// The instant that `text` names, between the years 1970 and 9999.
pub(super) fn parse(text: &str, form: TimestampForm) -> Option<Timestamp> {
    match form {
        TimestampForm::Seconds => Timestamp::from_seconds(decimal(text)?, 0),
        TimestampForm::Milliseconds => {
            let millis = decimal(text)?;
            let nanos = i32::try_from(millis % 1_000).ok()? * 1_000_000;
            Timestamp::from_seconds(millis / 1_000, nanos)
        }
        TimestampForm::Rfc3339 => rfc_3339(text),
        // Klaviyo's Python-made times were seen without a zone; they are in UTC.
        TimestampForm::Any => {
            http_date(text).or_else(|| rfc_3339(text)).or_else(|| rfc_3339(&format!("{text}Z")))
        }
    }
}

fn decimal(text: &str) -> Option<i64> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    if canonical { text.parse().ok() } else { None }
}

fn rfc_3339(text: &str) -> Option<Timestamp> {
    instant(OffsetDateTime::parse(text, &Rfc3339).ok()?)
}

/// RFC 9110, section 5.6.7, in the one form that may be sent: `Tue, 14 Nov 2023 22:13:20 GMT`.
fn http_date(text: &str) -> Option<Timestamp> {
    let fixed = text.len() == 29 && text.ends_with(" GMT");
    if fixed { instant(OffsetDateTime::parse(text, &Rfc2822).ok()?) } else { None }
}

fn instant(time: OffsetDateTime) -> Option<Timestamp> {
    Timestamp::from_seconds(time.unix_timestamp(), i32::try_from(time.nanosecond()).ok()?)
}
