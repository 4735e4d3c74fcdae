//! `serve` and `migrate`.

use std::sync::Arc;

use anyhow::Context as _;
use credvault_crypto::SystemRandom;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::ConfigArgs;
use super::failure::Failure;
use crate::SystemClock;
use crate::output::Output;
use crate::serve::Instance;
use crate::settings::Settings;
use crate::telemetry;

/// Serves until SIGTERM or SIGINT.
pub(super) fn serve(arguments: &ConfigArgs) -> Result<(), Failure> {
    harden()?;
    let settings = arguments.load()?;
    runtime(settings.server.worker_threads)?.block_on(async {
        let telemetry =
            telemetry::start(&settings.telemetry).map_err(|error| Failure::Usage(format!("{error:#}")))?;
        let stop = terminated()?;
        let instance = Instance::start(settings, Arc::new(SystemClock), Arc::new(SystemRandom)).await?;
        stop.await;
        instance.stop().await;
        telemetry.end().await;
        Ok(())
    })
}

/// No core dumps, and no debugger of the same user: either would hold opened secrets and keys.
pub(super) fn harden() -> Result<(), Failure> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).context("core dumps cannot be switched off")?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("the process cannot be made undumpable")?;
    Ok(())
}

/// The runtime that calls are served on; 0 threads means one for each core.
pub(super) fn runtime(threads: usize) -> Result<Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    Ok(builder.enable_all().build().context("the runtime cannot be started")?)
}

/// Ends when SIGTERM or SIGINT comes. They count from this call on.
pub(super) fn terminated() -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be waited for")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be waited for")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Prepares the database.
pub(super) fn migrate(arguments: &ConfigArgs, output: &mut Output) -> Result<(), Failure> {
    let settings = arguments.load()?;
    let applied = runtime(1)?.block_on(prepare(&settings))?;
    if applied.is_empty() {
        return output.line("the database is up to date");
    }
    applied.iter().try_for_each(|name| output.line(&format!("applied {name}")))
}

/// Brings the database that `settings` name up to this release.
pub(super) async fn prepare(settings: &Settings) -> Result<Vec<String>, Failure> {
    let (store, reached) = (&settings.store, settings.store.to_store());
    store.check().map_err(|error| Failure::Usage(error.to_string()))?;
    let migrating =
        credvault_store::migrate(&reached, store.migrate_url.as_ref(), &store.owner_role, &SystemRandom);
    Ok(migrating.await?)
}
