//! `restore`: a backup into an empty database.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use credvault_crypto::{RootKeySources, SystemRandom};
use credvault_domain::{Clock as _, Random};
use credvault_store::{ErasedTenants, RestoreSettings, Restored, restore_backup};

use super::encoded::{hex, public_key, time};
use super::file::{is_stream, open};
use super::progress::Progress;
use crate::SystemClock;
use crate::app::root_key_sources;
use crate::cli::args::{ConfigArgs, OutputArgs};
use crate::cli::failure::Failure;
use crate::cli::output::{Format, Output};
use crate::cli::serve::{harden, run as run_on, terminated};
use crate::settings::Store;

#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// The backup; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The list of erased tenants, as `credvault tenants erasures --output json` prints it; `-` for standard input. Tenants
    /// that were erased since the backup was made are not restored.
    #[arg(long, value_name = "FILE", required_unless_present = "no_later_erasures")]
    erasures: Option<PathBuf>,
    /// No tenant was erased since the backup was made, or the list of those is lost.
    #[arg(long, conflicts_with = "erasures")]
    no_later_erasures: bool,
    /// A public key of the vault that must have signed the backup, in base64. Given several times, each of them may have.
    #[arg(long, value_name = "KEY", value_parser = public_key)]
    public_key: Vec<[u8; 32]>,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(arguments: &RestoreArgs, output: &mut Output) -> Result<(), Failure> {
    harden()?;
    let (store, root_keys, keys) = arguments.config.read().check_store_and_root_keys()?;
    let erased = erased(arguments)?;
    let restored = run_on(None, async {
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let sources = root_key_sources(&root_keys, &keys, &random).await?;
        restoring(arguments, &store, &sources, &erased, &random).await
    })?;
    match arguments.output.output {
        Format::Table => print(&restored, output),
        Format::Json => output.value(&json(&restored)),
    }
}

/// The list of erasures, read before anything is done.
fn erased(arguments: &RestoreArgs) -> Result<ErasedTenants, Failure> {
    let Some(path) = &arguments.erasures else { return Ok(ErasedTenants::default()) };
    if is_stream(path) && is_stream(&arguments.from) {
        let rule = "--from and --erasures both read standard input; name a file for one";
        return Err(Failure::Usage(rule.to_owned()));
    }
    let text = if is_stream(path) {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    let unreadable = |error| Failure::Usage(format!("{} cannot be read: {error}", path.display()));
    Ok(ErasedTenants::parse(text.map_err(unreadable)?.as_bytes())?)
}

async fn restoring(
    arguments: &RestoreArgs,
    store: &Store,
    root_keys: &RootKeySources,
    erased: &ErasedTenants,
    random: &Arc<dyn Random>,
) -> Result<Restored, Failure> {
    let stop = terminated()?;
    let (mut from, bytes) = open(&arguments.from)?;
    let to = RestoreSettings {
        store: &store.database,
        migrate_url: store.migrate_url.as_ref(),
        owner_role: &store.owner_role,
        root_keys,
        erased,
        public_keys: &arguments.public_key,
        now: SystemClock.now(),
    };
    let mut progress = Progress::new(bytes);
    let mut show = |at: credvault_store::BackupProgress<'_>| progress.draw(at);
    tokio::select! {
        restored = restore_backup(&to, random, &mut *from, &mut show) => Ok(restored?),
        () = stop => Err(anyhow::anyhow!("stopped; the database is as empty as it was").into()),
    }
}

fn print(restored: &Restored, output: &mut Output) -> Result<(), Failure> {
    let Restored { manifest, manifest_sha256, rows_left_out, erased_since, holds_secret_stores, migrated } =
        restored;
    let mut lines = vec![
        format!("restored the data of {}", time(manifest.time)),
        format!("rows:            {}", manifest.rows - rows_left_out),
        format!("manifest SHA-256: {}", hex(manifest_sha256)),
        format!("signed by:       {} ({})", manifest.signing_key_id, manifest.public_key),
    ];
    lines.extend(
        erased_since.iter().map(|tenant| format!("not restored, for it was erased: tenant {tenant}")),
    );
    if *holds_secret_stores {
        let held = "the vault will remove nothing from its secret stores until `credvault secrets own` says that no other \
                    vault keeps its secrets there";
        lines.push(held.to_owned());
    }
    lines.extend(migrated.iter().map(|name| format!("applied {name}")));
    lines.iter().try_for_each(|line| output.line(line))
}

fn json(restored: &Restored) -> serde_json::Value {
    serde_json::json!({
        "time": time(restored.manifest.time),
        "manifest_sha256": hex(&restored.manifest_sha256),
        "rows": restored.manifest.rows - restored.rows_left_out,
        "rows_left_out": restored.rows_left_out,
        "erased_since": restored.erased_since,
        "holds_secret_stores": restored.holds_secret_stores,
        "migrated": restored.migrated,
        "manifest": restored.manifest,
    })
}
