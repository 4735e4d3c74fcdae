//! The operators' port: `/livez`, `/readyz`, `/metrics` over HTTP, and plain `grpc.health.v1`. Nothing else, and no
//! authentication: keep it private.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::routing::get;
use http::StatusCode;
use metrics_exporter_prometheus::PrometheusHandle;
use tonic_health::pb::health_server::{Health, HealthServer};

/// The names that health answers for: the whole, and each service.
pub(crate) const SERVICES: [&str; 5] = [
    "",
    "credvault.v1.VaultService",
    "credvault.v1.ConnectionService",
    "credvault.v1.AuditService",
    "credvault.v1.AdminService",
];

/// Whether calls can be served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Readiness {
    /// They can; with a warning, if something is amiss nevertheless.
    Ready(Option<String>),
    /// They cannot, for this reason.
    NotReady(String),
}

/// The readiness that probes see, shared with the health check that sets it.
#[derive(Clone)]
pub(crate) struct Ready(Arc<ArcSwap<Readiness>>);

impl Default for Ready {
    fn default() -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Readiness::NotReady("the vault is starting".to_owned()))))
    }
}

impl Ready {
    pub(crate) fn set(&self, readiness: Readiness) {
        self.0.store(Arc::new(readiness));
    }
}

/// The routes of the port.
pub(crate) fn router<H: Health>(metrics: PrometheusHandle, health: HealthServer<H>, ready: Ready) -> Router {
    let readyz = move || async move {
        match &**ready.0.load() {
            Readiness::Ready(None) => (StatusCode::OK, "ready\n".to_owned()),
            Readiness::Ready(Some(amiss)) => (StatusCode::OK, format!("ready, but {amiss}\n")),
            Readiness::NotReady(reason) => {
                (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n"))
            }
        }
    };
    let metrics = move || async move { metrics.render() };
    Router::new()
        .route_service("/grpc.health.v1.Health/{method}", health)
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
}
