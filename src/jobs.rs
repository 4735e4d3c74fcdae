//! The background jobs of a running vault: one table of what runs, how often, and when it ends.

mod keys;

use std::sync::Arc;
use std::time::Duration;

use credvault_broker::every;
use credvault_operations::room::AnswerRoom;
use credvault_operations::{rotations, tokens};
use credvault_store::Urgency;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic_health::server::HealthReporter;

use crate::health::HealthCheck;
use crate::http::Ready;
use crate::reload::Reloader;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::telemetry;

/// How often upkeep does what is due: purges, and deletions of what is past its time.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(60);
/// How often a process writes what it has counted: what it loses if it is killed.
const COUNTS_INTERVAL: Duration = Duration::from_secs(5);
/// How often grants that end soon are looked for.
const WARNING_INTERVAL: Duration = Duration::from_secs(2);
/// How long the counts of the last minute may take at the end.
const LAST_COUNTS: Duration = Duration::from_secs(2);
/// How often the audit journal is looked at: seldom enough that a tenant's records of a while are one row in its log, and often
/// enough that all are there within a second.
const SEQUENCING_INTERVAL: Duration = Duration::from_millis(500);
/// How often each issuer is asked whether its keys are due to be fetched.
const ISSUER_KEYS_INTERVAL: Duration = Duration::from_secs(1);

/// How often the rules of tenants are read that have changed: a call relies on none that are older than a second.
const TENANT_RULES_INTERVAL: Duration = Duration::from_millis(400);

/// When the jobs of a vault end.
#[derive(Clone, Default, Debug)]
pub(crate) struct Ends {
    /// The vault stops: jobs that would begin new work at providers end, for another replica can do that work.
    pub(crate) stopping: CancellationToken,
    /// The calls in progress have ended: all other jobs end.
    pub(crate) drained: CancellationToken,
}

/// What the jobs work with.
pub(crate) struct JobParts {
    pub(crate) settings: Arc<Settings>,
    pub(crate) shared: Shared,
    pub(crate) metrics: PrometheusHandle,
    pub(crate) room: Arc<AnswerRoom>,
    pub(crate) reloader: Reloader,
    pub(crate) health_check: HealthCheck,
    pub(crate) health: HealthReporter,
    pub(crate) ready: Ready,
}

