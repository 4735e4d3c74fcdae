//! The operators' port: `/livez`, `/readyz`, `/metrics` over HTTP, and plain `grpc.health.v1`. Nothing else, and no
//! authentication: keep it private.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
#[derive(Clone, Default)]
pub(crate) struct Ready(Arc<AtomicBool>);

impl Ready {
    pub(crate) fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }
}

/// The routes of the port.
pub(crate) fn router<H: Health>(metrics: PrometheusHandle, health: HealthServer<H>, ready: Ready) -> Router {
    let readyz = move || async move {
        if ready.0.load(Ordering::Acquire) {
            (StatusCode::OK, "ready\n")
        } else {
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "not ready: the database does not answer, or the vault is stopping\n",
            )
        }
    };
    let metrics = move || async move { metrics.render() };
    Router::new()
        .route_service("/grpc.health.v1.Health/{method}", health)
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
}
