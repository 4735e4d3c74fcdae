//! A running vault: assembled from its settings, started and stopped in order.

mod design;
mod identity;
mod inputs;
#[cfg(feature = "transit")]
mod openbao;
mod root_keys;
mod secret_stores;
mod start_error;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use credvault_broker::{Broker, Http, MAX_ATTEMPT_TIME, Parts};
use credvault_crypto::RootKeySources;
use credvault_domain::{Clock, LimitKind, LimitValues, Random};
use credvault_operations::room::AnswerRoom;
use credvault_operations::{Context, RateSettings};
use credvault_store::{OpenError, Store, StoreSettings};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::DropGuard;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

pub(crate) use inputs::Inputs;
pub use root_keys::ManagerError;
pub(crate) use root_keys::sources as root_key_sources;
pub use secret_stores::SecretStoreSettingsError;
pub(crate) use secret_stores::secret_stores;
pub use start_error::StartError;

use crate::accept::Acceptor;
use crate::clock::SharedClock;
use crate::grpc::{self, Gate, MAX_HEALTH_MESSAGE, Server, Tls};
use crate::health::HealthCheck;
use crate::http::{self, Protocol, Readiness, Ready};
use crate::jobs::{Ends, JobParts, Jobs};
use crate::pages::Design;
use crate::reload::{BrokenFiles, Reloader};
use crate::settings::Settings;
use crate::shared::Shared;
use crate::telemetry;

/// How long calls without a caller, and refreshes in progress, may take to end and be stored before the program ends.
const STORE_TIMEOUT: Duration = Duration::from_secs(MAX_ATTEMPT_TIME.as_secs() + 5);
/// The most open connections on the port for browsers; further ones are closed.
const MAX_PUBLIC_CONNECTIONS: usize = 1024;
/// The most open connections on the operators' port; further ones are closed.
const MAX_ADMIN_CONNECTIONS: usize = 256;

/// The first pause before a key manager is tried again, which doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A running vault. Dropped without [`Instance::stop`], it continues to serve.
#[derive(Debug)]
pub struct Instance {
    /// The address of gRPC.
    pub address: SocketAddr,
    /// The address for operators.
    pub admin_address: SocketAddr,
    /// The address for browsers, if that port is open.
    pub public_address: Option<SocketAddr>,
    serving: JoinHandle<()>,
    jobs: Jobs,
    ends: Ends,
    health: HealthReporter,
    store: Store,
    broker: Broker,
    context: Arc<Context>,
}

