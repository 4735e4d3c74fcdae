//! The four services. A handler parses into domain types, makes one call down, and converts back: no SQL, no
//! cryptography and no state rule stands here.

mod admin;
mod audit;
mod batch;
mod connection;
mod events;
mod testing;
mod vault;

use std::sync::Arc;

use tonic::service::Routes;

use crate::proto::v1::admin_service_server::AdminServiceServer;
use crate::proto::v1::audit_service_server::AuditServiceServer;
use crate::proto::v1::connection_service_server::ConnectionServiceServer;
use crate::proto::v1::vault_service_server::VaultServiceServer;
use crate::vault::Vault;

pub(crate) use testing::run as test_stored;

/// The largest request, in bytes.
pub(crate) const MAX_REQUEST: usize = 256 * 1024;
/// The largest response, in bytes: what gRPC clients accept by default. Pages and batches end well before it.
const MAX_RESPONSE: usize = 4 * 1024 * 1024;

/// Implements a generated service trait: each RPC runs the handler of its name in the frame of [`crate::call::serve`].
macro_rules! rpcs {
    ($service:ty, $trait:path, $($rpc:ident: $request:ident -> $response:ident,)*) => {
        #[tonic::async_trait]
        impl $trait for $service {
            $(
                async fn $rpc(
                    &self,
                    request: tonic::Request<v1::$request>,
                ) -> Result<tonic::Response<v1::$response>, tonic::Status> {
                    crate::call::serve(&self.0, request, $rpc).await
                }
            )*
        }
    };
}
use rpcs;

/// All RPCs.
pub(crate) fn routes(vault: &Arc<Vault>) -> Routes {
    macro_rules! limited {
        ($server:ident, $service:expr) => {
            $server::new($service)
                .max_decoding_message_size(MAX_REQUEST)
                .max_encoding_message_size(MAX_RESPONSE)
        };
    }
    Routes::new(limited!(VaultServiceServer, vault::Service(Arc::clone(vault))))
        .add_service(limited!(ConnectionServiceServer, connection::Service(Arc::clone(vault))))
        .add_service(limited!(AuditServiceServer, audit::Service(Arc::clone(vault))))
        .add_service(limited!(AdminServiceServer, admin::Service(Arc::clone(vault))))
}
