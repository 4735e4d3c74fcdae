//! `keys signing-key|rotate-signing-key|rotate-signer|verify-statement`: the keys that the vault signs with, and what it has signed.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::Value;

use crate::cli::args::OutputArgs;
use crate::cli::client::{ClientArgs, unreadable};
use crate::cli::failure::Failure;
use crate::cli::lookup::{request_id, time_text};
use crate::cli::output::{Format, Output};
use crate::cli::statement::{public_key, verified};
use credvault_proto::v1;

#[derive(Args, Debug)]
pub(in crate::cli) struct SigningKeyArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct RotateSignerArgs {
    /// The signer before stops signing now, because its key may have leaked.
    #[arg(long)]
    retire_at_once: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct VerifyArgs {
    /// The file of the statement.
    file: PathBuf,
    /// The vault's public key, as `keys signing-key` prints it; of several, the one whose id the statement names.
    #[arg(long, value_name = "KEY")]
    public_key: String,
}

pub(super) async fn show(arguments: &SigningKeyArgs, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.client.connect().await?;
    let key = client.admin().get_signing_key(v1::GetSigningKeyRequest {}).await?.into_inner();
    match arguments.output.output {
        Format::Json => output.json("GetSigningKeyResponse", &key),
        Format::Table => output.table(&HEADINGS, &key.keys.iter().map(row).collect::<Vec<_>>()),
    }
}

pub(super) async fn rotate(arguments: &SigningKeyArgs, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.client.connect().await?;
    let request = v1::RotateSigningKeyRequest { request_id: request_id()? };
    let made = client.admin().rotate_signing_key(request).await?.into_inner();
    match arguments.output.output {
        Format::Json => output.json("RotateSigningKeyResponse", &made),
        Format::Table => output.table(&HEADINGS, &made.key.iter().map(row).collect::<Vec<_>>()),
    }
}

pub(super) async fn rotate_signer(arguments: &RotateSignerArgs, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.client.connect().await?;
    let retire_at_once = arguments.retire_at_once;
    let request = v1::RotateAuditSignerRequest { retire_at_once, request_id: request_id()? };
    let made = client.admin().rotate_audit_signer(request).await?.into_inner();
    let row = |signer: &v1::AuditSigner| {
        let public_key = STANDARD.encode(&signer.public_key);
        let since = time_text(signer.create_time.as_ref());
        vec![signer.number.to_string(), signer.vault.clone(), public_key, since]
    };
    match arguments.output.output {
        Format::Json => output.json("RotateAuditSignerResponse", &made),
        Format::Table => output.table(
            &["NUMBER", "VAULT", "PUBLIC KEY", "SIGNS SINCE"],
            &made.signer.iter().map(row).collect::<Vec<_>>(),
        ),
    }
}

const HEADINGS: [&str; 3] = ["ID", "PUBLIC KEY", "SIGNS SINCE"];

fn row(key: &v1::SigningKey) -> Vec<String> {
    vec![key.id.clone(), STANDARD.encode(&key.public_key), time_text(key.create_time.as_ref())]
}

pub(super) fn verify(arguments: &VerifyArgs, output: &mut Output) -> Result<(), Failure> {
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
