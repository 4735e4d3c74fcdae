//! The signed time: its tolerance, and its spellings.

use super::*;

#[test]
fn time_is_checked_on_both_sides() {
    let mut dated = 0;
    for mut case in cases() {
        let now = case.now;
        let signed = case.webhook.signed.contains(&Signed::Timestamp);
        dated += usize::from(signed);
        let tolerance = Duration::from_secs(300);
        let window = if signed { tolerance * 2 } else { UNDATED_WINDOW };
        for (offset, inside) in [(-301, false), (-300, true), (300, true), (301, false), (-now, false)] {
            case.now = now + offset;
            let expected = if inside || !signed {
                Ok(window)
            } else {
                Err(WebhookError::TimestampOutside { tolerance })
            };
            let found = case.check().map(|checked| checked.replay_window);
            assert_eq!(found, expected, "{}, {offset} s", case.name);
        }
    }
    assert_eq!(dated, 11, "schemes with a signed time");
}

#[test]
fn every_form_of_time_is_read() {
    use TimestampForm::{Any, Milliseconds, Rfc3339, Seconds};
    let known = [
        ("1700000000", Seconds, 0),
        ("1700000000123", Milliseconds, 123_000),
        ("2023-11-14T22:13:20Z", Rfc3339, 0),
        ("2023-11-15T00:13:20.5+02:00", Rfc3339, 500_000),
        ("2023-11-14T22:13:20Z", Any, 0),
        ("2023-11-14T22:13:20.25", Any, 250_000),
        ("Tue, 14 Nov 2023 22:13:20 GMT", Any, 0),
    ];
    for (text, form, micros) in known {
        let expected = Timestamp::from_micros(AT * 1_000_000 + micros);
        assert_eq!(timestamp::parse(text, form), Some(expected), "{text}");
    }
}

/// Were `01700000000` the same as `1700000000`, a body that ends with a zero could lend it to the time after it.
#[test]
fn a_time_has_one_spelling() {
    use TimestampForm::{Any, Milliseconds, Rfc3339, Seconds};
    let digits = [
        "",
        "-1",
        "+1700000000",
        "01700000000",
        " 1700000000",
        "1700000000 ",
        "1.7e9",
        "17000000000000000000000",
    ];
    let dates =
        ["", "2023-11-14", "14 Nov 2023 22:13:20 GMT", "Tue, 14 Nov 2023 22:13:20 +0000", "1700000000", "é"];
    for form in [Seconds, Milliseconds] {
        for text in digits {
            assert_eq!(timestamp::parse(text, form), None, "{text}");
        }
    }
    for form in [Rfc3339, Any] {
        for text in dates {
            assert_eq!(timestamp::parse(text, form), None, "{text}");
        }
    }
    let mut case = slack();
    case.set("X-Slack-Request-Timestamp", "yesterday");
    assert_eq!(case.check(), Err(WebhookError::TimestampMalformed));
}
