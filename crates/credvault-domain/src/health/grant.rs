//! The life of a grant: whether it renews itself, when it ends, and when its owner is warned. It reads no clock and knows no
//! row.

use std::time::Duration;

use crate::Timestamp;

/// How many days before its end the owner of a grant is warned, the earliest first.
pub(super) const WARNING_DAYS: [u32; 3] = [14, 3, 1];
/// A day, in which ends and warnings are counted.
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);
/// The part of its life, in tenths, that a grant which renews itself has left when the renewal is late: the vault renews it
/// at about half.
const LATE_TENTHS: u32 = 3;
/// The least time between two refreshes from which it can be told whether the second one renewed the grant.
const TELLING_TIME: Duration = Duration::from_secs(3600);

/// Whether a connection goes on without its owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Renewal {
    /// The vault renews it; it ends only if renewing it fails for long.
    RenewsItself,
    /// It ends at a fixed time, and only a new consent or a new credential goes beyond that.
    Ends,
    /// It does not end by itself.
    NeverEnds,
}

impl Renewal {
    const ALL: [Self; 3] = [Self::RenewsItself, Self::Ends, Self::NeverEnds];

    /// The class as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RenewsItself => "RENEWS_ITSELF",
            Self::Ends => "ENDS",
            Self::NeverEnds => "NEVER_ENDS",
        }
    }

    /// Reads what [`Renewal::as_str`] wrote.
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|renewal| renewal.as_str() == text)
    }
}

/// What catalog and answer say about a grant when a credential is stored or tokens are refreshed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Whether a refresh renews it.
    pub renewal: Renewal,
    /// When it ends unless it is renewed before; `None` if that is not known, or never.
    pub end: Option<Timestamp>,
    /// How long a consent lasts, whatever is refreshed meanwhile.
    pub lifetime: Option<Duration>,
}

impl Grant {
    /// A credential that the vault cannot renew, until `end` if it has one.
    pub fn fixed(end: Option<Timestamp>) -> Self {
        let renewal = if end.is_some() { Renewal::Ends } else { Renewal::NeverEnds };
        Self { renewal, end, lifetime: None }
    }

    /// A grant that every refresh renews, until `end` without one.
    pub fn renewed(end: Option<Timestamp>) -> Self {
        Self { renewal: Renewal::RenewsItself, end, lifetime: None }
    }
}

/// The life of a stored grant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GrantLife {
    /// Whether it goes on without its owner.
    pub renewal: Renewal,
    /// When it began: with a consent or a credential.
    pub begun: Timestamp,
    /// When it was last renewed, or began.
    pub renewed: Timestamp,
    /// When its consent ends, whatever is refreshed.
    pub consent_end: Option<Timestamp>,
    /// When a refresh made at [`GrantLife::renewed`] says that it ends.
    pub named_end: Option<Timestamp>,
}

impl GrantLife {
    /// The life of a grant that begins at `now`.
    pub fn begun(grant: Grant, now: Timestamp) -> Self {
        let consent_end = grant.lifetime.map(|lifetime| now.after(lifetime));
        Self { renewal: grant.renewal, begun: now, renewed: now, consent_end, named_end: grant.end }
    }

    /// The life after a refresh at `now`. A refresh that does not move the end that the provider names shows that the grant
    /// ends all the same.
    #[must_use]
    pub fn after_refresh(self, grant: Grant, now: Timestamp) -> Self {
        let passed = self.renewed.until(now);
        let moved = self.named_end.zip(grant.end).map(|(before, after)| before.until(after));
        let (renewal, renewed) = match (grant.renewal, moved) {
            (Renewal::RenewsItself, Some(_)) if passed < TELLING_TIME => (self.renewal, self.renewed),
            (Renewal::RenewsItself, Some(moved)) if moved < passed / 10 => (Renewal::Ends, now),
            (told, _) => (told, now),
        };
        let named_end = if renewed == now { grant.end } else { self.named_end.max(grant.end) };
        Self { renewal, renewed, named_end, ..self }
    }

    /// Whether it goes on without its owner: not if its consent ends.
    pub fn class(&self) -> Renewal {
        if self.consent_end.is_some() { Renewal::Ends } else { self.renewal }
    }

    /// When it ends; `None` if that is not known, or never.
    pub fn end(&self) -> Option<Timestamp> {
        match (self.consent_end, self.named_end) {
            // Refreshes move the end that was named, so only the consent's is one.
            (Some(consent), Some(_)) if self.renewal == Renewal::RenewsItself => Some(consent),
            (Some(consent), Some(named)) => Some(consent.min(named)),
            (consent, named) => consent.or(named),
        }
    }

    /// Since when it counts as ending.
    pub fn ending(&self) -> Option<Timestamp> {
        let end = self.end()?;
        let longest = DAY * WARNING_DAYS[0];
        Some(end.before(self.late().map_or(longest, |late| late.min(longest))))
    }

    /// The next warning after `now`.
    pub fn next_warning(&self, now: Timestamp) -> Option<Timestamp> {
        self.warnings().map(|(time, _)| time).find(|time| *time > now)
    }

    /// How many days before the end the warning is that is due at `now`: the most urgent, if several are. `None` if the end
    /// has come, too.
    pub fn due_warning(&self, now: Timestamp) -> Option<u32> {
        self.end().filter(|end| *end > now)?;
        self.warnings().filter(|(time, _)| *time <= now).last().map(|(_, days)| days)
    }

    /// Whether the owner had been warned of the end by `now`, where `next` is the warning that is to be sent next.
    pub fn has_warned(&self, next: Option<Timestamp>, now: Timestamp) -> bool {
        let sent = |time: Timestamp| time <= now && next.is_none_or(|next| next > time);
        self.warnings().any(|(time, _)| sent(time))
    }

    /// The warnings, the earliest first: not before the grant began, and none that a grant which renews itself in time
    /// would get.
    fn warnings(&self) -> impl Iterator<Item = (Timestamp, u32)> {
        let life = *self;
        WARNING_DAYS.into_iter().filter_map(move |days| {
            let time = life.end()?.before(DAY * days);
            let is_late = life.late().is_none_or(|late| DAY * days <= late);
            (time > life.begun && is_late).then_some((time, days))
        })
    }

    /// How long before its end a renewal is late, if it is renewed at all.
    fn late(&self) -> Option<Duration> {
        let end = self.named_end.filter(|_| self.class() == Renewal::RenewsItself)?;
        Some(self.renewed.until(end) * LATE_TENTHS / 10)
    }
}

#[cfg(test)]
mod tests;
