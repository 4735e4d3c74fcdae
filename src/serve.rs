//! A running vault: everything that serves, started in order and stopped in order.

mod admin;
mod identity;
mod inputs;
mod port;
mod public;
mod pulse;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use credvault_broker::{Broker, Http, MAX_ATTEMPT_TIME, Parts};
use credvault_domain::{Clock, Random};
use credvault_store::{OpenError, Store};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use inputs::Inputs;
use port::Protocol;

use pulse::Pulse;

use crate::accept::Acceptor;
use crate::clock::SharedClock;
use crate::proto;
use crate::reload::Reloader;
use crate::server::{Gate, Server};
use crate::service;
use crate::settings::{Settings, SettingsError};
use crate::telemetry;
use crate::vault::Vault;
use credvault_operations::room::AnswerRoom;

/// How often what is due is done: purges, and forgetting.
const UPKEEP: Duration = Duration::from_secs(60);
/// How long refreshes under way may take to be answered and stored before the program ends.
const STORING: Duration = Duration::from_secs(MAX_ATTEMPT_TIME.as_secs() + 5);
/// The largest message of health and reflection.
const SMALL: usize = 4 * 1024;
/// The most connections at once on the port for browsers, and on the operators'; further ones are closed.
const PUBLIC_CONNECTIONS: usize = 1024;
const ADMIN_CONNECTIONS: usize = 256;
/// How often issuers are asked whether their keys are to be fetched.
const ISSUERS: Duration = Duration::from_secs(1);

/// Why a vault does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Settings are wrong, or files that they name are missing or broken.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Files were being written while the vault read them.
    #[error(
        "the configuration, certificates, bundles, policies or key files changed while the vault started, so what was \
         read may be half of them; start again"
    )]
    Changing,
    /// Reflection cannot be built from the descriptors.
    #[error(transparent)]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// An address cannot be used.
    #[error("{key} = {address} cannot be listened on: {source}")]
    Address {
        /// The setting.
        key: &'static str,
        /// Its value.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Metrics cannot be recorded.
    #[error("metrics cannot be recorded: {0}")]
    Metrics(String),
}

/// A running vault. Dropped without [`Instance::stop`], it serves on.
#[derive(Debug)]
pub struct Instance {
    /// Where it serves gRPC.
    pub address: SocketAddr,
    /// Where it serves the operators.
    pub admin_address: SocketAddr,
    /// Where it serves browsers, if it does.
    pub public_address: Option<SocketAddr>,
    serving: JoinHandle<()>,
    others: Vec<JoinHandle<()>>,
    stop: CancellationToken,
    end: CancellationToken,
    health: tonic_health::server::HealthReporter,
    store: Store,
    broker: Broker,
}

