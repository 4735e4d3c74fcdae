//! `broker`: calls to providers, and how tokens are kept fresh.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use credvault_broker::{Guard, Network, RefreshLimits};
use serde::{Deserialize, Serialize};

use super::problem::Problems;
use super::value::HOUR_SECONDS;

/// The longest interval in hours that a setting may have: a leap year.
const MAX_HOURS: u64 = 24 * 366;

/// `broker` as it was given.
#[derive(Deserialize, Serialize, Clone, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct BrokerSection {
    /// Private addresses that the vault may call, such as those of stores on the operator's own network; by plain http
    /// only if the URL contains the address. Addresses or ranges such as `10.1.0.0/16`.
    pub allowed_networks: Vec<String>,
    /// The most refreshes of one app that a provider gets in any second, from all replicas together; 0 means no limit.
    pub refreshes_per_second: u32,
    /// How long a refresh of unknown outcome is repeated, with growing pauses, before the account's owner must consent
    /// again. It counts where the provider's refresh tokens work once, and for refusals without a known reason.
    pub refresh_retry_hours: u64,
    /// The most refreshes that callers of one tenant may force in a minute (RefreshConnection, TestConnection of a token
    /// that is refused, and `rejected_tag`), from all replicas together; 0 means no limit.
    pub forced_refreshes_per_minute: u32,
    /// The most calls to providers that reports of one service, for one tenant, about one connection may cause in a minute
    /// (`rejected_tag`), in each process; 0 means no limit.
    pub rejection_calls_per_minute: u32,
    /// How often stored credentials are tested at their provider, give or take a fifth; 0 means never.
    pub test_interval_hours: u64,
}

impl Default for BrokerSection {
    fn default() -> Self {
        Self {
            allowed_networks: Vec::new(),
            refreshes_per_second: 50,
            refresh_retry_hours: 168,
            forced_refreshes_per_minute: 60,
            rejection_calls_per_minute: 10,
            test_interval_hours: 24,
        }
    }
}

/// Calls to providers, and how tokens are kept fresh.
#[derive(Clone, Debug)]
pub struct Broker {
    /// Which addresses may be called.
    pub guard: Guard,
    /// How fast tokens are refreshed, and for how long.
    pub refresh_limits: RefreshLimits,
    /// The most refreshes that callers of one tenant may force in a minute; 0 means no limit.
    pub forced_refreshes_per_minute: u32,
    /// The most calls that reports of one service about one connection may cause in a minute; `None` means no limit.
    pub rejection_calls_per_minute: Option<NonZeroU32>,
    /// How often stored credentials are tested; `None` means never.
    pub test_interval: Option<Duration>,
}

impl BrokerSection {
    pub(super) fn check(&self, problems: &mut Problems) -> Broker {
        let network = |(index, text): (usize, &String)| {
            problems.take(&format!("broker.allowed_networks[{index}]"), text.parse::<Network>())
        };
        let networks = self.allowed_networks.iter().enumerate().filter_map(network);
        let guard = Guard::new(networks.collect());
        let hours = self.refresh_retry_hours;
        let give_up_after = problems.number("broker.refresh_retry_hours", hours, 1..=MAX_HOURS);
        let test_interval_hours =
            problems.number("broker.test_interval_hours", self.test_interval_hours, 0..=MAX_HOURS);
        let test_interval = NonZeroU64::new(test_interval_hours);
        Broker {
            guard,
            refresh_limits: RefreshLimits {
                per_second: self.refreshes_per_second,
                give_up_after: Duration::from_secs(give_up_after * HOUR_SECONDS),
            },
            forced_refreshes_per_minute: self.forced_refreshes_per_minute,
            rejection_calls_per_minute: NonZeroU32::new(self.rejection_calls_per_minute),
            test_interval: test_interval.map(|hours| Duration::from_secs(hours.get() * HOUR_SECONDS)),
        }
    }
}
