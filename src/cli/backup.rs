//! `backup`, `backup verify`, `backup rewrap` and `restore`: everything that a vault holds in one sealed file, and back.

mod encoded;
pub(super) mod file;
mod progress;
mod restore;
mod verify;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use credvault_crypto::{RootKeySources, SystemRandom};
use credvault_domain::Random;
use credvault_store::{BackedUp, BackupPlace, OpenError};

use super::args::{ConfigArgs, OutputArgs};
use super::failure::Failure;
use super::output::{Format, Output};
use super::serve::{harden, run as run_on, terminated};
use crate::SystemClock;
use crate::app::root_key_sources;
use crate::settings::Store;

pub(super) use restore::{RestoreArgs, run as restore};

use encoded::{hex, time};
use file::{Unfinished, is_stream, open, open_stdout};
use progress::Progress;
use verify::VerifyArgs;

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct BackupArgs {
    #[command(subcommand)]
    command: Option<BackupCommand>,
    #[command(flatten)]
    config: ConfigArgs,
    /// The file to write, which must not be there yet; `-` for standard output.
    #[arg(long, value_name = "FILE", required = true)]
    to: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Subcommand, Debug)]
enum BackupCommand {
    /// Check a backup without restoring it: everything opens, its counts, hashes and signature are right, and keys unwrap.
    Verify(VerifyArgs),
    /// Write a backup of this vault once more, under the root key that wraps now and without tenants that were erased since.
    Rewrap(RewrapArgs),
}

#[derive(Args, Debug)]
struct RewrapArgs {
    /// The backup; `-` for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The file to write, which must not be there yet; `-` for standard output.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// What is written, and where to.
struct Job<'a> {
    config: &'a ConfigArgs,
    /// The backup that is written once more; none for the database's own data.
    from: Option<&'a Path>,
    to: &'a Path,
    format: Format,
}

pub(super) fn run(arguments: &BackupArgs, output: &mut Output) -> Result<(), Failure> {
    match (&arguments.command, &arguments.to) {
        (Some(BackupCommand::Verify(arguments)), _) => verify::run(arguments, output),
        (Some(BackupCommand::Rewrap(RewrapArgs { file, to, config, output: format })), _) => {
            back_up(&Job { config, from: Some(file), to, format: format.output }, output)
        }
        (None, Some(to)) => {
            let BackupArgs { config, output: format, .. } = arguments;
            back_up(&Job { config, from: None, to, format: format.output }, output)
        }
        (None, None) => Err(Failure::Usage("--to must be given: the file to write".to_owned())),
    }
}

fn back_up(job: &Job<'_>, output: &mut Output) -> Result<(), Failure> {
    harden()?;
    let (store, root_keys, keys) = job.config.read().check_store_and_root_keys()?;
    let done = run_on(None, async {
        let stop = terminated()?;
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let sources = root_key_sources(&root_keys, &keys, &random).await?;
        tokio::select! {
            done = write(&store, &sources, job) => done,
            // What was written so far is removed.
            () = stop => Err(anyhow::anyhow!("stopped; there is no backup").into()),
        }
    })?;
    // Standard output is the backup itself then.
    if is_stream(job.to) {
        let _ = writeln!(std::io::stderr(), "{}", summary(&done, None).join("\n"));
        return Ok(());
    }
    match job.format {
        Format::Table => summary(&done, Some(job.to)).iter().try_for_each(|line| output.line(line)),
        Format::Json => output.value(&json(&done)),
    }
}

/// Opens the vault's database beside whatever serves it, writes the backup, and remembers it.
async fn write(store: &Store, root_keys: &RootKeySources, job: &Job<'_>) -> Result<BackedUp, Failure> {
    let mut settings = store.database.clone();
    settings.shares_file = true;
    let opening =
        credvault_store::Store::open(settings, root_keys, Arc::new(SystemClock), Arc::new(SystemRandom));
    let vault = opening.await.map_err(|error: OpenError| Failure::Unexpected(error.into()))?;
    let written = write_of(&vault, store, job).await;
    vault.close().await;
    written
}

async fn write_of(vault: &credvault_store::Store, store: &Store, job: &Job<'_>) -> Result<BackedUp, Failure> {
    let (done, place) = if is_stream(job.to) {
        (write_into(vault, store, job, &mut open_stdout()?).await?, BackupPlace::Stream)
    } else {
        let mut file = Unfinished::create(job.to)?;
        let done = write_into(vault, store, job, file.writer()).await?;
        file.finish()?;
        (done, BackupPlace::File)
    };
    let recorded = vault.record_backup(&done, place).await;
    recorded.context("the backup is good, but its time could not be written into the database")?;
    Ok(done)
}

/// Writes the database's own data, or that of another backup.
async fn write_into(
    vault: &credvault_store::Store,
    store: &Store,
    job: &Job<'_>,
    to: &mut (dyn Write + Send),
) -> Result<BackedUp, Failure> {
    let (mut from, bytes) = match job.from {
        Some(path) => {
            let (from, bytes) = open(path)?;
            (Some(from), bytes)
        }
        None => (None, None),
    };
    let mut progress = Progress::new(bytes);
    let mut show = |at: credvault_store::BackupProgress<'_>| progress.draw(at);
    let done = match &mut from {
        Some(from) => vault.rewrap_backup(&mut **from, to, &mut show).await?,
        None => {
            let (url, owner) = (store.migrate_url.as_ref(), store.owner_role.as_str());
            vault.back_up(url, owner, to, &mut show).await?
        }
    };
    progress.clear();
    Ok(done)
}

fn summary(done: &BackedUp, file: Option<&Path>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(file) = file {
        lines.push(format!("wrote {}", file.display()));
    }
    lines.push(format!("data of:         {}", time(done.manifest.time)));
    lines.push(format!("rows:            {}", done.manifest.rows));
    lines.push(format!("bytes:           {}", done.bytes));
    lines.push(format!("manifest SHA-256: {}", hex(&done.manifest_sha256)));
    lines.push(format!("signed by:       {} ({})", done.manifest.signing_key_id, done.manifest.public_key));
    lines
}

fn json(done: &BackedUp) -> serde_json::Value {
    serde_json::json!({
        "time": time(done.manifest.time),
        "bytes": done.bytes,
        "manifest_sha256": hex(&done.manifest_sha256),
        "manifest": done.manifest,
    })
}
