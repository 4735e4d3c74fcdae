//! The limits of a tenant: their names, their bounds, and the values that replace the deployment's defaults. It counts
//! nothing itself.

use std::ops::RangeInclusive;

/// The largest number that a limit can have.
const MAX: u64 = 1_000_000_000;
/// The fewest bytes of answers that serve a tenant: the largest answer has 4 MiB.
const MIN_RESPONSE_BYTES: u64 = 8 * 1024 * 1024;
/// The most bytes of answers, one byte below 4 GiB.
const MAX_RESPONSE_BYTES: u64 = u32::MAX as u64;

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $noun:literal, $bounds:expr, $zero:literal;)*) => {
        /// A limit of a tenant. The names are part of the public contract.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum LimitKind {
            $($(#[$doc])* $name,)*
        }

        impl LimitKind {
            /// Every limit, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The limit's name, as commands, metrics and stored overrides spell it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What the limit counts, in words.
            pub const fn noun(self) -> &'static str {
                match self { $(Self::$name => $noun,)* }
            }

            /// The numbers that it can have, besides 0 where [`LimitKind::has_zero`] says so.
            pub const fn bounds(self) -> RangeInclusive<u64> {
                match self { $(Self::$name => $bounds,)* }
            }

            /// Whether the limit can be 0, which means that there is none.
            pub const fn has_zero(self) -> bool {
                match self { $(Self::$name => $zero,)* }
            }
        }
    };
}

limits! {
    /// Connections of the tenant, deleted ones that are not purged included.
    Connections = "connections", "connections", 1..=MAX, true;
    /// Connections of one user, counted in the same way.
    UserConnections = "user_connections", "connections", 1..=MAX, true;
    /// Versions of one credential that are kept.
    CredentialVersions = "credential_versions", "versions of a credential", 1..=10_000, false;
    /// Bytes of answers in memory at once, on each replica.
    ResponseBytes = "response_bytes", "bytes of answers", MIN_RESPONSE_BYTES..=MAX_RESPONSE_BYTES, true;
    /// Calls per second, on each replica.
    CallsPerSecond = "calls_per_second", "calls", 1..=MAX, true;
    /// Calls per second of one service, on each replica.
    ServiceCallsPerSecond = "service_calls_per_second", "calls", 1..=MAX, true;
    /// Fetches per second, on each replica.
    FetchesPerSecond = "fetches_per_second", "fetches", 1..=MAX, true;
    /// Exchanges of codes for tokens per minute, of all replicas together.
    ExchangesPerMinute = "exchanges_per_minute", "completed consents", 1..=MAX, true;
    /// Refreshes that callers insist on per minute, of all replicas together.
    RefreshesPerMinute = "refreshes_per_minute", "forced refreshes", 1..=MAX, true;
    /// Tests of credentials at their provider per minute that callers ask for, of all replicas together.
    TestsPerMinute = "tests_per_minute", "tests of credentials", 1..=MAX, true;
    /// The part of each of the tenant's rates that one user can have, in percent.
    UserSharePercent = "user_share_percent", "percent", 1..=100, false;
    /// The part of each of the tenant's rates that one service can have, in percent.
    ServiceSharePercent = "service_share_percent", "percent", 1..=100, false;
    /// Days for which audit records are kept.
    AuditDays = "audit_days", "days of audit records", 1..=36_500, true;
}

impl LimitKind {
    /// Reads what [`LimitKind::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }

    /// Whether the limit can have this number.
    pub fn allows(self, value: u64) -> bool {
        self.bounds().contains(&value) || (value == 0 && self.has_zero())
    }

    /// The rule of its numbers, as the end of a sentence.
    pub fn rule(self) -> String {
        let (least, most) = self.bounds().into_inner();
        let zero = if self.has_zero() { ", or 0 for no limit" } else { "" };
        format!("must be {least} to {most}{zero}")
    }
}

const COUNT: usize = LimitKind::ALL.len();

/// A number for every limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitValues([u64; COUNT]);

impl LimitValues {
    /// The numbers that `value` gives.
    pub fn new(value: impl Fn(LimitKind) -> u64) -> Self {
        let mut values = [0; COUNT];
        for (place, kind) in values.iter_mut().zip(LimitKind::ALL) {
            *place = value(*kind);
        }
        Self(values)
    }

    /// The number of one limit. 0 means that there is no limit.
    pub fn of(&self, kind: LimitKind) -> u64 {
        self.0.get(kind as usize).copied().unwrap_or_default()
    }

    /// These numbers, with those of a tenant in place of its own ones.
    #[must_use]
    pub fn overridden(&self, overrides: &LimitOverrides) -> Self {
        Self::new(|kind| overrides.of(kind).unwrap_or(self.of(kind)))
    }
}

/// The numbers that administrators have set for one tenant.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LimitOverrides([Option<u64>; COUNT]);

impl LimitOverrides {
    /// The number that was set for a limit; `None` if the deployment's default counts.
    pub fn of(&self, kind: LimitKind) -> Option<u64> {
        self.0.get(kind as usize).copied().flatten()
    }

    /// Sets the number of a limit, or takes it away.
    pub fn set(&mut self, kind: LimitKind, value: Option<u64>) {
        if let Some(place) = self.0.get_mut(kind as usize) {
            *place = value;
        }
    }

    /// The limits that were set, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (LimitKind, u64)> {
        LimitKind::ALL.iter().filter_map(|kind| Some((*kind, self.of(*kind)?)))
    }
}

/// Which part of a tenant's callers has reached a limit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LimitSubject {
    /// The tenant as a whole.
    Tenant,
    /// One user of it.
    User,
    /// One service that calls for it.
    Service,
}

impl LimitSubject {
    /// The subject in metadata and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::User => "user",
            Self::Service => "service",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_places_are_the_limits_own() {
        let defaults = LimitValues::new(|kind| *kind.bounds().start());
        for kind in LimitKind::ALL.iter().copied() {
            assert_eq!(LimitKind::parse(kind.as_str()), Some(kind));
            let mut overrides = LimitOverrides::default();
            overrides.set(kind, Some(*kind.bounds().end()));
            let values = defaults.overridden(&overrides);
            for other in LimitKind::ALL.iter().copied() {
                let bounds = other.bounds();
                let expected = if other == kind { bounds.end() } else { bounds.start() };
                assert_eq!(values.of(other), *expected, "{kind:?} {other:?}");
            }
            assert_eq!(overrides.iter().collect::<Vec<_>>(), [(kind, *kind.bounds().end())]);
            overrides.set(kind, None);
            assert_eq!(overrides, LimitOverrides::default());
        }
        assert_eq!(LimitKind::parse("CONNECTIONS"), None);
    }

    #[test]
    fn numbers_have_bounds_and_zero_means_no_limit_where_it_can() {
        assert!(LimitKind::Connections.allows(0) && !LimitKind::Connections.allows(1_000_000_001));
        assert!(!LimitKind::CredentialVersions.allows(0) && LimitKind::CredentialVersions.allows(10_000));
        assert!(!LimitKind::UserSharePercent.allows(101) && !LimitKind::ResponseBytes.allows(1));
        assert_eq!(LimitKind::CallsPerSecond.rule(), "must be 1 to 1000000000, or 0 for no limit");
        assert_eq!(LimitKind::ServiceSharePercent.rule(), "must be 1 to 100");
    }
}
