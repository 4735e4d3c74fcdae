//! `limits`: how much is served at once. `docs/limits.md` says which attack each limit is for.

use std::num::NonZeroU32;
use std::time::Duration;

use credvault_domain::LimitKind;
use serde::{Deserialize, Serialize};

use super::problem::Problems;
use super::value::YEAR_SECONDS;

/// The most connections, handshakes or calls at once that a setting may allow.
const MAX_AT_ONCE: usize = 1_000_000;
/// The fewest bytes of answers: a service has a quarter of them, which must hold the largest answer, 4 MiB.
const MIN_RESPONSE_BYTES: usize = 16 * 1024 * 1024;
/// The most bytes of answers, one byte below 4 GiB: the room counts bytes in 32 bits.
const MAX_RESPONSE_BYTES: usize = u32::MAX as usize;

/// `limits` as it was given.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsSection {
    /// Connections at once; further ones are closed.
    pub connections: usize,
    /// Connections of one address at once (with IPv6 of a /64); 0 means as many as `connections`.
    pub connections_per_address: usize,
    /// TLS handshakes at once; further ones wait.
    pub handshakes: usize,
    /// TLS handshakes of one address at once; 0 means as many as `handshakes`.
    pub handshakes_per_address: usize,
    /// Calls at once; further ones are refused with `RATE_LIMITED`.
    pub calls: usize,
    /// Calls per second of one service for one tenant; 0 means no limit.
    pub rate_per_second: u32,
    /// Calls of one service for one tenant at the same moment; 0 means as many as `rate_per_second`, without which there
    /// is no burst.
    pub rate_burst: u32,
    /// Calls per second for one tenant; 0 means no limit.
    pub tenant_calls_per_second: u32,
    /// Fetches per second for one tenant; 0 means no limit.
    pub tenant_fetches_per_second: u32,
    /// Consents that the callers of one tenant may complete in a minute, from all replicas together; 0 means no limit.
    pub exchanges_per_minute: u32,
    /// Tests at providers that the callers of one tenant may cause in a minute, from all replicas together; 0 means no
    /// limit.
    pub tests_per_minute: u32,
    /// The part of each rate of a tenant that one of its users can have, in percent.
    pub user_share_percent: u32,
    /// The part of each rate of a tenant that one service can have, in percent.
    pub service_share_percent: u32,
    /// Bytes of answers of one tenant in memory at once; 0 means no limit other than that of services.
    pub tenant_response_bytes: u32,
    /// The deadline of a call that names none (a call may ask for up to 60 s).
    pub default_deadline_seconds: u64,
    /// The age, give or take a tenth, at which the server asks a client to reconnect.
    pub max_connection_age_seconds: u64,
    /// How long callers may keep a fetched credential.
    pub cache_seconds: u64,
    /// Bytes of answers in memory at once, being made or not read by their clients yet; at least 16 MiB. A service has a
    /// quarter at most.
    pub response_bytes: usize,
    /// How long a client may leave an answer unread, up to twice that, before its connection ends.
    pub unread_response_seconds: u64,
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_address: 1024,
            handshakes: 256,
            handshakes_per_address: 32,
            calls: 2048,
            rate_per_second: 0,
            rate_burst: 0,
            tenant_calls_per_second: 0,
            tenant_fetches_per_second: 0,
            exchanges_per_minute: 120,
            tests_per_minute: 120,
            user_share_percent: 75,
            service_share_percent: 75,
            tenant_response_bytes: 0,
            default_deadline_seconds: 10,
            max_connection_age_seconds: 1800,
            cache_seconds: 60,
            response_bytes: 64 * 1024 * 1024,
            unread_response_seconds: 30,
        }
    }
}

/// How much is served at once.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The most connections at once.
    pub connections: usize,
    /// Connections of one address at once; 0 means as many as `connections`.
    pub connections_per_address: usize,
    /// TLS handshakes at once.
    pub handshakes: usize,
    /// TLS handshakes of one address at once; 0 means as many as `handshakes`.
    pub handshakes_per_address: usize,
    /// Calls at once, 1 or more.
    pub calls: usize,
    /// How many calls of one service for one tenant may come at once; `None` means as many as in a second.
    pub rate_burst: Option<NonZeroU32>,
    /// The limits of a tenant that has none of its own, as they were given.
    section: LimitsSection,
    /// The deadline of a call that names none.
    pub deadline: Duration,
    /// The age at which the server asks a client to reconnect.
    pub max_connection_age: Duration,
    /// How long callers may keep a fetched credential.
    pub cache: Duration,
    /// Bytes of answers in memory at once.
    pub response_bytes: usize,
    /// How long a client may leave an answer unread, up to twice that.
    pub unread_response_wait: Duration,
}

