//! A client that says who it is, and what a refusal looks like to it.

use std::net::SocketAddr;

use credvault_proto::v1;
use credvault_proto::v1::admin_service_client::AdminServiceClient;
use credvault_proto::v1::audit_service_client::AuditServiceClient;
use credvault_proto::v1::connection_service_client::ConnectionServiceClient;
use credvault_proto::v1::vault_service_client::VaultServiceClient;
use credvault_testkit::Leaf;
use futures::StreamExt as _;
use prost::bytes::{Buf as _, BufMut as _};
use tonic::codec::{DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status, Streaming};
use tonic_types::StatusExt as _;

pub type TestError = Box<dyn std::error::Error + Send + Sync>;
pub type Calling = InterceptedService<Channel, Headers>;

#[derive(Clone)]
pub struct Client {
    pub channel: Channel,
    headers: Headers,
}

#[derive(Clone, Default)]
pub struct Headers(Vec<(String, String)>);

impl tonic::service::Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        self.add(request.metadata_mut());
        Ok(request)
    }
}

impl Headers {
    fn add(&self, metadata: &mut MetadataMap) {
        for (name, value) in &self.0 {
            let name: tonic::metadata::MetadataKey<_> = name.parse().unwrap();
            metadata.append(name, value.parse().unwrap());
        }
    }
}

impl Client {
    pub async fn connect(
        address: SocketAddr,
        authority: &str,
        leaf: Option<&Leaf>,
    ) -> Result<Self, TestError> {
        Self::over(Self::endpoint(address, authority, leaf)?).await
    }

    /// A client whose library takes no more of an answer than 64 KiB before it is read.
    pub async fn connect_narrowly(
        address: SocketAddr,
        authority: &str,
        leaf: &Leaf,
    ) -> Result<Self, TestError> {
        let endpoint = Self::endpoint(address, authority, Some(leaf))?;
        let window = 65_535;
        Self::over(endpoint.initial_stream_window_size(window).initial_connection_window_size(window)).await
    }

    async fn over(endpoint: Endpoint) -> Result<Self, TestError> {
        Ok(Self { channel: endpoint.connect().await?, headers: Headers::default() })
    }

    fn endpoint(address: SocketAddr, authority: &str, leaf: Option<&Leaf>) -> Result<Endpoint, TestError> {
        let mut tls =
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority)).domain_name("localhost");
        if let Some(leaf) = leaf {
            tls = tls.identity(Identity::from_pem(&leaf.certificate, &leaf.key));
        }
        Ok(Endpoint::from_shared(format!("https://{address}"))?.tls_config(tls)?)
    }

    /// The same client with a header more.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.0.push((name.to_owned(), value.to_owned()));
        client
    }

    /// The same client acting for a tenant and user.
    pub fn acting_for(&self, tenant: &str, user: Option<&str>) -> Self {
        let client = self.without_tenant().with("x-tenant-id", tenant);
        user.map_or(client.clone(), |user| client.with("x-user-id", user))
    }

    pub fn bearing(&self, token: &str) -> Self {
        self.without_tenant().with("authorization", &format!("Bearer {token}"))
    }

    pub fn without_tenant(&self) -> Self {
        Self { channel: self.channel.clone(), headers: Headers::default() }
    }

    fn calling(&self) -> Calling {
        InterceptedService::new(self.channel.clone(), self.headers.clone())
    }

    pub fn vault(&self) -> VaultServiceClient<Calling> {
        VaultServiceClient::new(self.calling())
    }

    pub fn connections(&self) -> ConnectionServiceClient<Calling> {
        ConnectionServiceClient::new(self.calling())
    }

    pub fn audit(&self) -> AuditServiceClient<Calling> {
        AuditServiceClient::new(self.calling())
    }

    pub fn admin(&self) -> AdminServiceClient<Calling> {
        AdminServiceClient::new(self.calling())
    }

    /// Creates a connection and gives it.
    pub async fn create(&self, request: v1::CreateConnectionRequest) -> Result<v1::Connection, Status> {
        Ok(self.connections().create_connection(request).await?.into_inner().connection.unwrap())
    }

    pub async fn put(&self, id: &str, secret: &str) -> Result<v1::CredentialVersion, Status> {
        let request = v1::PutCredentialRequest {
            connection_id: id.to_owned(),
            credential: Some(super::input(&[("token", secret)])),
            ..Default::default()
        };
        Ok(self.vault().put_credential(request).await?.into_inner().version.unwrap())
    }

    pub async fn fetch(&self, request: v1::FetchCredentialRequest) -> Result<v1::Credential, Status> {
        Ok(self.vault().fetch_credential(request).await?.into_inner().credential.unwrap())
    }

    /// The value of the field `token`.
    pub async fn token(&self, request: v1::FetchCredentialRequest) -> Result<String, Status> {
        self.fetch(request).await.map(|credential| credential.fields["token"].clone())
    }

    /// All audit records, newest first.
    pub async fn events(&self) -> Vec<v1::AuditEvent> {
        let request = v1::ListAuditEventsRequest { page_size: 500, ..Default::default() };
        self.audit().list_audit_events(request).await.unwrap().into_inner().events
    }

    /// Calls any RPC and leaves its answer unread for as long as what this gives is kept.
    pub async fn unread(&self, path: &str, message: Vec<u8>) -> Result<Streaming<Vec<u8>>, Status> {
        let mut grpc = tonic::client::Grpc::new(self.calling());
        grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
        let path = path.parse().unwrap();
        Ok(grpc.server_streaming(Request::new(message), path, RawCodec).await?.into_inner())
    }

    /// Sends a message to any RPC, and never says that it has ended.
    pub async fn unended(&self, path: &str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
        let mut grpc = tonic::client::Grpc::new(self.calling());
        grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
        let path = path.parse().unwrap();
        let stream = futures::stream::iter([message]).chain(futures::stream::pending());
        Ok(grpc.client_streaming(Request::new(stream), path, RawCodec).await?.into_inner())
    }

    /// Calls any RPC with encoded bytes, and reads its one response, or the first of a stream: some have no end.
    pub async fn raw(&self, path: &str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
        let first = self.unread(path, message).await?.message().await?;
        first.ok_or_else(|| Status::internal("there is no response"))
    }
}

/// Bytes as they are.
#[derive(Default)]
pub struct RawCodec;

impl tonic::codec::Codec for RawCodec {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut bytes = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}

/// Code and reason of a refusal, which has exactly one `ErrorInfo` of ours.
pub fn refusal(status: &Status) -> String {
    let details = status.get_error_details_vec();
    let infos: Vec<_> =
        details
            .iter()
            .filter_map(|detail| {
                if let tonic_types::ErrorDetail::ErrorInfo(info) = detail { Some(info) } else { None }
            })
            .collect();
    assert_eq!(infos.len(), 1, "{status:?}");
    assert_eq!(infos[0].domain, "credvault");
    assert!(!status.message().is_empty());
    format!("{:?} {}", status.code(), infos[0].reason)
}
