//! The four services over gRPC. A handler parses a message into domain types, calls one operation, and converts its
//! answer back; what the vault does stands in `credvault-operations`.

mod admin;
mod apps;
mod audit;
mod connection;
mod consents;
mod events;
mod frame;
mod vault;

use std::sync::Arc;

use credvault_operations::{Context, Recorded, Refusal};
use tonic::service::Routes;

use crate::proto::v1::admin_service_server::AdminServiceServer;
use crate::proto::v1::audit_service_server::AuditServiceServer;
use crate::proto::v1::connection_service_server::ConnectionServiceServer;
use crate::proto::v1::vault_service_server::VaultServiceServer;

pub(crate) use frame::Ticket;

/// The largest request, in bytes.
pub(crate) const MAX_REQUEST: usize = 256 * 1024;
/// The largest response, in bytes: what gRPC clients accept by default. Pages and batches end well before it.
const MAX_RESPONSE: usize = 4 * 1024 * 1024;

/// What a handler answers.
type Answer<T> = Result<Recorded<T>, Refusal>;

/// Implements a generated service trait: each RPC runs the handler of its name in the frame of a call.
macro_rules! rpcs {
    ($service:ty, $trait:path, $($rpc:ident: $request:ident -> $response:ident,)*) => {
        #[tonic::async_trait]
        impl $trait for $service {
            $(
                async fn $rpc(
                    &self,
                    request: tonic::Request<v1::$request>,
                ) -> Result<tonic::Response<v1::$response>, tonic::Status> {
                    crate::service::frame::serve(&self.0, request, |call, message| {
                        Box::pin($rpc(call, message))
                    })
                    .await
                }
            )*
        }
    };
}
use rpcs;

/// All RPCs.
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