impl Instance {
    /// Starts serving.
    ///
    /// # Errors
    /// Anything that is not as it must be. Nothing was written to the database then.
    pub async fn start(
        settings: Settings,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, StartError> {
        let settings = Arc::new(settings);
        let Inputs { catalog, identity, tls, files } = Inputs::read(&settings, settings.problems())?;
        let http = Http::new(settings.broker.guard.clone());
        let metrics = telemetry::metrics().map_err(|error| StartError::Metrics(error.to_string()))?;
        let (listener, address) = listen("server.address", settings.server.address).await?;
        let (admin_listener, admin_address) =
            listen("server.admin_address", settings.server.admin_address).await?;
        let public_url = settings.public.url.clone();
        let public = match &public_url {
            Some(_) => Some(listen("public.address", settings.public.address).await?),
            None => None,
        };
        let shared = Arc::new(SharedClock::new(clock, settings.store.max_clock_skew));
        let clock: Arc<dyn Clock> = Arc::clone(&shared) as _;
        let database = settings.store.database.clone();
        let store =
            Store::open(database, &settings.root_key, Arc::clone(&clock), Arc::clone(&random)).await?;
        let mut pulse = Pulse::new(store.clone(), Arc::clone(&identity), shared);
        // Before the first call is served, so that none is judged by a wrong clock.
        pulse.look().await;
        if !files.are_current(&settings) {
            return Err(StartError::Changing);
        }
        let parts = Parts {
            store: store.clone(),
            catalog: Arc::clone(&catalog),
            http,
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
        };
        let broker = Broker::new(parts, public_url.clone(), settings.broker.refresh_limits);

        let vault = Vault::new(
            store.clone(),
            Arc::clone(&identity),
            catalog,
            broker.clone(),
            random,
            Arc::clone(&clock),
            &settings,
        );
        let vault = Arc::new(vault);
        let (health, health_service) = tonic_health::server::health_reporter();
        let health_service = health_service.max_decoding_message_size(SMALL);
        let mut routes = service::routes(&vault).add_service(health_service.clone());
        if settings.server.reflection {
            let builder = || {
                tonic_reflection::server::Builder::configure()
                    .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
                    .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                    .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            };
            let (v1, v1alpha) = (builder().build_v1()?, builder().build_v1alpha()?);
            routes = routes.add_service(v1.max_decoding_message_size(SMALL));
            routes = routes.add_service(v1alpha.max_decoding_message_size(SMALL));
        }
        let gate = Gate::new(Arc::clone(&vault), routes.prepare().into_axum_router(), &settings.limits);
        let room = Arc::new(AnswerRoom::of_bytes(settings.limits.response_bytes));
        let (limits, gate) = (settings.limits.clone(), Arc::new(gate));
        let server = Server { listener, tls: Arc::clone(&tls), gate, room: Arc::clone(&room), limits };
        let (stop, end) = (CancellationToken::new(), CancellationToken::new());
        let serving = tokio::spawn(server.run(stop.clone(), settings.server.drain));
        let ready = admin::Ready::default();
        let reloader =
            Reloader::new(Arc::clone(&settings), Arc::clone(&identity), tls, store.root_id(), files);
        let interval = settings.server.reload_interval;
        let admin = admin::router(metrics.clone(), health_service, ready.clone());
        let admin_port = Acceptor::new(admin_listener, "operators", ADMIN_CONNECTIONS, ADMIN_CONNECTIONS / 4);
        let mut others = vec![
            tokio::spawn(port::serve(admin_port, Protocol::Operators, admin, end.clone())),
            tokio::spawn(telemetry::keep(metrics, telemetry::UPKEEP, end.clone(), move || {
                metrics::gauge!("credvault_response_bytes").set(room.taken() as f64);
            })),
            tokio::spawn(reloader.run(interval, end.clone())),
            tokio::spawn(upkeep(Arc::clone(&vault), end.clone())),
            tokio::spawn({
                // Nothing new once the vault stops: what is due is another replica's.
                let (broker, stop) = (broker.clone(), stop.clone());
                async move { broker.refresher().run(stop).await }
            }),
            tokio::spawn({
                let (broker, end) = (broker.clone(), end.clone());
                async move { broker.run_revocations(end).await }
            }),
            tokio::spawn({
                let (broker, end) = (broker.clone(), end.clone());
                async move { broker.run_events(end).await }
            }),
            tokio::spawn(refresh_issuers(Arc::clone(&vault), end.clone())),
            tokio::spawn(pulse.run(health.clone(), ready, stop.clone())),
        ];
        if let Some(every) = settings.broker.test_interval {
            others.push(tokio::spawn(service::test_stored(Arc::clone(&vault), every, stop.clone())));
        }
        let mut public_address = None;
        if let (Some((listener, address)), Some(url)) = (public, public_url) {
            let router = public::router(Arc::clone(&vault), &url);
            let each = settings.public.connections_per_address;
            let port = Acceptor::new(listener, "browsers", PUBLIC_CONNECTIONS, each);
            others.push(tokio::spawn(port::serve(port, Protocol::Browsers, router, end.clone())));
            public_address = Some(address);
        }
        tracing::info!(%address, %admin_address, public_address = public_address.map(tracing::field::display), "serving");
        Ok(Self { address, admin_address, public_address, serving, others, stop, end, health, store, broker })
    }

    /// Stops: not ready from now on, calls in progress finish within `server.drain_seconds`, then all ends.
    pub async fn stop(self) {
        let Self { serving, others, stop, end, health, store, broker, .. } = self;
        tracing::info!("stopping; calls in progress may finish");
        for name in admin::SERVICES {
            health.set_service_status(name, tonic_health::ServingStatus::NotServing).await;
        }
        stop.cancel();
        if let Err(error) = serving.await {
            tracing::error!(%error, "the server ended badly");
        }
        end.cancel();
        for task in others {
            if let Err(error) = task.await {
                tracing::error!(%error, "a background task ended badly");
            }
        }
        // What a provider has given must be stored: nothing else has it.
        if tokio::time::timeout(STORING, broker.refresher().finish()).await.is_err() {
            tracing::error!("refreshes were still under way; their outcome is unknown now");
        }
        store.close().await;
        tracing::info!("stopped");
    }
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Address { key, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Does what is due, every minute.
async fn upkeep(vault: Arc<Vault>, end: CancellationToken) {
    let mut ticks = tokio::time::interval(UPKEEP);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while end.run_until_cancelled(ticks.tick()).await.is_some() {
        vault.forget_idle();
        // Dropped half-way it has done what it has committed.
        match end.run_until_cancelled(vault.store.upkeep()).await {
            None | Some(Ok(0)) => {}
            Some(Ok(purged)) => tracing::info!(purged, "deleted connections were purged"),
            Some(Err(error)) => {
                tracing::warn!(error = crate::call::chain(&error), "upkeep failed; it is tried again")
            }
        }
    }
}

/// Keeps the keys of issuers fresh: each issuer says when it is time.
async fn refresh_issuers(vault: Arc<Vault>, end: CancellationToken) {
    let mut ticks = tokio::time::interval(ISSUERS);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while end.run_until_cancelled(ticks.tick()).await.is_some() {
        let now = vault.clock.now();
        let refreshing = vault.identity.issuers().iter().map(|issuer| issuer.refresh(now));
        end.run_until_cancelled(futures::future::join_all(refreshing)).await;
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
    fn what_is_deployed_is_not_killed_before_an_answer_that_is_on_its_way_is_stored() {
        let drain = seconds(include_str!("../deploy/credvault.toml"), "drain_seconds =");
        // Revocations and events under way, and the pools of the database.
        let rest = 10 + 15;
        let stop = drain + rest + STORING.as_secs();
        let kubernetes = include_str!("../deploy/kubernetes.yaml");
        let hook = 5;
        assert!(seconds(kubernetes, "terminationGracePeriodSeconds:") > hook + stop);
        assert!(seconds(include_str!("../deploy/compose.yaml"), "stop_grace_period:") > stop);
    }
}
