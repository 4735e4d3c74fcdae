//! The pulse: whether the database answers, whether its clock and ours agree, whether issuers' keys are there. Probes,
//! metrics and the log are told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use credvault_identity::Identity;
use credvault_store::Store;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::admin::{Readiness, Ready, SERVICES};
use crate::clock::{Agreement, SharedClock};

/// How often it beats.
const PULSE: Duration = Duration::from_secs(2);
/// How long a new process waits for the first keys of its issuers before it is ready without them: so a new release is
/// not rolled out past an issuer that is away, and one that stays away does not keep all others from being served.
const FIRST_KEYS: Duration = Duration::from_secs(60);

/// What is looked at, and what was found before.
pub(super) struct Pulse {
    store: Store,
    identity: Arc<Identity>,
    clock: Arc<SharedClock>,
    begun: Instant,
    answered: Option<bool>,
    agreed: Agreement,
}

impl Pulse {
    pub(super) fn new(store: Store, identity: Arc<Identity>, clock: Arc<SharedClock>) -> Self {
        let begun = Instant::now();
        Self { store, identity, clock, begun, answered: None, agreed: Agreement::Agrees }
    }

    /// Beats until the vault stops.
    pub(super) async fn run(mut self, health: HealthReporter, ready: Ready, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(PULSE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut before = None;
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let readiness = self.look().await;
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

    /// One beat.
    pub(super) async fn look(&mut self) -> Readiness {
        let asked = self.clock.machine();
        let answer = self.store.ping().await;
        if let (Err(error), true) = (&answer, self.answered != Some(false)) {
            tracing::error!(error = crate::call::chain(error), "the database does not answer");
        }
        self.answered = Some(answer.is_ok());
        let Ok(time) = answer else {
            return Readiness::NotReady("the database does not answer".to_owned());
        };
        if let Some(time) = time {
            let agreement = self.clock.compare(asked, time, self.clock.machine());
            self.tell(agreement);
        }
        if self.agreed == Agreement::TooFar {
            return Readiness::NotReady("the clock differs from the database's by too much".to_owned());
        }
        let without: Vec<_> = self.identity.issuers().without_keys().collect();
        match without.as_slice() {
            [] => Readiness::Ready(None),
            names => {
                let amiss = format!("the keys of these issuers could not be fetched: {}", names.join(", "));
                if self.begun.elapsed() < FIRST_KEYS {
                    return Readiness::NotReady(amiss);
                }
                Readiness::Ready(Some(amiss))
            }
        }
    }

    /// Logs what has changed between the clocks.
    fn tell(&mut self, agreement: Agreement) {
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
