//! What every operation works with. The policies are private to the frame, so an operation cannot ask them past it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use credvault_broker::Broker;
use credvault_catalog::{Catalog, Mode};
use credvault_domain::{AuthMode, Clock, ProviderId, Random, TenantId, Timestamp, TraceId};
use credvault_identity::Identity;
use credvault_store::{Store, TenantRotation};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::Refusal;
use crate::audit::streams::Streams;
use crate::dependants::counted::Counted;
use crate::inquiries::Inquiries;
use crate::limits::{Limits, RateSettings};
use crate::room::Parts as RoomParts;

/// What a [`Context`] is made of.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "a clock and a generator have nothing to show")]
pub struct Parts {
    /// The database and its connections.
    pub store: Store,
    /// Who may do what.
    pub identity: Arc<Identity>,
    /// The providers that the vault knows.
    pub catalog: Arc<Catalog>,
    /// The broker, which calls providers.
    pub broker: Broker,
    /// The clock that everything is judged by.
    pub clock: Arc<dyn Clock>,
    /// The generator of random bytes.
    pub random: Arc<dyn Random>,
    /// How often callers may call.
    pub rates: RateSettings,
    /// How long a caller may keep a fetched credential.
    pub cache_duration: Duration,
    /// The origins of the pages that may learn of a browser's return.
    pub return_origins: Vec<String>,
    /// How keys are rotated, unless a request says otherwise.
    pub rotation: TenantRotation,
}

/// What every operation works with.
pub struct Context {
    pub(crate) store: Store,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) broker: Broker,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) limits: Limits,
    /// The questions to providers about rejected credentials that this process is asking.
    pub(crate) inquiries: Inquiries,
    /// The room for answers of tenants that have a limit on it.
    pub(crate) tenant_rooms: RoomParts<TenantId>,
    /// The streams of audit logs that are open.
    pub(crate) audit_streams: Streams,
    pub(crate) cache_duration: Duration,
    pub(crate) return_origins: Vec<String>,
    pub(crate) dependants: Counted,
    pub(crate) rotation: TenantRotation,
    /// The vault stops: what would wait for something to happen ends.
    pub(crate) stopping: CancellationToken,
    pub(super) identity: Arc<Identity>,
    tasks: TaskTracker,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}

impl Context {
    /// A context of these parts.
    pub fn new(parts: Parts) -> Self {
        let Parts {
            store,
            identity,
            catalog,
            broker,
            clock,
            random,
            rates,
            cache_duration,
            return_origins,
            rotation,
        } = parts;
        let (limits, tasks) = (Limits::new(rates), TaskTracker::new());
        Self {
            store,
            catalog,
            broker,
            clock,
            random,
            limits,
            inquiries: Inquiries::default(),
            tenant_rooms: RoomParts::default(),
            audit_streams: Streams::default(),
            cache_duration,
            return_origins,
            dependants: Counted::default(),
            rotation,
            stopping: CancellationToken::new(),
            identity,
            tasks,
        }
    }

    /// Runs work in a task of its own, to its end even if its caller goes away: a code is spent once it was sent.
    pub(crate) fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.tasks.spawn(work.in_current_span())
    }

    /// Ends the streams that wait for something to happen.
    pub fn end_streams(&self) {
        self.stopping.cancel();
    }

    /// Waits until all work has ended whose caller has gone. Call it once no calls arrive any more.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Forgets the counts of services and tenants that have not called for a while.
    pub fn forget_idle(&self) {
        self.limits.forget_idle();
    }

    /// Writes which callers were served shared credentials of the platform since the last time.
    ///
    /// # Errors
    /// The database fails; what was not written is written the next time.
    pub async fn write_dependants(&self) -> Result<(), credvault_store::Error> {
        self.dependants.write(&self.store).await
    }

    /// The time by the clock that everything is judged by.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The mode of a stored connection.
    pub(crate) fn mode(&self, provider: &ProviderId, mode: &AuthMode) -> Result<&Mode, Refusal> {
        let found = self.catalog.get(provider).and_then(|provider| provider.mode(mode));
        found.ok_or_else(|| Refusal::CatalogEntryGone(provider.clone()))
    }

    /// Whether the provider of a stored connection can revoke its grant or its key. One that is not in the catalog any more
    /// learns nothing.
    pub(crate) fn is_revocable(&self, provider: &ProviderId, mode: &AuthMode) -> bool {
        self.mode(provider, mode).is_ok_and(|mode| mode.ending_call().is_some())
    }

    /// The id of a new trace.
    pub(crate) fn new_trace(&self) -> TraceId {
        let mut bytes = [1; 16];
        // Without randomness nothing else works either; an id of ones serves as well then.
        let _ = self.random.fill(&mut bytes);
        TraceId::from_bytes(bytes)
    }
}