impl Instance {
    /// Starts to serve.
    ///
    /// # Errors
    /// A file, an address or the database cannot be used. The database is as it was, but for a new one, which may have its
    /// first rows: the root key's check value and the platform's own namespace.
    pub async fn start(
        settings: Settings,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, StartError> {
        let settings = Arc::new(settings);
        let Inputs { catalog, identity, tls, design, files } = Inputs::read(&settings, settings.problems())?;
        let metrics = telemetry::metrics().map_err(|error| StartError::Metrics(error.to_string()))?;
        let listeners = Listeners::bind(&settings).await?;
        let roots = root_key_sources(&settings.root_keys, &settings.keys, &random).await?;
        let secrets = secret_stores(&settings.secrets).await?;
        let (grpc, public, admin) =
            (listeners.grpc, listeners.public, Admin::open(listeners.admin, &metrics));
        let shared_clock = Arc::new(SharedClock::new(clock, settings.store.max_clock_skew));
        let clock: Arc<dyn Clock> = Arc::clone(&shared_clock) as _;
        let database = StoreSettings { secrets, ..settings.store.database.clone() };
        let store = open(&database, &roots, &clock, &random, &admin.ready).await?;
        let broken = BrokenFiles::default();
        let mut health_check =
            HealthCheck::new(store.clone(), Arc::clone(&identity), shared_clock, broken.clone());
        // It compares the clocks before the first call is judged by one of them.
        health_check.check().await;
        if !files.are_current(&settings) {
            store.close().await;
            return Err(StartError::Changing);
        }
        let (in_use, root_ids) = (Arc::clone(&settings), store.root_ids());
        let reloader =
            Reloader::new(in_use, Arc::clone(&identity), Arc::clone(&tls), root_ids, files, broken);
        let http = Http::new(settings.broker.guard.clone());
        let parts = Parts {
            store: store.clone(),
            catalog: Arc::clone(&catalog),
            http,
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
        };
        let broker = Broker::new(parts, settings.public.url.clone(), settings.broker.refresh_limits);
        let context = Arc::new(Context::new(credvault_operations::Parts {
            store: store.clone(),
            identity: Arc::clone(&identity),
            catalog,
            broker: broker.clone(),
            clock: Arc::clone(&clock),
            random,
            rates: rates(&settings),
            cache_duration: settings.limits.cache,
            rotation: settings.keys.rotation,
            return_origins: settings.public.origins.clone(),
        }));
        let shared = Shared { store, identity, broker, clock, context };
        Assembled { settings, shared, tls, design, grpc, public, admin, metrics, reloader, health_check }
            .serve()
    }

    /// What every operation works with, for programs that embed the vault and serve pages of their own.
    pub fn operations(&self) -> &Arc<Context> {
        &self.context
    }

    /// Stops: the vault is no longer ready, calls in progress finish within `server.drain_seconds`, then all jobs end.
    pub async fn stop(self) {
        let Self { serving, jobs, ends, health, store, broker, context, .. } = self;
        tracing::info!("stopping; calls in progress may finish");
        for name in http::SERVICES {
            health.set_service_status(name, tonic_health::ServingStatus::NotServing).await;
        }
        ends.stopping.cancel();
        context.end_streams();
        if let Err(error) = serving.await {
            tracing::error!(%error, "the server ended with an error");
        }
        ends.drained.cancel();
        jobs.ended().await;
        // The tokens that a provider has given must be stored: nothing else has them.
        let finishing = async {
            context.finish().await;
            broker.refresher().finish().await;
        };
        if tokio::time::timeout(STORE_TIMEOUT, finishing).await.is_err() {
            tracing::error!("calls or refreshes were still in progress; their outcome is unknown now");
        }
        store.close().await;
        tracing::info!("stopped");
    }
}

/// A listener with the address that it is bound to.
type Listener = (TcpListener, SocketAddr);

/// The listeners of all ports.
struct Listeners {
    grpc: Listener,
    admin: Listener,
    public: Option<Listener>,
}

impl Listeners {
    async fn bind(settings: &Settings) -> Result<Self, StartError> {
        let grpc = bind("server.address", settings.server.address).await?;
        let admin = bind("server.admin_address", settings.server.admin_address).await?;
        let public = match &settings.public.url {
            Some(_) => Some(bind("public.address", settings.public.address).await?),
            None => None,
        };
        Ok(Self { grpc, admin, public })
    }
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<Listener, StartError> {
    let failed = |source| StartError::Address { key, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// The limits of tenants that have none of their own.
fn rates(settings: &Settings) -> RateSettings {
    let Settings { limits, store, broker, .. } = settings;
    let defaults = LimitValues::new(|kind| match kind {
        LimitKind::Connections
        | LimitKind::UserConnections
        | LimitKind::CredentialVersions
        | LimitKind::AuditDays => store.database.limit(kind),
        LimitKind::RefreshesPerMinute => broker.forced_refreshes_per_minute.into(),
        LimitKind::ResponseBytes
        | LimitKind::CallsPerSecond
        | LimitKind::ServiceCallsPerSecond
        | LimitKind::FetchesPerSecond
        | LimitKind::ExchangesPerMinute
        | LimitKind::TestsPerMinute
        | LimitKind::UserSharePercent
        | LimitKind::ServiceSharePercent => limits.of_tenant(kind),
    });
    let rejection_calls_per_minute = broker.rejection_calls_per_minute;
    RateSettings { defaults, service_burst: limits.rate_burst, rejection_calls_per_minute }
}

/// The operators' port, open from the beginning on: it tells what a vault that cannot serve yet waits for.
struct Admin {
    address: SocketAddr,
    health: HealthReporter,
    health_service: HealthServer<HealthService>,
    ready: Ready,
    ends: Ends,
    job: JoinHandle<()>,
    /// Closes the port if the vault does not start.
    unless_started: DropGuard,
}

impl Admin {
    fn open((listener, address): Listener, metrics: &PrometheusHandle) -> Self {
        let health = HealthReporter::new();
        let health_service = HealthService::from_health_reporter(health.clone());
        let health_service = HealthServer::new(health_service).max_decoding_message_size(MAX_HEALTH_MESSAGE);
        let (ends, ready) = (Ends::default(), Ready::default());
        let routes = http::admin_router(metrics.clone(), health_service.clone(), ready.clone());
        let acceptor = Acceptor::new(listener, "operators", MAX_ADMIN_CONNECTIONS, MAX_ADMIN_CONNECTIONS / 4);
        let job = tokio::spawn(http::serve(acceptor, Protocol::Operators, routes, ends.drained.clone()));
        let unless_started = ends.drained.clone().drop_guard();
        Self { address, health, health_service, ready, ends, job, unless_started }
    }
}

/// Opens the database. As long as a key manager that holds the root key cannot be used, the vault is not ready and tries
/// again: a key manager that is away must not end the program, and settings at the key manager can be mended meanwhile.
async fn open(
    database: &StoreSettings,
    roots: &RootKeySources,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
    ready: &Ready,
) -> Result<Store, StartError> {
    let mut pause = FIRST_PAUSE;
    loop {
        let opened = Store::open(database.clone(), roots, Arc::clone(clock), Arc::clone(random)).await;
        let error = match opened {
            Err(
                OpenError::RootKey(error @ credvault_crypto::Error::KeyManager { .. })
                | OpenError::JournalKey(credvault_store::Error::Key(
                    error @ credvault_crypto::Error::KeyManager { .. },
                )),
            ) => error,
            opened => return Ok(opened?),
        };
        let error = credvault_domain::chain(&error).to_string();
        tracing::error!(error, "the vault is not ready: it waits for its root key");
        ready.set(Readiness::NotReady(error));
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Everything that a vault serves with.
struct Assembled {
    settings: Arc<Settings>,
    shared: Shared,
    tls: Arc<Tls>,
    design: Arc<Design>,
    grpc: Listener,
    public: Option<Listener>,
    admin: Admin,
    metrics: PrometheusHandle,
    reloader: Reloader,
    health_check: HealthCheck,
}

impl Assembled {
    /// Opens the ports and starts the jobs.
    fn serve(self) -> Result<Instance, StartError> {
        let Self { settings, shared, tls, design, grpc, public, admin, metrics, reloader, health_check } =
            self;
        let Admin { address: admin_address, health, health_service, ready, ends, job, unless_started } =
            admin;
        let routes = grpc::routes(&shared.context, health_service, settings.server.reflection)?;
        let gate = Arc::new(Gate::new(&shared, routes, &settings.limits));
        let room = Arc::new(AnswerRoom::of_bytes(settings.limits.response_bytes));
        let (listener, address) = grpc;
        let server = Server { listener, tls, gate, room: Arc::clone(&room), limits: settings.limits.clone() };
        let serving = tokio::spawn(server.run(ends.stopping.clone(), settings.server.drain));
        let Shared { store, broker, context, .. } = shared.clone();
        let routes_at = |url: &str| http::public_router(Arc::clone(&shared.context), url, design);
        let public_routes = settings.public.url.as_deref().map(routes_at);
        let per_address = settings.public.connections_per_address;
        let parts = JobParts {
            settings,
            shared,
            metrics,
            room,
            reloader,
            health_check,
            health: health.clone(),
            ready,
        };
        let mut jobs = Jobs::start(parts, &ends);
        unless_started.disarm();
        jobs.add("operators", async move {
            if let Err(error) = job.await {
                tracing::error!(%error, "the operators' port ended with an error");
            }
        });
        let mut public_address = None;
        if let Some(((listener, address), routes)) = public.zip(public_routes) {
            let acceptor = Acceptor::new(listener, "browsers", MAX_PUBLIC_CONNECTIONS, per_address);
            jobs.add("browsers", http::serve(acceptor, Protocol::Browsers, routes, ends.drained.clone()));
            public_address = Some(address);
        }
        tracing::info!(%address, %admin_address, public_address = public_address.map(tracing::field::display), "serving");
        Ok(Instance {
            address,
            admin_address,
            public_address,
            serving,
            jobs,
            ends,
            health,
            store,
            broker,
            context,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of seconds after a key.
    fn seconds(file: &str, key: &str) -> u64 {
        let (_, rest) = file.split_once(key).expect("it is set");
        let digits = rest.trim_start().split(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse().ok()).expect("a number")
    }

    #[test]
    fn a_deployed_vault_is_not_killed_before_refreshes_in_progress_are_stored() {
        let drain = seconds(include_str!("../deploy/credvault.toml"), "drain_seconds =");
        // Revocations and events in progress, and the pools of the database.
        let rest = 10 + 15;
        let stop = drain + rest + STORE_TIMEOUT.as_secs();
        let kubernetes = include_str!("../deploy/kubernetes.yaml");
        let hook = 5;
        assert!(seconds(kubernetes, "terminationGracePeriodSeconds:") > hook + stop);
        assert!(seconds(include_str!("../deploy/compose.yaml"), "stop_grace_period:") > stop);
    }
}
