//! When the owner of a credential is reminded to replace it by hand: as before the end of a grant, and when it is due. It reads
//! no clock and knows no row.

use super::grant::{DAY, WARNING_DAYS};
use crate::Timestamp;

/// When a credential is to be replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RotationDue {
    /// Since when it is there, or since when it is to be replaced at all.
    pub begun: Timestamp,
    /// When it is due.
    pub due: Timestamp,
}

impl RotationDue {
    /// The first reminder that was not sent, whether its time has come or not. `said` is the time up to which all were.
    pub fn next_reminder(&self, said: Option<Timestamp>) -> Option<Timestamp> {
        self.reminders().map(|(time, _)| time).find(|time| said.is_none_or(|said| *time > said))
    }

    /// How many days before it is due the reminder is that is to be sent at `now`: the most urgent, if several are. 0: it is
    /// due.
    pub fn due_reminder(&self, now: Timestamp) -> Option<u32> {
        self.reminders().filter(|(time, _)| *time <= now).last().map(|(_, days)| days)
    }

    /// The reminders, the earliest first: none before the credential was there.
    fn reminders(&self) -> impl Iterator<Item = (Timestamp, u32)> {
        let Self { begun, due } = *self;
        let times = WARNING_DAYS.into_iter().chain([0]).map(move |days| (due.before(DAY * days), days));
        times.filter(move |(time, days)| *days == 0 || *time > begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reminders_come_before_it_is_due_and_then_but_not_before_it_began() {
        let begun = Timestamp::from_micros(1_700_000_000_000_000);
        let long = RotationDue { begun, due: begun.after(DAY * 90) };
        let mut sent = Vec::new();
        let mut now = begun;
        while let Some(next) = long.next_reminder(Some(now)) {
            now = next;
            sent.push((begun.until(now).as_secs() / DAY.as_secs(), long.due_reminder(now)));
        }
        assert_eq!(sent, [(76, Some(14)), (87, Some(3)), (89, Some(1)), (90, Some(0))]);
        assert_eq!(long.due_reminder(begun), None);
        let short = RotationDue { begun, due: begun.after(DAY * 2) };
        assert_eq!(short.next_reminder(Some(begun)), Some(begun.after(DAY)));
        // One that was not sent in its time stays the next one.
        assert_eq!(long.next_reminder(None), Some(begun.after(DAY * 76)));
        // The vault was away: what is most urgent counts.
        assert_eq!(long.due_reminder(begun.after(DAY * 100)), Some(0));
    }
}
