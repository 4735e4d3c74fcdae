//! `config check` and `config show`.

use anyhow::Context as _;
use clap::{Args, Subcommand};
use credvault_catalog::Catalog;
use credvault_identity::schema_text;

use super::ConfigArgs;
use super::failure::Failure;
use crate::output::Output;
use crate::reload;
use crate::serve::load_identity;
use crate::server;
use crate::telemetry;

#[derive(Subcommand, Debug)]
pub(super) enum ConfigCommand {
    /// Check everything that can be checked without the database: settings, certificates, policies, catalog, root key.
    Check(ConfigArgs),
    /// Show the settings in effect, without secrets.
    Show(ShowArgs),
}

#[derive(Args, Debug)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Show instead what policies may speak of: Cedar's schema.
    #[arg(long)]
    policy_schema: bool,
}

pub(super) fn run(command: &ConfigCommand, output: &mut Output) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check(arguments) => check(arguments, output),
        ConfigCommand::Show(ShowArgs { policy_schema: true, .. }) => output.line(schema_text().trim_end()),
        ConfigCommand::Show(ShowArgs { config, .. }) => {
            let text = toml::to_string(&config.load()?).context("the settings cannot be shown")?;
            output.line(text.trim_end())
        }
    }
}

/// Checks all parts, and names every broken one, not the first only.
fn check(arguments: &ConfigArgs, output: &mut Output) -> Result<(), Failure> {
    let settings = arguments.load()?;
    let mut problems = Vec::new();
    let mut note = |result: Result<(), String>| problems.extend(result.err());
    note(
        Catalog::load(settings.catalog.folder.as_deref())
            .map(|_| ())
            .map_err(|error| credvault_domain::chain(&error)),
    );
    note(load_identity(&settings).map(|_| ()).map_err(|error| credvault_domain::chain(&error)));
    note(reload::server_files(&settings).and_then(|files| server::check(&files.chain, &files.key)));
    note(telemetry::check(&settings.telemetry));
    if credvault_store::Database::of_url(&settings.store.url).is_none() {
        note(Err("store.url must begin with postgres:// or sqlite:".to_owned()));
    }
    note(settings.store.check().map_err(|error| error.to_string()));
    note(root_key(&settings));
    if problems.is_empty() {
        return output.line("the configuration is sound");
    }
    Err(Failure::Usage(problems.join("\nerror: ")))
}

/// A root key that can be read. Whether it is the database's own shows at the start.
fn root_key(settings: &crate::settings::Settings) -> Result<(), String> {
    let source = settings.root_key.source().map_err(|error| error.to_string())?;
    source
        .load(None, &credvault_crypto::SystemRandom)
        .map(|_| ())
        .map_err(|error| credvault_domain::chain(&error))
}
