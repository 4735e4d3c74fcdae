//! `secrets places|move|check|write-off|own`: where the secrets of connections are kept.

mod check;
mod moving;
mod places;
mod removing;

use clap::Subcommand;

use super::failure::Failure;
use super::output::Output;
use super::serve::{ONE_THREAD, run as run_on};

#[derive(Subcommand, Debug)]
pub(super) enum SecretsCommand {
    /// Show where the secrets of a tenant, or of the platform, are kept, and which stores there are.
    Places(places::PlacesArgs),
    /// Keep the secrets of a tenant, or of the platform, elsewhere, and move those that there are.
    Move(moving::MoveArgs),
    /// Compare an external store with what the database says of it.
    Check(check::CheckArgs),
    /// Give up what a lost store has, so that removals and erasures do not wait for it.
    WriteOff(removing::WriteOffArgs),
    /// Let a vault whose database was restored remove what is not needed any more from its stores.
    Own(removing::OwnArgs),
}

pub(super) fn run(command: SecretsCommand, output: &mut Output) -> Result<(), Failure> {
    run_on(ONE_THREAD, async {
        match command {
            SecretsCommand::Places(arguments) => places::show(arguments, output).await,
            SecretsCommand::Move(arguments) => moving::run(arguments, output).await,
            SecretsCommand::Check(arguments) => check::check(arguments, output).await,
            SecretsCommand::WriteOff(arguments) => removing::write_off(arguments, output).await,
            SecretsCommand::Own(arguments) => removing::own(arguments, output).await,
        }
    })
}
