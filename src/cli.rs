//! The command line: its commands, and the exit code of each outcome.

mod affected;
mod apps;
mod args;
mod attempts;
mod audit;
mod backup;
mod client;
mod config;
mod connect;
mod connect_page;
mod connections;
mod consents;
#[cfg(feature = "dev")]
mod demo;
#[cfg(feature = "dev")]
mod demo_script;
mod dependants;
#[cfg(feature = "dev")]
mod dev;
mod events;
#[cfg(test)]
mod every_rpc;
mod examples;
mod failure;
mod fetch;
mod fetch_many;
#[cfg(feature = "dev")]
mod folder;
mod import;
mod keys;
mod limits;
mod lookup;
mod named;
mod output;
mod policy;
mod progress;
mod prompt;
mod providers;
mod rates;
mod requirement;
mod requirements;
mod schema;
mod secret_input;
mod secrets;
mod serve;
mod services;
mod shown;
mod sources;
mod statement;
mod sync;
mod tenants;
mod tools;
mod usage;
mod users;
mod watching;
mod webhook;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::Shell;

use args::ConfigArgs;
use output::Output;

/// A vault for the third-party credentials of your customers, served to your services over mTLS gRPC.
#[derive(Parser, Debug)]
#[command(name = "credvault", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Printed by `--help` and stated in docs/command-line.md.
const EXIT_CODES: &str = "Exit codes: 0 done; 1 unexpected failure; 2 wrong usage or configuration; 3 refused \
(certificate, token, tenant or policy); 4 not found; 5 invalid or in the wrong state; 6 unavailable, try again; 7 done in \
part, or with a finding.";

#[derive(Subcommand, Debug)]
enum Command {
    /// Run a vault in one folder: show its four main outcomes, then serve until stopped.
    #[cfg(feature = "dev")]
    Dev(dev::DevArgs),
    /// Show the four main outcomes on a temporary vault, then delete it.
    #[cfg(feature = "dev")]
    Demo,
    /// Serve callers until stopped.
    Serve(ConfigArgs),
    /// Prepare the database: roles, schema, grants. Changes nothing that is up to date.
    Migrate(ConfigArgs),
    /// Write everything that the vault holds into one sealed file, beside a vault that runs, or check such a file.
    Backup(backup::BackupArgs),
    /// Restore a backup into an empty database of either kind.
    Restore(backup::RestoreArgs),
    /// Check or show the configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Ask what the policies say about a call that might be made.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Look at the catalog of providers on a running vault.
    #[command(subcommand)]
    Providers(providers::ProvidersCommand),
    /// Work with connections on a running vault.
    #[command(subcommand)]
    Connections(connections::ConnectionsCommand),
    /// Begin and complete consents for a back end of your own; `connections connect` does it at once.
    #[command(subcommand)]
    Consents(consents::ConsentsCommand),
    /// Verify webhooks of providers with secrets that stay in the vault.
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    /// Create tenants, suspend and erase them; look at a tenant's connections as an administrator, and change many of them.
    #[command(subcommand)]
    Tenants(tenants::TenantsCommand),
    /// Look at a tenant's users as an administrator, and delete one.
    #[command(subcommand)]
    Users(users::UsersCommand),
    /// Register the OAuth apps that the platform, or a tenant, has at providers.
    #[command(subcommand)]
    Apps(apps::AppsCommand),
    /// Register where the vault sends events to, and look at what became of them.
    #[command(subcommand)]
    Events(events::EventsCommand),
    /// Look at who called what: list, count and export the records of the audit log.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Look at how consents, refreshes and tests ended, as an administrator.
    #[command(subcommand)]
    Rates(rates::RatesCommand),
    /// Switch internal services on or off on a running vault, with the connections that they use.
    #[command(subcommand)]
    Services(services::ServicesCommand),
    /// Check what tools require on a running vault.
    #[command(subcommand)]
    Requirements(requirements::RequirementsCommand),
    /// Register what tools require on a running vault.
    #[command(subcommand)]
    Tools(tools::ToolsCommand),
    /// Show what connections were used for, or report it.
    #[command(subcommand)]
    Usage(usage::UsageCommand),
    /// Fetch a credential from a running vault.
    Fetch(fetch::FetchArgs),
    /// Fetch up to 100 credentials by one call, each with its own outcome.
    FetchMany(fetch_many::FetchManyArgs),
    /// Show or set the limits of a tenant of a running vault.
    #[command(subcommand)]
    Limits(limits::LimitsCommand),
    /// Show or set the addresses from which services may call for a tenant.
    #[command(subcommand)]
    Sources(sources::SourcesCommand),
    /// Report and show how far the resources of a connection are synchronised, on a running vault.
    #[command(subcommand)]
    Sync(sync::SyncCommand),
    /// Show which keys there are, rotate them while the vault serves, and verify what the vault has signed.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Look at where secrets are kept on a running vault, and move them between the database and external stores.
    #[command(subcommand)]
    Secrets(secrets::SecretsCommand),
    /// List the tenants and users that still depend on the platform's shared credentials.
    Dependants(dependants::DependantsArgs),
    /// Import the credentials that another system has stored.
    Import(import::ImportArgs),
    /// Print completions for a shell.
    Completions {
        /// The shell to complete for.
        shell: Shell,
    },
}

