//! The refresher as callers and the program use it.

use std::sync::Arc;
use std::time::Duration;

use credvault_catalog::RefusalKind;
use credvault_domain::{ProviderId, TenantId};
use credvault_store::{AppKey, ConnectionKey, Error, Incident};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::RefreshError;
use super::worker::Worker;
use crate::in_flight::{InFlight, SharedOutcome};
use crate::incidents::Asked;
use crate::parts::Parts;

/// How long an access token must still live to be given out without a refresh.
pub const MIN_TOKEN_LIFETIME: Duration = Duration::from_secs(30);

/// How fast tokens are refreshed, and for how long attempts are repeated.
#[derive(Clone, Copy, Debug)]
pub struct RefreshLimits {
    /// Calls for one app at a provider in any second, from all replicas together; 0 means no limit.
    pub per_second: u32,
    /// For how long a refresh of uncertain outcome is repeated before a consent is asked for.
    pub give_up_after: Duration,
}

/// Why a refresh is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// A caller needs the token, or the refresh is due.
    Now,
    /// A caller insists on an attempt now, though the last attempts failed.
    Forced,
}

/// The outcome of a refresh, for all who wait for it.
type Outcome = Result<(), RefreshError>;

/// Keeps tokens fresh. Cheap to clone.
#[derive(Clone)]
pub struct Refresher {
    pub(super) worker: Arc<Worker>,
    pub(super) in_flight: InFlight<ConnectionKey, Outcome>,
    tasks: TaskTracker,
}

impl std::fmt::Debug for Refresher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Refresher").finish_non_exhaustive()
    }
}

impl Refresher {
    /// A refresher for everything in the store.
    pub fn new(parts: Parts, limits: RefreshLimits) -> Self {
        let RefreshLimits { per_second, give_up_after } = limits;
        let worker = Arc::new(Worker::new(parts, per_second, give_up_after));
        Self { worker, in_flight: InFlight::default(), tasks: TaskTracker::new() }
    }

    /// Refreshes the tokens of generation `seen`, or waits for the replica that refreshes them. Afterwards they are newer.
    /// A caller that stops waiting does not stop the refresh.
    ///
    /// # Errors
    /// There are no newer tokens, and why.
    pub async fn refresh(&self, key: ConnectionKey, seen: i64, need: Need) -> Result<(), RefreshError> {
        self.join(key, seen, need).await
    }

    /// Joins the refresh that is in flight, or starts one.
    pub(super) fn join(&self, key: ConnectionKey, seen: i64, need: Need) -> SharedOutcome<Outcome> {
        let (worker, of) = (Arc::clone(&self.worker), key.clone());
        let refresh = async move { worker.refresh(&of, seen, need).await };
        self.in_flight.join_or_start(key, |work| self.tasks.spawn(work), refresh, Err(RefreshError::Store))
    }

    /// Ends the pauses that an app has caused, a tenant's own or the platform's, because it was stored again.
    pub fn app_stored(&self, tenant: TenantId, provider: ProviderId) {
        self.worker.throttle.forget_app_failures(&provider);
        let worker = Arc::clone(&self.worker);
        self.tasks.spawn(async move {
            let refreshes = worker.parts.store.refreshes();
            if let Err(error) = refreshes.wake_waiting_for_app(&tenant, &provider).await {
                // A caller that needs a token still finds that the app is another one.
                tracing::warn!(provider = provider.as_str(), %error, "refreshes that wait for the app could not be scheduled");
            }
        });
    }

    /// Records whether a provider has answered a request that is no refresh: see [`Incidents::record`].
    ///
    /// [`Incidents::record`]: crate::incidents::Incidents::record
    pub(crate) fn heard(&self, asked: Asked<'_>, outcome: Result<(), Option<RefusalKind>>) {
        self.worker.incidents.record(asked, outcome, self.worker.parts.clock.now());
    }

    /// Takes one of the calls that the vault makes at a provider in a second for credentials without an app, over all replicas,
    /// and waits for that until `deadline`. Whether a call was taken.
    pub(crate) async fn take_call(
        &self,
        provider: &ProviderId,
        tenant: &TenantId,
        deadline: Instant,
    ) -> Result<bool, Error> {
        let app = AppKey { provider: provider.clone(), client_id: None };
        self.worker.throttle.take(&app, tenant, deadline).await
    }

    /// The incidents of providers that are open, as of a few seconds ago.
    pub fn incidents(&self) -> Vec<Incident> {
        self.worker.incidents.all()
    }

    /// Tells other replicas what requests have met at providers, and looks for incidents, until `stop`.
    pub async fn watch_incidents(&self, stop: CancellationToken) {
        self.worker.incidents.run(&self.worker.parts.store, stop).await;
    }

    /// Waits until no refresh is in flight any more: the tokens that a provider has given must be stored.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}
