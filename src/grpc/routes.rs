//! The routes of the mTLS port: the services, health, and reflection where it is switched on.

use std::sync::Arc;

use axum::Router;
use credvault_operations::Context;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_reflection::server::{Builder, Error};

use super::services;

/// The largest message of health and reflection, in bytes.
pub(crate) const MAX_HEALTH_MESSAGE: usize = 4 * 1024;

/// All routes.
///
/// # Errors
/// Reflection cannot be built from the descriptors.
pub(crate) fn routes<H: Health>(
    context: &Arc<Context>,
    health: HealthServer<H>,
    reflection: bool,
) -> Result<Router, Error> {
    let mut routes = services::routes(context).add_service(health);
    if reflection {
        let builder = || {
            Builder::configure()
                .register_encoded_file_descriptor_set(credvault_proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        // Clients in use ask by either version of the protocol.
        let (v1, v1alpha) = (builder().build_v1()?, builder().build_v1alpha()?);
        routes = routes.add_service(v1.max_decoding_message_size(MAX_HEALTH_MESSAGE));
        routes = routes.add_service(v1alpha.max_decoding_message_size(MAX_HEALTH_MESSAGE));
    }
    Ok(routes.prepare().into_axum_router())
}