/// Removes given values from a message about the command line, unless they can only be names: a value in the wrong place
/// may be a secret.
fn without_values(mut error: clap::Error) -> clap::Error {
    for kind in [ContextKind::InvalidArg, ContextKind::InvalidValue, ContextKind::InvalidSubcommand] {
        let Some(ContextValue::String(given)) = error.get(kind) else { continue };
        let name = given.split(['=', ' ']).next().unwrap_or_default();
        let plain = |c: char| c.is_ascii_lowercase() || c == '-';
        let shown =
            if name.len() <= 32 && name.chars().all(plain) { name.to_owned() } else { "…".to_owned() };
        error.insert(kind, ContextValue::String(shown));
    }
    error
}

/// What the arguments ask for, or the code with which the program ends because they ask for help, or are wrong.
fn parsed(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, ExitCode> {
    let program = examples::with_examples(Cli::command());
    let found = program.try_get_matches_from(arguments);
    found.and_then(|found| Cli::from_arg_matches(&found)).map_err(|error| {
        let error = without_values(error);
        // Help and version are no errors. A failure to print cannot be reported.
        let _ = error.print();
        ExitCode::from(if error.use_stderr() { failure::USAGE } else { 0 })
    })
}

/// Runs the program with these arguments, the first being its name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Fails only if a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = match parsed(arguments) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let mut output = Output::stdout();
    let result = match cli.command {
        #[cfg(feature = "dev")]
        Command::Dev(arguments) => dev::run(&arguments, &mut output),
        #[cfg(feature = "dev")]
        Command::Demo => demo::run(&mut output),
        Command::Serve(arguments) => serve::serve(&arguments),
        Command::Migrate(arguments) => serve::migrate(&arguments, &mut output),
        Command::Backup(arguments) => backup::run(&arguments, &mut output),
        Command::Restore(arguments) => backup::restore(&arguments, &mut output),
        Command::Config(command) => config::run(&command, &mut output),
        Command::Policy(command) => policy::run(command, &mut output),
        Command::Providers(command) => providers::run(command, &mut output),
        Command::Consents(command) => consents::run(command, &mut output),
        Command::Webhook(command) => webhook::run(command, &mut output),
        Command::Apps(command) => apps::run(command, &mut output),
        Command::Events(command) => events::run(command, &mut output),
        Command::Audit(command) => audit::run(command, &mut output),
        Command::FetchMany(arguments) => fetch_many::run(arguments, &mut output),
        Command::Connections(command) => connections::run(command, &mut output),
        Command::Tenants(command) => tenants::run(command, &mut output),
        Command::Keys(command) => keys::run(command, &mut output),
        Command::Secrets(command) => secrets::run(command, &mut output),
        Command::Users(command) => users::run(command, &mut output),
        Command::Rates(command) => rates::run(command, &mut output),
        Command::Services(command) => services::run(command, &mut output),
        Command::Requirements(command) => requirements::run(command, &mut output),
        Command::Tools(command) => tools::run(command, &mut output),
        Command::Usage(command) => usage::run(command, &mut output),
        Command::Fetch(arguments) => fetch::run(arguments, &mut output),
        Command::Limits(command) => limits::run(command, &mut output),
        Command::Sources(command) => sources::run(command, &mut output),
        Command::Sync(command) => sync::run(command, &mut output),
        Command::Dependants(arguments) => dependants::run(arguments, &mut output),
        Command::Import(arguments) => import::run(arguments, &mut output),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "credvault", &mut script);
            output.line(String::from_utf8_lossy(&script).trim_end())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