/// Jobs that were started, by their names.
#[derive(Default, Debug)]
pub(crate) struct Jobs(Vec<(&'static str, JoinHandle<()>)>);

impl Jobs {
    /// Starts the table of jobs.
    pub(crate) fn start(parts: JobParts, ends: &Ends) -> Self {
        let JobParts { settings, shared, metrics, room, reloader, health_check, health, ready } = parts;
        let (stopping, drained) = (|| ends.stopping.clone(), || ends.drained.clone());
        let mut jobs = Self::default();
        jobs.add(
            "metrics",
            telemetry::keep(metrics, telemetry::UPKEEP, drained(), move || {
                metrics::gauge!("credvault_response_bytes").set(room.taken() as f64);
            }),
        );
        jobs.add("changed files", reloader.run(settings.server.reload_interval, drained()));
        jobs.add("upkeep", upkeep(shared.clone(), drained()));
        jobs.add("counts", write_counts(shared.clone(), drained()));
        jobs.add("audit log", sequence(shared.clone(), drained()));
        jobs.add("issuer keys", fetch_issuer_keys(shared.clone(), drained()));
        jobs.add("tenant rules", read_tenant_rules(shared.clone(), drained()));
        jobs.add("health check", health_check.run(health, ready, stopping()));
        jobs.add("warnings", warn_of_ends(shared.clone(), drained()));
        let (broker, end) = (shared.broker.clone(), stopping());
        jobs.add("refreshes", async move { broker.refresher().run(end).await });
        let (broker, end) = (shared.broker.clone(), drained());
        jobs.add("incidents", async move { broker.refresher().watch_incidents(end).await });
        let (broker, end) = (shared.broker.clone(), drained());
        jobs.add("revocations", async move { broker.run_revocations(end).await });
        let (broker, interval, end) = (shared.broker.clone(), settings.audit.checkpoint_interval, drained());
        jobs.add("checkpoints", async move { broker.run_checkpoints(interval, end).await });
        let (broker, end) = (shared.broker.clone(), drained());
        jobs.add("events", async move { broker.run_events(end).await });
        jobs.add("root keys", keys::keep_up(shared.clone(), drained()));
        jobs.add("keys of key managers", keys::renew(shared.clone(), drained()));
        jobs.add("rotations", keys::rotate(shared.clone(), Urgency::Usual, drained()));
        jobs.add("urgent rotations", keys::rotate(shared.clone(), Urgency::AtOnce, drained()));
        jobs.add("secrets in external stores", keys::tend_secrets(shared.clone(), drained()));
        jobs.add("forgotten secrets", keys::look_through_secrets(shared.clone(), drained()));
        jobs.add("ages of keys", keys::look_at_ages(shared.clone(), settings.keys, drained()));
        let context = Arc::clone(&shared.context);
        jobs.add("credential rotations", rotations::due::run(context, stopping()));
        if let Some(interval) = settings.broker.test_interval {
            jobs.add("credential tests", tokens::due_tests::run(shared.context, interval, stopping()));
        }
        jobs
    }

    /// Starts one job more.
    pub(crate) fn add(&mut self, name: &'static str, job: impl Future<Output = ()> + Send + 'static) {
        self.0.push((name, tokio::spawn(job)));
    }

    /// Waits until all jobs have ended.
    pub(crate) async fn ended(self) {
        for (name, job) in self.0 {
            if let Err(error) = job.await {
                tracing::error!(job = name, %error, "a background job ended with an error");
            }
        }
    }
}

/// Does what is due in the database. At the end it is dropped: what it has committed is done, and the rest is done the next
/// time. A stop that waited for it would outlast what the operator allows.
async fn upkeep(shared: Shared, end: CancellationToken) {
    let mut ticks = every(UPKEEP_INTERVAL, &end);
    while ticks.next().await.is_some() {
        shared.context.forget_idle();
        write_dependants(&shared).await;
        match end.run_until_cancelled(shared.store.upkeep()).await {
            None | Some(Ok(0)) => {}
            Some(Ok(purged)) => tracing::info!(purged, "deleted connections were purged"),
            Some(Err(error)) => {
                tracing::warn!(error = credvault_domain::chain(&error), "upkeep failed; it is tried again")
            }
        }
    }
    // The calls have ended, so nothing more is counted. A database that does not answer must not hold the stop up.
    let _ = tokio::time::timeout(LAST_COUNTS, write_dependants(&shared)).await;
}

/// Adds to the database what was counted of the platform's shared credentials.
async fn write_dependants(shared: &Shared) {
    if let Err(error) = shared.context.write_dependants().await {
        let error = credvault_domain::chain(&error);
        tracing::warn!(error, "who depends on shared credentials was not written; it is tried again");
    }
}

/// Writes what this process has counted and seen, at the end for the last time.
async fn write_counts(shared: Shared, end: CancellationToken) {
    let mut ticks = every(COUNTS_INTERVAL, &end);
    loop {
        let ends = ticks.next().await.is_none();
        for written in [
            shared.store.write_outcomes().await,
            shared.store.write_sightings().await,
            shared.store.write_last_uses().await,
        ] {
            if let Err(error) = written {
                let error = credvault_domain::chain(&error);
                tracing::warn!(error, "counts could not be written; it is tried again");
            }
        }
        if ends {
            return;
        }
    }
}

/// Appends the records of the audit journal to their tenants' logs, while this replica has the lease. At the end a round in
/// progress is dropped: what it has not committed is still in the journal, and another replica takes over at once.
async fn sequence(shared: Shared, end: CancellationToken) {
    let (mut sequencer, mut failing) = (shared.store.sequencer(), false);
    let mut ticks = every(SEQUENCING_INTERVAL, &end);
    while ticks.next().await.is_some() {
        while let Some(round) = end.run_until_cancelled(sequencer.round()).await {
            if let Err(error) = &round
                && !failing
            {
                let error = credvault_domain::chain(error);
                tracing::warn!(error, "audit records wait to be sequenced; it is tried again");
            }
            failing = round.is_err();
            if !round.is_ok_and(|done| done.more) {
                break;
            }
        }
    }
    let _ = tokio::time::timeout(LAST_COUNTS, sequencer.stop()).await;
}

/// Warns of grants that end soon, and reminds of credentials that a person has to replace. At the end it is dropped: what it has committed is sent, and the rest is found the next
/// time.
async fn warn_of_ends(shared: Shared, end: CancellationToken) {
    let mut ticks = every(WARNING_INTERVAL, &end);
    while ticks.next().await.is_some() {
        if let Some(Err(error)) = end.run_until_cancelled(shared.store.warn_of_ends()).await {
            tracing::warn!(
                error = credvault_domain::chain(&error),
                "grants that end soon could not be looked for"
            );
        }
        if let Some(Err(error)) = end.run_until_cancelled(shared.store.remind_of_rotations()).await {
            let error = credvault_domain::chain(&error);
            tracing::warn!(error, "credentials to be replaced could not be looked for");
        }
    }
}

/// Keeps the keys of issuers fresh: each issuer knows when its keys are due. At the end, fetches in progress are dropped.
async fn fetch_issuer_keys(shared: Shared, end: CancellationToken) {
    let mut ticks = every(ISSUER_KEYS_INTERVAL, &end);
    while ticks.next().await.is_some() {
        let now = shared.clock.now();
        let refreshing = shared.identity.issuers().iter().map(|issuer| issuer.refresh(now));
        end.run_until_cancelled(futures::future::join_all(refreshing)).await;
    }
}

/// Keeps the rules of tenants known. While they cannot be read, each call reads its tenant's own.
async fn read_tenant_rules(shared: Shared, end: CancellationToken) {
    let mut ticks = every(TENANT_RULES_INTERVAL, &end);
    let mut failing = false;
    while ticks.next().await.is_some() {
        let Some(read) = end.run_until_cancelled(shared.store.refresh_rules()).await else { return };
        if let Err(error) = &read
            && !failing
        {
            let error = credvault_domain::chain(error);
            tracing::warn!(error, "the rules of tenants cannot be read; each call reads those that it needs");
        }
        failing = read.is_err();
    }
}
