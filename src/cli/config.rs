//! `config check` and `config show`.

use clap::{Args, Subcommand};
use credvault_crypto::{RootKeySource, SystemRandom};
use credvault_identity::schema_text;

use super::args::ConfigArgs;
use super::failure::Failure;
use super::output::Output;
use crate::app::Inputs;
use crate::settings::RootKey;
use crate::settings::Shown;
use credvault_domain::chain;

#[derive(Subcommand, Debug)]
pub(super) enum ConfigCommand {
    /// Check everything that can be checked without the database: settings, certificates, policies, catalog, root key.
    Check(ConfigArgs),
    /// Show every setting with its value, secrets hidden, and where the value comes from.
    Show(ShowArgs),
}

#[derive(Args, Debug)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Show the Cedar schema instead: the entities, actions and attributes that policies may use.
    #[arg(long)]
    policy_schema: bool,
}

pub(super) fn run(command: &ConfigCommand, output: &mut Output) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check(arguments) => check(arguments, output),
        ConfigCommand::Show(ShowArgs { policy_schema: true, .. }) => output.line(schema_text().trim_end()),
        ConfigCommand::Show(ShowArgs { config, .. }) => show(config, output),
    }
}

fn show(arguments: &ConfigArgs, output: &mut Output) -> Result<(), Failure> {
    let settings = arguments.read();
    settings.check_reading()?;
    let row = |Shown { key, value, origin }| vec![key, value, origin.to_string()];
    let rows: Vec<_> = settings.shown().into_iter().map(row).collect();
    output.table(&["KEY", "VALUE", "FROM"], &rows)
}

/// Checks all parts, and reports every problem.
fn check(arguments: &ConfigArgs, output: &mut Output) -> Result<(), Failure> {
    let (settings, mut problems) = arguments.read().inspect()?;
    // Whether a root key is the database's own shows at the start, and so does whether a key manager can be used.
    for (section, root) in settings.root_keys.sections() {
        if let RootKey::Local(source) = root {
            let loaded = source.load(None, &SystemRandom).map_err(|error| chain(&error));
            problems.take_within(section, &format!("{section}.{}", setting_of(source)), loaded);
        }
    }
    Inputs::read(&settings, problems)?;
    output.line("the configuration is sound")
}

/// The setting that names a source.
fn setting_of(source: &RootKeySource) -> &'static str {
    match source {
        RootKeySource::File(_) => "file",
        RootKeySource::Environment(_) => "environment_variable",
        RootKeySource::Passphrase(..) => "passphrase",
        // Its settings are those of a key manager.
        RootKeySource::Managed(manager) => manager.kind(),
    }
}
