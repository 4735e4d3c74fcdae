//! `backup verify`: whether a backup is whole, and of the vault that it should be of.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use credvault_crypto::SystemRandom;
use credvault_domain::Random;
use credvault_store::{Verified, verify_backup};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::encoded::{hex, public_key, time};
use super::file::open;
use super::progress::Progress;
use crate::app::root_key_sources;
use crate::cli::args::{ConfigArgs, OutputArgs};
use crate::cli::failure::Failure;
use crate::cli::output::{Format, Output};
use crate::cli::serve::{harden, run as run_on, terminated};

#[derive(Args, Debug)]
pub(super) struct VerifyArgs {
    /// The backup; `-` for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A public key of the vault that must have signed the backup, in base64. Given several times, each of them may have.
    #[arg(long, value_name = "KEY", value_parser = public_key)]
    public_key: Vec<[u8; 32]>,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(arguments: &VerifyArgs, output: &mut Output) -> Result<(), Failure> {
    harden()?;
    let (root_keys, keys) = arguments.config.read().check_root_keys()?;
    let (mut from, bytes) = open(&arguments.file)?;
    let mut progress = Progress::new(bytes);
    let public_keys = arguments.public_key.clone();
    let verified = run_on(None, async {
        let stop = terminated()?;
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let sources = root_key_sources(&root_keys, &keys, &random).await?;
        // A thread of its own: it reads and computes without a pause, or waits for what another program writes.
        let runtime = Handle::current();
        let verifying = spawn_blocking(move || {
            let mut show = |at: credvault_store::BackupProgress<'_>| progress.draw(at);
            runtime.block_on(verify_backup(&sources, &public_keys, &random, &mut *from, &mut show))
        });
        tokio::select! {
            verified = verifying => Ok(verified.context("the verification has ended early")??),
            () = stop => Err(Failure::from(anyhow::anyhow!("stopped; the backup was not verified"))),
        }
    })?;
    match arguments.output.output {
        Format::Table => print(&verified, output),
        Format::Json => output.value(&json(&verified)),
    }
}

fn print(verified: &Verified, output: &mut Output) -> Result<(), Failure> {
    let Verified { manifest, manifest_sha256, tenant_keys } = verified;
    for line in [
        "the backup is whole".to_owned(),
        format!("data of:         {}", time(manifest.time)),
        format!("made by:         credvault {} ({})", manifest.release, manifest.database),
        format!("rows:            {}", manifest.rows),
        format!("tenant keys:     {tenant_keys}, each of which unwraps"),
        format!("erased tenants:  {}", manifest.erased_tenants.len()),
        format!("manifest SHA-256: {}", hex(manifest_sha256)),
        format!("signed by:       {} ({})", manifest.signing_key_id, manifest.public_key),
    ] {
        output.line::<Failure>(&line)?;
    }
    Ok(())
}

fn json(verified: &Verified) -> serde_json::Value {
    serde_json::json!({
        "time": time(verified.manifest.time),
        "manifest_sha256": hex(&verified.manifest_sha256),
        "tenant_keys": verified.tenant_keys,
        "manifest": verified.manifest,
    })
}
