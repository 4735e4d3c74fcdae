//! The four services over gRPC. A handler parses a message into domain types, calls one operation, and converts its
//! answer back; what the vault does stands in `credvault-operations`.

mod admin;
mod apps;
mod audit;
mod audit_streams;
mod connect;
mod connection;
mod consents;
mod erasure;
mod events;
mod frame;
mod keys;
mod limits;
mod oversight;
mod policy;
mod requirements;
mod secrets;
mod service_configs;
mod usage;
mod vault;

use std::sync::Arc;

use credvault_operations::Context;
use tonic::service::Routes;

use credvault_proto::v1::admin_service_server::AdminServiceServer;
use credvault_proto::v1::audit_service_server::AuditServiceServer;
use credvault_proto::v1::connection_service_server::ConnectionServiceServer;
use credvault_proto::v1::vault_service_server::VaultServiceServer;

pub(crate) use frame::Admitted;

use crate::grpc::MAX_REQUEST;

/// The largest response, in bytes: what gRPC clients accept by default. Pages and batches end well before it.
const MAX_RESPONSE: usize = 4 * 1024 * 1024;

/// The routes of all RPCs.
pub(crate) fn routes(context: &Arc<Context>) -> Routes {
    macro_rules! limited {
        ($server:ident, $service:expr) => {
            $server::new($service)
                .max_decoding_message_size(MAX_REQUEST)
                .max_encoding_message_size(MAX_RESPONSE)
        };
    }
    Routes::new(limited!(VaultServiceServer, vault::Service(Arc::clone(context))))
        .add_service(limited!(ConnectionServiceServer, connection::Service(Arc::clone(context))))
        .add_service(limited!(AuditServiceServer, audit::Service(Arc::clone(context))))
        .add_service(limited!(AdminServiceServer, admin::Service(Arc::clone(context))))
}
