//! Arguments that several commands have: the configuration, how to print, pairs of a key and a value.

use std::path::PathBuf;

use clap::Args;

use super::output::Format;
use crate::settings::RawSettings;

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
