//! The vault as the console reaches it: over the channel of the operator's profile, for the tenant that a page is about and
//! for no user. It sends what the page asks for, and holds nothing.

use std::time::Duration;

use credvault_proto::v1;
use credvault_proto::v1::admin_service_client::AdminServiceClient;
use credvault_proto::v1::audit_service_client::AuditServiceClient;
use credvault_proto::v1::connection_service_client::ConnectionServiceClient;
use credvault_proto::v1::vault_service_client::VaultServiceClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::refusal::Refusal;

/// How long a page waits for one answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// The vault behind the operator's channel.
pub(crate) struct Vault {
    channel: Channel,
}

/// For which tenant a call is made; none for administration and for the platform's own.
#[derive(Clone)]
pub(crate) struct Acting(Option<MetadataValue<Ascii>>);

impl Interceptor for Acting {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(tenant) = &self.0 {
            request.metadata_mut().insert("x-tenant-id", tenant.clone());
        }
        request.set_timeout(CALL_TIMEOUT);
        Ok(request)
    }
}

/// A channel that says for which tenant it calls.
pub(crate) type Calling = InterceptedService<Channel, Acting>;

impl Vault {
    /// The vault at the other end of a channel.
    pub(crate) fn new(channel: Channel) -> Self {
        Self { channel }
    }

    /// Administration, whose requests name the tenant themselves.
    pub(crate) fn admin(&self) -> AdminServiceClient<Calling> {
        AdminServiceClient::new(InterceptedService::new(self.channel.clone(), Acting(None)))
    }

    /// The audit log of a tenant; of the platform without one.
    pub(crate) fn audit(&self, tenant: &str) -> Result<AuditServiceClient<Calling>, Refusal> {
        Ok(AuditServiceClient::new(self.calling(tenant)?))
    }

    /// The connections of a tenant; of the platform without one.
    pub(crate) fn connections(&self, tenant: &str) -> Result<ConnectionServiceClient<Calling>, Refusal> {
        Ok(ConnectionServiceClient::new(self.calling(tenant)?))
    }

    /// The versions of credentials of a tenant; of the platform without one.
    pub(crate) fn versions(&self, tenant: &str) -> Result<VaultServiceClient<Calling>, Refusal> {
        Ok(VaultServiceClient::new(self.calling(tenant)?))
    }

    fn calling(&self, tenant: &str) -> Result<Calling, Refusal> {
        let header: Option<MetadataValue<Ascii>> = match tenant {
            "" => None,
            tenant => Some(tenant.parse().map_err(|_| {
                Refusal::of_field(
                    "tenant",
                    "must be the id of a tenant: 1 to 64 characters of A-Z a-z 0-9 _ -",
                )
            })?),
        };
        Ok(InterceptedService::new(self.channel.clone(), Acting(header)))
    }
}

/// One connection of a tenant, deleted or not, as its administrator sees it.
pub(crate) async fn connection(vault: &Vault, tenant: &str, id: &str) -> Result<v1::Connection, Refusal> {
    let selection = v1::ConnectionSelection { ids: vec![id.to_owned()], ..Default::default() };
    let request = v1::ListTenantConnectionsRequest {
        tenant_id: tenant.to_owned(),
        page_size: 1,
        selection: Some(selection),
        show_deleted: true,
        ..Default::default()
    };
    let listed = vault.admin().list_tenant_connections(request).await?.into_inner();
    listed.connections.into_iter().next().ok_or_else(|| Refusal::missing("This connection"))
}
