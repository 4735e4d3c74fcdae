//! The command line: its commands, and the exit code of each outcome.

mod access;
mod administered;
mod affected;
mod apps;
mod args;
mod attempts;
mod audit;
mod backup;
mod browser;
mod child;
mod client;
mod completion;
mod config;
mod connect;
mod connect_page;
mod connections;
mod consents;
mod console;
#[cfg(feature = "dev")]
mod demo;
#[cfg(feature = "dev")]
mod demo_script;
mod dependants;
#[cfg(feature = "dev")]
mod dev;
mod distrust;
mod doctor;
mod environment;
mod events;
mod examples;
mod explained;
mod failure;
mod fetch;
mod fetch_many;
#[cfg(feature = "dev")]
mod folder;
mod grouped;
mod import;
mod keys;
mod limits;
mod live;
mod lookup;
mod manual;
mod named;
mod naming;
mod near;
mod output;
mod policy;
mod profile;
mod progress;
mod prompt;
mod providers;
mod rates;
mod requirement;
mod requirements;
mod rpcs;
mod schema;
mod secret_input;
mod secrets;
mod sentences;
mod serve;
mod services;
mod shown;
mod sources;
mod statement;
mod sync;
mod tenants;
mod terminal;
#[cfg(test)]
mod tests;
mod times;
mod tools;
mod usage;
mod users;
mod watching;
mod webhook;
mod whose;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::{CompleteEnv, Shell};

use args::ConfigArgs;
use output::{Format, Output};

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
part, or with a finding.

The manual: docs/command-line.md. `credvault help COMMAND` has the options of a command, and examples.";

/// The variable with which completion scripts call the program.
const COMPLETION: &str = "CREDVAULT_COMPLETE";
/// Printed at the end of the help of `completions`.
const COMPLETIONS_EXAMPLES: &str = "Examples:
  credvault completions bash \\
      > ~/.local/share/bash-completion/completions/credvault
  credvault completions zsh > ~/.zfunc/_credvault
  credvault completions fish > ~/.config/fish/completions/credvault.fish

Write them again after an upgrade.";

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
    /// Run a program with the fields of a connection in its environment.
    #[command(after_help = child::EXAMPLES)]
    Run(child::RunArgs),
    /// Look for what is wrong between here and the vault: profile, certificate, key, port, TLS, clock, policy.
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::DoctorArgs),
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
    /// Open the operators' console in a browser on this machine, for a running vault.
    Console(console::ConsoleArgs),
    /// Import the credentials that another system has stored.
    Import(import::ImportArgs),
    /// Print a script with which a shell completes commands, providers, connections and tenants.
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell to complete for.
        shell: Shell,
    },
    /// Write the manual: a page for each command.
    #[command(after_help = manual::EXAMPLES)]
    Man(manual::ManArgs),
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

/// The command line as it is parsed, completed and documented.
fn program() -> clap::Command {
    let program = examples::with_examples(completion::with_tenants(Cli::command()));
    grouped::with_groups(program).max_term_width(examples::WIDTH)
}

/// What the command line asks for, and whether a command prints for programs in YAML.
fn parsed(arguments: Vec<OsString>) -> Result<(Cli, bool), clap::Error> {
    let matches = program().try_get_matches_from(arguments)?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut program()))?;
    Ok((cli, wants_yaml(&matches)))
}

fn wants_yaml(matches: &ArgMatches) -> bool {
    let mut command = matches;
    while let Some((_, below)) = command.subcommand() {
        command = below;
    }
    // Not every command has the option.
    let given = command.try_get_raw("output").ok().flatten();
    given.is_some_and(|mut words| words.any(|word| word == Format::YAML))
}

/// Runs the program with these arguments, the first being its name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Fails only if a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let here = std::env::current_dir().ok();
    let completing = CompleteEnv::with_factory(program).var(COMPLETION);
    let parsed = match completing.try_complete(arguments.clone(), here.as_deref()) {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => parsed(arguments),
        Err(error) => Err(error),
    };
    let (cli, yaml) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            let error = without_values(error);
            // Help and version are no errors. A failure to print cannot be reported.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { failure::USAGE } else { 0 });
        }
    };
    let mut output = Output::stdout();
    output.in_yaml(yaml);
    match execute(cli.command, &mut output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => explained::explained(failure).report(),
    }
}

fn execute(command: Command, output: &mut Output) -> Result<(), failure::Failure> {
    match command {
        #[cfg(feature = "dev")]
        Command::Dev(arguments) => dev::run(&arguments, output),
        #[cfg(feature = "dev")]
        Command::Demo => demo::run(output),
        Command::Serve(arguments) => serve::serve(&arguments),
        Command::Migrate(arguments) => serve::migrate(&arguments, output),
        Command::Backup(arguments) => backup::run(&arguments, output),
        Command::Restore(arguments) => backup::restore(&arguments, output),
        Command::Config(command) => config::run(&command, output),
        Command::Policy(command) => policy::run(command, output),
        Command::Providers(command) => providers::run(command, output),
        Command::Consents(command) => consents::run(command, output),
        Command::Webhook(command) => webhook::run(command, output),
        Command::Apps(command) => apps::run(command, output),
        Command::Events(command) => events::run(command, output),
        Command::Audit(command) => audit::run(command, output),
        Command::FetchMany(arguments) => fetch_many::run(arguments, output),
        Command::Connections(command) => connections::run(command, output),
        Command::Tenants(command) => tenants::run(command, output),
        Command::Keys(command) => keys::run(command, output),
        Command::Secrets(command) => secrets::run(command, output),
        Command::Users(command) => users::run(command, output),
        Command::Rates(command) => rates::run(command, output),
        Command::Services(command) => services::run(command, output),
        Command::Requirements(command) => requirements::run(command, output),
        Command::Tools(command) => tools::run(command, output),
        Command::Usage(command) => usage::run(command, output),
        Command::Fetch(arguments) => fetch::run(arguments, output),
        Command::Run(arguments) => child::run(arguments),
        Command::Doctor(arguments) => doctor::run(&arguments, output),
        Command::Limits(command) => limits::run(command, output),
        Command::Sources(command) => sources::run(command, output),
        Command::Sync(command) => sync::run(command, output),
        Command::Dependants(arguments) => dependants::run(arguments, output),
        Command::Console(arguments) => console::run(arguments, output),
        Command::Import(arguments) => import::run(arguments, output),
        Command::Completions { shell } => completions(shell, output),
        Command::Man(arguments) => manual::run(&arguments, program(), output),
    }
}

/// Prints the script for a shell. It calls this program back, which asks the vault for providers and connections.
fn completions(shell: Shell, output: &mut Output) -> Result<(), failure::Failure> {
    let mut script: Vec<u8> = Vec::new();
    let shells = clap_complete::env::Shells::builtins();
    if let Some(shell) = shells.completer(&shell.to_string()) {
        shell.write_registration(COMPLETION, "credvault", "credvault", "credvault", &mut script)?;
    }
    output.line(String::from_utf8_lossy(&script).trim_end())
}
