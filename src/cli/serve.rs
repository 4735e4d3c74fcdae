//! The commands `serve` and `migrate`, and what every serving command sets up first.

use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Context as _;
use credvault_crypto::SystemRandom;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::args::ConfigArgs;
use super::failure::Failure;
use super::output::Output;
use crate::SystemClock;
use crate::app::{Inputs, Instance};
use crate::settings::{RawSettings, Settings, Store};
use crate::telemetry;

/// For commands that do one thing after the other.
pub(super) const ONE_THREAD: Option<NonZeroUsize> = Some(NonZeroUsize::MIN);

/// Serves until SIGTERM or SIGINT. While the vault starts they end it, too: a database that does not answer must not be
/// able to keep the program.
pub(super) fn serve(arguments: &ConfigArgs) -> Result<(), Failure> {
    harden()?;
    let settings = settings(&arguments.read())?;
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

/// Settings to serve with. If they are wrong, the files that they name are checked as well, so that all problems are
/// reported at once; otherwise the start checks the files.
fn settings(raw: &RawSettings) -> Result<Settings, Failure> {
    let (settings, problems) = raw.inspect()?;
    if !problems.is_empty() {
        Inputs::read(&settings, problems)?;
    }
    Ok(settings)
}

/// No core dumps, and no debugger of the same user: either would hold opened secrets and keys.
pub(super) fn harden() -> Result<(), Failure> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).context("core dumps cannot be switched off")?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("the process cannot be made undumpable")?;
    Ok(())
}

/// Runs a command on a runtime of `threads` threads, or of one for each core. It does not wait for threads that still
/// block then, such as one that looks up a name.
pub(super) fn run<T>(
    threads: Option<NonZeroUsize>,
    command: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads {
        builder.worker_threads(threads.get());
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

/// Brings the database's schema up to date.
pub(super) fn migrate(arguments: &ConfigArgs, output: &mut Output) -> Result<(), Failure> {
    let store = arguments.read().check_store()?;
    let applied = run(ONE_THREAD, async {
        let stop = terminated()?;
        tokio::select! {
            applied = prepare(&store) => applied,
            // Nothing is half done: each of its steps is one transaction.
            () = stop => Err(anyhow::anyhow!("stopped; run `credvault migrate` again").into()),
        }
    })?;
    if applied.is_empty() {
        return output.line("the database is up to date");
    }
    applied.iter().try_for_each(|name| output.line(&format!("applied {name}")))
}

/// Brings the database that `store` names up to this release.
pub(super) async fn prepare(store: &Store) -> Result<Vec<String>, Failure> {
    let Store { database, migrate_url, owner_role, .. } = store;
    Ok(credvault_store::migrate(database, migrate_url.as_ref(), owner_role, &SystemRandom).await?)
}
