//! `demo`: the same as `dev` shows, on a vault that is thrown away.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use credvault_crypto::SystemRandom;
use credvault_domain::Random as _;

use super::demo_script;
use super::failure::Failure;
use super::folder::Folder;
use super::output::Output;
use super::serve::{harden, prepare, run as run_on, terminated_or_hung_up};
use crate::SystemClock;
use crate::app::Instance;
use crate::telemetry;

/// A folder that goes when this does.
struct Throwaway(PathBuf);

impl Throwaway {
    fn new() -> anyhow::Result<Self> {
        let mut random = [0; 8];
        SystemRandom.fill(&mut random)?;
        let name = format!("credvault-demo-{:016x}", u64::from_be_bytes(random));
        Ok(Self(std::env::temp_dir().join(name)))
    }
}

impl Drop for Throwaway {
    fn drop(&mut self) {
        // What cannot be removed is a demo's own and goes with the temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn run(output: &mut Output) -> Result<(), Failure> {
    harden()?;
    let throwaway = Throwaway::new()?;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let folder = Folder::open(&throwaway.0, any)?;
    run_on(None, async {
        let stop = terminated_or_hung_up()?;
        // A setting of the environment is meant for another vault, perhaps with a database that must not be touched.
        let settings = folder.settings([], any, any).check()?;
        let telemetry = telemetry::start(&settings.telemetry).context("the log cannot be started")?;
        prepare(&settings.store).await?;
        let instance = Instance::start(settings, Arc::new(SystemClock), Arc::new(SystemRandom)).await?;
        let shown = tokio::select! {
            shown = demo_script::show(&folder, instance.address, output) => shown,
            // What it made is removed all the same.
            () = stop => Err(anyhow::anyhow!("stopped before the end").into()),
        };
        instance.stop().await;
        telemetry.end().await;
        shown
    })?;
    output.line("\nAll four outcomes are as expected. `credvault dev` runs such a vault and keeps it.")
}
