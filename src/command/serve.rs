//! `serve` and `migrate`.

use std::pin::Pin;
use std::sync::Arc;

use anyhow::Context as _;
use credvault_crypto::SystemRandom;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::ConfigArgs;
use super::failure::Failure;
use crate::SystemClock;
use crate::output::Output;
use crate::serve::Instance;
use crate::settings::Settings;
use crate::telemetry;

/// Serves until SIGTERM or SIGINT. While the vault starts they end it, too: a database that does not answer must not be
/// able to keep the program.
pub(super) fn serve(arguments: &ConfigArgs) -> Result<(), Failure> {
    harden()?;
    let settings = arguments.load()?;
    run(settings.server.worker_threads, async {
        let mut stop = terminated()?;
        let telemetry =
            telemetry::start(&settings.telemetry).map_err(|error| Failure::Usage(format!("{error:#}")))?;
        let starting = Instance::start(settings, Arc::new(SystemClock), Arc::new(SystemRandom));
        let instance = tokio::select! {
            instance = starting => instance?,
            () = &mut stop => {
                tracing::info!("stopped before the vault had started");
                return Ok(());
            }
        };
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

/// Runs a command on a runtime of `threads` threads; 0 means one for each core. What is left in threads that block, such
/// as the look-up of a name, is not waited for.
pub(super) fn run<T>(
    threads: usize,
    command: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    let runtime = builder.enable_all().build().context("the runtime cannot be started")?;
    let result = runtime.block_on(command);
    runtime.shutdown_background();
    result
}

/// Ends when SIGTERM or SIGINT comes. They count from this call on.
pub(super) fn terminated() -> Result<Pin<Box<dyn Future<Output = ()> + Send>>, Failure> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be waited for")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be waited for")?;
    Ok(Box::pin(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }))
}

/// The same for a vault that belongs to a terminal: it also ends when that is closed (SIGHUP).
#[cfg(feature = "dev")]
pub(super) fn terminated_or_hung_up() -> Result<Pin<Box<dyn Future<Output = ()> + Send>>, Failure> {
    let (stop, mut hangup) =
        (terminated()?, signal(SignalKind::hangup()).context("SIGHUP cannot be waited for")?);
    Ok(Box::pin(async move {
        tokio::select! {
            () = stop => {}
            _ = hangup.recv() => {}
        }
    }))
}

/// Prepares the database.
pub(super) fn migrate(arguments: &ConfigArgs, output: &mut Output) -> Result<(), Failure> {
    let settings = arguments.load()?;
    let applied = run(1, async {
        let stop = terminated()?;
        tokio::select! {
            applied = prepare(&settings) => applied,
            // Nothing is half done: each of its steps is one transaction.
            () = stop => Err(anyhow::anyhow!("stopped; run `credvault migrate` again").into()),
        }
    })?;
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