impl LimitsSection {
    pub(super) fn check(&self, problems: &mut Problems) -> Limits {
        let mut at_once =
            |key: &str, value: usize, least: usize| problems.number(key, value, least..=MAX_AT_ONCE);
        let connections = at_once("limits.connections", self.connections, 1);
        let connections_per_address =
            at_once("limits.connections_per_address", self.connections_per_address, 0);
        let handshakes = at_once("limits.handshakes", self.handshakes, 1);
        let handshakes_per_address = at_once("limits.handshakes_per_address", self.handshakes_per_address, 0);
        let calls = at_once("limits.calls", self.calls, 1);
        let bytes = MIN_RESPONSE_BYTES..=MAX_RESPONSE_BYTES;
        let age = self.max_connection_age_seconds;
        Limits {
            connections,
            connections_per_address,
            handshakes,
            handshakes_per_address,
            calls,
            rate_burst: self.burst(problems),
            section: self.tenant_limits(problems),
            deadline: problems.seconds(
                "limits.default_deadline_seconds",
                self.default_deadline_seconds,
                1..=60,
            ),
            max_connection_age: problems.seconds("limits.max_connection_age_seconds", age, 1..=YEAR_SECONDS),
            cache: problems.seconds("limits.cache_seconds", self.cache_seconds, 0..=YEAR_SECONDS),
            response_bytes: problems.number("limits.response_bytes", self.response_bytes, bytes),
            unread_response_wait: problems.seconds(
                "limits.unread_response_seconds",
                self.unread_response_seconds,
                1..=3600,
            ),
        }
    }

    fn burst(&self, problems: &mut Problems) -> Option<NonZeroU32> {
        if self.rate_burst > 0 && self.rate_per_second == 0 {
            let rule = "needs limits.rate_per_second: set that, too, or leave this out";
            problems.refuse("limits.rate_burst", rule);
        }
        NonZeroU32::new(self.rate_burst)
    }

    /// Holds the limits of tenants against their bounds.
    fn tenant_limits(&self, problems: &mut Problems) -> Self {
        for kind in LimitKind::ALL.iter().copied() {
            if let Some((key, _)) = self.of_tenant(kind).filter(|(_, value)| !kind.allows(*value)) {
                problems.refuse(key, kind.rule());
            }
        }
        self.clone()
    }

    /// The setting of a limit of tenants, and its value; `None` for those of other sections.
    fn of_tenant(&self, kind: LimitKind) -> Option<(&'static str, u64)> {
        let (key, value) = match kind {
            LimitKind::Connections
            | LimitKind::UserConnections
            | LimitKind::CredentialVersions
            | LimitKind::AuditDays
            | LimitKind::RefreshesPerMinute => return None,
            LimitKind::ResponseBytes => ("limits.tenant_response_bytes", self.tenant_response_bytes),
            LimitKind::CallsPerSecond => ("limits.tenant_calls_per_second", self.tenant_calls_per_second),
            LimitKind::ServiceCallsPerSecond => ("limits.rate_per_second", self.rate_per_second),
            LimitKind::FetchesPerSecond => {
                ("limits.tenant_fetches_per_second", self.tenant_fetches_per_second)
            }
            LimitKind::ExchangesPerMinute => ("limits.exchanges_per_minute", self.exchanges_per_minute),
            LimitKind::TestsPerMinute => ("limits.tests_per_minute", self.tests_per_minute),
            LimitKind::UserSharePercent => ("limits.user_share_percent", self.user_share_percent),
            LimitKind::ServiceSharePercent => ("limits.service_share_percent", self.service_share_percent),
        };
        Some((key, u64::from(value)))
    }
}

impl Limits {
    /// A limit of tenants that have none of their own, if it is one of this section; else 0.
    pub fn of_tenant(&self, kind: LimitKind) -> u64 {
        self.section.of_tenant(kind).map_or(0, |(_, value)| value)
    }
}
