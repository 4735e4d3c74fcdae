//! Which connections of a tenant a command is about.

use clap::{Args, ValueEnum};
use credvault_domain::Timestamp;

use crate::cli::args::{HealthArg, days};
use crate::cli::client::Client;
use crate::cli::completion::providers_completer;
use crate::cli::failure::Failure;
use crate::cli::near::check_provider;
use crate::cli::times::past;
use crate::grpc::timestamp;
use credvault_proto::v1;

/// Which connections. One must match all that is given.
#[derive(Args, Debug)]
pub(super) struct SelectionArgs {
    /// Only connections at this provider.
    #[arg(long, add = providers_completer())]
    provider: Option<String>,
    /// Only connections with this auth mode.
    #[arg(long)]
    auth_mode: Option<String>,
    /// Only connections with this account name.
    #[arg(long)]
    account: Option<String>,
    /// Only connections of this user.
    #[arg(long, value_name = "USER")]
    owned_by: Option<String>,
    /// Only connections in this state.
    #[arg(long, value_enum)]
    state: Option<StateArg>,
    /// Only connections with this health.
    #[arg(long, value_enum)]
    health: Option<HealthArg>,
    /// Only connections whose grant or key ends within so many days.
    #[arg(long, value_name = "DAYS")]
    ends_within: Option<u32>,
    /// Only connections that are disabled.
    #[arg(long)]
    disabled: bool,
    /// Only this connection. Repeatable, up to 100 times.
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<String>,
    /// Only connections that were created before this day or instant, in UTC, or before a duration ago, such as 2d.
    #[arg(long, value_name = "TIME", value_parser = past)]
    created_before: Option<prost_types::Timestamp>,
    /// Only connections that were created on this day, at this instant, or later, or in the time until now, such as 2d.
    #[arg(long, value_name = "TIME", value_parser = past)]
    created_since: Option<prost_types::Timestamp>,
    /// Only connections that were created, and last fetched if ever, more than this many days ago.
    #[arg(long, value_name = "DAYS")]
    unused_days: Option<u32>,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum StateArg {
    Disconnected,
    Connecting,
    Connected,
    Error,
}

impl StateArg {
    fn state(self) -> v1::ConnectionState {
        match self {
            Self::Disconnected => v1::ConnectionState::Disconnected,
            Self::Connecting => v1::ConnectionState::Connecting,
            Self::Connected => v1::ConnectionState::Connected,
            Self::Error => v1::ConnectionState::Error,
        }
    }
}

impl SelectionArgs {
    /// The selection as the wire has it. Numbers of days count from `now`.
    pub(super) fn selection(&self, now: Timestamp) -> v1::ConnectionSelection {
        let user =
            |user_id: &String| v1::Owner { kind: v1::OwnerKind::User.into(), user_id: user_id.clone() };
        v1::ConnectionSelection {
            ids: self.ids.clone(),
            owner: self.owned_by.as_ref().map(user),
            provider: self.provider.clone().unwrap_or_default(),
            auth_mode: self.auth_mode.clone().unwrap_or_default(),
            account_name: self.account.clone().unwrap_or_default(),
            state: self.state.map_or(v1::ConnectionState::Unspecified, StateArg::state).into(),
            enabled: self.disabled.then_some(false),
            created_before: self.created_before,
            created_since: self.created_since,
            unused_since: self.unused_days.map(|number| timestamp(now.before(days(number)))),
            health: self.health.map_or(v1::HealthState::Unspecified, HealthArg::state).into(),
            ends_before: self.ends_within.map(|number| timestamp(now.after(days(number)))),
        }
    }

    /// Refuses a provider that is not in the catalog. Nothing was found there, and a mistyped name is why. A caller who may not
    /// read the catalog gets no such answer.
    pub(super) async fn check_provider(&self, client: &Client) -> Result<(), Failure> {
        match &self.provider {
            Some(provider) => check_provider(client, provider).await,
            None => Ok(()),
        }
    }

    /// Whether nothing is selected, so that all connections are meant.
    pub(super) fn is_empty(&self) -> bool {
        self.selection(Timestamp::default()) == v1::ConnectionSelection::default()
    }
}
