//! The health check: whether the database answers, whether its clock and this machine's agree, whether issuers' keys are
//! there. Its result goes to probes, metrics and the log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use credvault_identity::Identity;
use credvault_store::Store;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::clock::{Agreement, SharedClock};
use crate::http::{Readiness, Ready, SERVICES};
use crate::reload::BrokenFiles;
use credvault_broker::every;
use credvault_domain::chain;

/// How often the check is made.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long a new process waits for the first keys of its issuers before it is ready without them. So an issuer that is
/// away stops a rollout for a while, and one that stays away does not keep the vault from serving all others.
const FIRST_KEYS_WAIT: Duration = Duration::from_secs(60);

/// The check, with its last results.
pub(crate) struct HealthCheck {
    store: Store,
    identity: Arc<Identity>,
    clock: Arc<SharedClock>,
    files: BrokenFiles,
    begun: Instant,
    answered: Option<bool>,
    agreed: Agreement,
}

impl HealthCheck {
    pub(crate) fn new(
        store: Store,
        identity: Arc<Identity>,
        clock: Arc<SharedClock>,
        files: BrokenFiles,
    ) -> Self {
        let begun = Instant::now();
        Self { store, identity, clock, files, begun, answered: None, agreed: Agreement::Agrees }
    }

    /// Checks again and again until the vault stops.
    pub(crate) async fn run(mut self, health: HealthReporter, ready: Ready, stop: CancellationToken) {
        let mut before = None;
        let mut ticks = every(INTERVAL, &stop);
        while ticks.next().await.is_some() {
            let readiness = self.check().await;
            let serves = matches!(readiness, Readiness::Ready(_));
            if before != Some(serves) {
                let status = if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
                for name in SERVICES {
                    health.set_service_status(name, status).await;
                }
                before = Some(serves);
            }
            ready.set(readiness);
        }
        ready.set(Readiness::NotReady("the vault is stopping".to_owned()));
    }

    /// Makes one check and logs what has changed.
    pub(crate) async fn check(&mut self) -> Readiness {
        let asked = self.clock.machine();
        let answer = self.store.ping().await;
        if let (Err(error), true) = (&answer, self.answered != Some(false)) {
            tracing::error!(error = chain(error), "the database does not answer");
        }
        self.answered = Some(answer.is_ok());
        let Ok(time) = answer else {
            return Readiness::NotReady("the database does not answer".to_owned());
        };
        if let Some(time) = time {
            let agreement = self.clock.compare(asked, time, self.clock.machine());
            self.log(agreement);
        }
        if self.agreed == Agreement::TooFar {
            return Readiness::NotReady("the clock differs from the database's by too much".to_owned());
        }
        if self.store.lacks_root_key() {
            let amiss =
                "the vault has moved to a root key that this process does not have: add it as other_root_key";
            return Readiness::NotReady(amiss.to_owned());
        }
        let without: Vec<_> = self.identity.issuers().without_keys().collect();
        match without.as_slice() {
            // The vault serves with what the files have held. Only a restart would fail.
            [] => Readiness::Ready(self.files.amiss()),
            names => {
                let amiss = format!("the keys of these issuers could not be fetched: {}", names.join(", "));
                if self.begun.elapsed() < FIRST_KEYS_WAIT {
                    return Readiness::NotReady(amiss);
                }
                Readiness::Ready(Some(
                    [Some(amiss), self.files.amiss()].into_iter().flatten().collect::<Vec<_>>().join("; "),
                ))
            }
        }
    }

    /// Logs a change in how the clocks agree.
    fn log(&mut self, agreement: Agreement) {
        if agreement == self.agreed {
            return;
        }
        match agreement {
            Agreement::Agrees => tracing::info!("the clock agrees with the database's again"),
            Agreement::Differs => {
                tracing::error!(
                    "the clock differs from the database's, whose time is used; set this machine's clock"
                );
            }
            Agreement::TooFar => tracing::error!(
                "the clock differs from the database's by more than store.max_clock_skew_seconds, so this vault \
                 is not ready; the database's time is used. Set this machine's clock"
            ),
        }
        self.agreed = agreement;
    }
}
