//! The vault's values as people read them: times, owners, states. What varies is escaped by `maud`.

use credvault_domain::{Reason, Timestamp};
use credvault_proto::v1;
use maud::{Markup, html};

/// The value of an enum in words: its name in the protos without the prefix.
pub(crate) fn word(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase().replace('_', " ")
}

/// An instant to the second, for people and programs; a dash if there is none.
pub(crate) fn when(time: Option<&prost_types::Timestamp>) -> Markup {
    let Some(time) = time else { return html! { span class="quiet" { "–" } } };
    let exact = prost_types::Timestamp { nanos: 0, ..*time }.to_string();
    let read = exact.replace('T', " ").replace('Z', " UTC");
    html! { time datetime=(exact) { (read) } }
}

/// The day of a moment in UTC, such as 2026-11-21.
fn day(seconds: i64) -> String {
    let text = prost_types::Timestamp { seconds, nanos: 0 }.to_string();
    text.split('T').next().unwrap_or_default().to_owned()
}

/// The last days in UTC, the present one at the end.
pub(crate) fn last_days(now: Timestamp, number: i64) -> Vec<String> {
    (0..number).rev().map(|back| day(now.seconds() - back * 86_400)).collect()
}

/// The owner of a connection.
pub(crate) fn owner(owner: Option<&v1::Owner>) -> String {
    let Some(owner) = owner else { return String::new() };
    match owner.kind() {
        v1::OwnerKind::User => format!("user {}", owner.user_id),
        kind @ (v1::OwnerKind::Unspecified | v1::OwnerKind::Tenant | v1::OwnerKind::Platform) => {
            word(kind.as_str_name(), "OWNER_KIND_")
        }
    }
}

/// How good something is: the colour of its badge, which only repeats what the word says.
#[derive(Clone, Copy)]
pub(crate) enum Tone {
    /// All is well here.
    Good,
    /// It needs attention soon.
    Warn,
    /// It does not work now.
    Bad,
    /// Neither good nor bad.
    Quiet,
}

impl Tone {
    /// The class in the style.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Quiet => "quiet",
        }
    }
}

/// A word in a colour.
pub(crate) fn badge(tone: Tone, text: &str) -> Markup {
    html! { span class={ "badge " (tone.class()) } { (text) } }
}

/// The state of a connection, with what keeps it from being served.
pub(crate) fn state(connection: &v1::Connection) -> Markup {
    let tone = match connection.state() {
        v1::ConnectionState::Connected => Tone::Good,
        v1::ConnectionState::Connecting => Tone::Warn,
        v1::ConnectionState::Error => Tone::Bad,
        v1::ConnectionState::Disconnected | v1::ConnectionState::Unspecified => Tone::Quiet,
    };
    let text = word(connection.state().as_str_name(), "CONNECTION_STATE_");
    html! {
        (badge(tone, &text))
        @if !connection.enabled { " " (badge(Tone::Warn, "disabled")) }
        @if connection.delete_time.is_some() { " " (badge(Tone::Quiet, "deleted")) }
    }
}

/// The colour of a health.
fn tone_of_health(state: v1::HealthState) -> Tone {
    match state {
        v1::HealthState::Ok => Tone::Good,
        v1::HealthState::Ending | v1::HealthState::Uncertain | v1::HealthState::ProviderIncident => {
            Tone::Warn
        }
        v1::HealthState::Ended | v1::HealthState::Error => Tone::Bad,
        v1::HealthState::NotConnected | v1::HealthState::Unspecified => Tone::Quiet,
    }
}

/// The health of a connection in one word.
pub(crate) fn health(connection: &v1::Connection) -> Markup {
    let Some(health) = &connection.health else { return html! { span class="quiet" { "–" } } };
    badge(tone_of_health(health.state()), &word(health.state().as_str_name(), "HEALTH_STATE_"))
}

/// When the grant or key of a connection ends.
pub(crate) fn ends(connection: &v1::Connection) -> Markup {
    let Some(health) = &connection.health else { return when(None) };
    // Whatever was known of its end: only a new consent or credential helps.
    let reason = Reason::ReauthorizationRequired.as_str();
    if connection.error.as_ref().is_some_and(|error| error.reason == reason) {
        return html! { "has ended" };
    }
    match health.renewal() {
        v1::Renewal::RenewsItself => html! { "renews itself" },
        v1::Renewal::NeverEnds => html! { "never" },
        v1::Renewal::Ends | v1::Renewal::Unspecified => when(health.grant_end_time.as_ref()),
    }
}

/// The outcome of a recorded call.
pub(crate) fn outcome(event: &v1::AuditEvent) -> Markup {
    let tone = match event.outcome() {
        v1::AuditOutcome::Ok => Tone::Good,
        v1::AuditOutcome::Denied => Tone::Bad,
        v1::AuditOutcome::Failed => Tone::Warn,
        v1::AuditOutcome::Unspecified => Tone::Quiet,
    };
    badge(tone, &word(event.outcome().as_str_name(), "AUDIT_OUTCOME_"))
}

/// A number with its thousands apart, such as 12,345.
pub(crate) fn number(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_end_with_the_present_one() {
        let now = Timestamp::from_micros(86_400_000_000 * 20_000 + 5);
        assert_eq!(last_days(now, 3), ["2024-10-02", "2024-10-03", "2024-10-04"]);
    }

    #[test]
    fn numbers_have_their_thousands_apart() {
        for (given, read) in [(0, "0"), (999, "999"), (1_000, "1,000"), (-1_234_567, "-1,234,567")] {
            assert_eq!(number(given), read);
        }
    }
}
