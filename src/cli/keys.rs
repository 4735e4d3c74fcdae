//! `keys signing-key|verify-statement`: the key that the vault signs with, and what it has signed.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::args::OutputArgs;
use super::client::{ClientArgs, unreadable};
use super::failure::Failure;
use super::output::{Format, Output};
use super::serve::{ONE_THREAD, run as run_on};
use super::statement::{public_key, verified};
use credvault_proto::v1;

#[derive(Subcommand, Debug)]
pub(super) enum KeysCommand {
    /// Show the public key that the vault's statements verify with. Keep it where the vault's operators cannot change it.
    SigningKey(SigningKeyArgs),
    /// Verify the statement about an erased tenant. It calls no vault: the file and the public key are enough.
    VerifyStatement(VerifyArgs),
}

#[derive(Args, Debug)]
pub(super) struct SigningKeyArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct VerifyArgs {
    /// The file of the statement.
    file: PathBuf,
    /// The vault's public key, as `keys signing-key` prints it.
    #[arg(long, value_name = "KEY")]
    public_key: String,
}

pub(super) fn run(command: KeysCommand, output: &mut Output) -> Result<(), Failure> {
    match command {
        KeysCommand::SigningKey(arguments) => {
            run_on(ONE_THREAD, async { show_signing_key(&arguments, output).await })
        }
        KeysCommand::VerifyStatement(arguments) => verify(&arguments, output),
    }
}

async fn show_signing_key(arguments: &SigningKeyArgs, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.client.connect().await?;
    let key = client.admin().get_signing_key(v1::GetSigningKeyRequest {}).await?.into_inner();
    match arguments.output.output {
        Format::Json => output.json("GetSigningKeyResponse", &key),
        Format::Table => {
            output.table(&["ID", "PUBLIC KEY"], &[vec![key.id, STANDARD.encode(key.public_key)]])
        }
    }
}

fn verify(arguments: &VerifyArgs, output: &mut Output) -> Result<(), Failure> {
    let key = public_key(&arguments.public_key)?;
    let text = std::fs::read_to_string(&arguments.file);
    let text = text.map_err(|error| unreadable(&arguments.file, &error))?;
    let statement = verified(&text, &key)?;
    let member = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    output.line::<Failure>("the statement is valid")?;
    let (backups, facts) = (&statement["backups"], ["tenant", "confirmed", "finished", "signing_key"]);
    let mut row: Vec<String> = facts.iter().map(|name| member(&statement[*name])).collect();
    row.push(member(&backups["dead_after"]));
    let headings = ["TENANT", "KEYS DESTROYED", "ROWS REMOVED", "SIGNED BY", "DELETE OLDER BACKUPS UNTIL"];
    output.table(&headings, &[row])
}
