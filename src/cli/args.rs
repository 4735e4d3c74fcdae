//! Arguments that several commands have: the configuration, how to print, pairs of a key and a value, how a connection
//! fares, days and instants.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::output::Format;
use crate::settings::RawSettings;
use credvault_proto::v1;

/// Where the configuration comes from.
#[derive(Args, Debug)]
pub(super) struct ConfigArgs {
    /// The configuration file, TOML or YAML. Without it, only environment and flags give settings.
    #[arg(long, env = "CREDVAULT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// A setting, such as `server.address=0.0.0.0:7443`. Wins over environment and file. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    overrides: Vec<(String, String)>,
}

impl ConfigArgs {
    pub(super) fn read(&self) -> RawSettings {
        RawSettings::read(self.config.as_deref(), std::env::vars_os(), &self.overrides)
    }
}

/// How a client command prints.
#[derive(Args, Debug)]
pub(super) struct OutputArgs {
    /// The format of the output.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(super) output: Format,
}

/// `KEY=VALUE`. The error does not repeat it, for it may be a secret.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// A number of days as a time.
pub(super) fn days(number: u32) -> Duration {
    Duration::from_secs(u64::from(number) * 24 * 3600)
}

/// A day such as 2026-11-21, which means its begin in UTC, or an instant such as 2026-11-21T08:30:00Z.
pub(super) fn instant(text: &str) -> Result<prost_types::Timestamp, String> {
    let rule = "must be a day, such as 2026-11-21, or an instant, such as 2026-11-21T08:30:00Z";
    text.parse().map_err(|_| rule.to_owned())
}

/// How a connection is.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub(super) enum HealthArg {
    /// It has no credential.
    NotConnected,
    /// Nothing is known to be wrong.
    Ok,
    /// Its grant or key ends soon.
    Ending,
    /// Its grant or key has ended.
    Ended,
    /// It does not work.
    Error,
    /// Whether it works is not known.
    Uncertain,
    /// Its provider fails for many.
    ProviderIncident,
}

impl HealthArg {
    /// The same as the wire has it.
    pub(super) fn state(self) -> v1::HealthState {
        match self {
            Self::NotConnected => v1::HealthState::NotConnected,
            Self::Ok => v1::HealthState::Ok,
            Self::Ending => v1::HealthState::Ending,
            Self::Ended => v1::HealthState::Ended,
            Self::Error => v1::HealthState::Error,
            Self::Uncertain => v1::HealthState::Uncertain,
            Self::ProviderIncident => v1::HealthState::ProviderIncident,
        }
    }
}
