//! `keys status|rotate|rotate-root|destroy-older-versions|signing-key|rotate-signing-key|rotate-signer|verify-statement`: which
//! keys there are, their rotation, and what the vault has signed.

mod all;
mod rotation;
mod signing;
mod status;
mod versions;

use clap::Subcommand;

use super::failure::Failure;
use super::output::Output;
use super::serve::{ONE_THREAD, run as run_on};

#[derive(Subcommand, Debug)]
pub(super) enum KeysCommand {
    /// Show the root keys, the keys of a tenant or of the platform, and how far their rotations are.
    Status(status::StatusArgs),
    /// Rotate the key of a tenant, of all tenants, or the platform's own, and seal all its records anew.
    Rotate(rotation::RotateArgs),
    /// Move to another root key, or to a new version of the same one, and wrap all tenants' keys anew.
    RotateRoot(rotation::RotateRootArgs),
    /// Destroy all versions of the root key but the newest in its key manager. Without --confirm, only tell what that means.
    DestroyOlderVersions(versions::DestroyArgs),
    /// Show the public keys that the vault's statements verify with, the newest first. Keep them where the vault's operators
    /// cannot change them.
    SigningKey(signing::SigningKeyArgs),
    /// Make another key that the vault signs with. What the one before has signed verifies with its own public key.
    RotateSigningKey(signing::SigningKeyArgs),
    /// Make another signer of audit logs' checkpoints. The one before signs beside it for 30 days, unless it retires at once.
    RotateSigner(signing::RotateSignerArgs),
    /// Verify the statement about an erased tenant. It calls no vault: the file and the public key are enough.
    VerifyStatement(signing::VerifyArgs),
}

pub(super) fn run(command: KeysCommand, output: &mut Output) -> Result<(), Failure> {
    run_on(ONE_THREAD, async {
        match command {
            KeysCommand::Status(arguments) => status::show(arguments, output).await,
            KeysCommand::Rotate(arguments) => rotation::rotate(arguments, output).await,
            KeysCommand::RotateRoot(arguments) => rotation::rotate_root(arguments, output).await,
            KeysCommand::DestroyOlderVersions(arguments) => versions::destroy(arguments, output).await,
            KeysCommand::SigningKey(arguments) => signing::show(&arguments, output).await,
            KeysCommand::RotateSigningKey(arguments) => signing::rotate(&arguments, output).await,
            KeysCommand::RotateSigner(arguments) => signing::rotate_signer(&arguments, output).await,
            KeysCommand::VerifyStatement(arguments) => signing::verify(&arguments, output),
        }
    })
}
