//! A first fetch, against the vault that `credvault dev` runs in this folder.

#![allow(clippy::print_stdout, reason = "an example prints")]

use credvault_proto::v1::FetchCredentialRequest;
use credvault_proto::v1::vault_service_client::VaultServiceClient;
use tonic::Request;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let read = |name: &str| std::fs::read(format!("credvault-dev/{name}"));
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read("ca.pem")?))
        .identity(Identity::from_pem(read("app.pem")?, read("app.key")?));
    let channel = Endpoint::from_static("https://localhost:7443").tls_config(tls)?.connect().await?;

    let mut request =
        Request::new(FetchCredentialRequest { provider: "shopify".into(), ..Default::default() });
    request.metadata_mut().insert("x-tenant-id", "demo".parse()?);
    let answer = VaultServiceClient::new(channel).fetch_credential(request).await?.into_inner();

    let credential = answer.credential.unwrap_or_default();
    let auth = credential.request_auth.unwrap_or_default();
    let headers: Vec<_> = auth.headers.keys().collect();
    println!(
        "connection {}, version {}: {} with {headers:?}",
        credential.connection_id, credential.version, auth.base_url
    );
    Ok(())
}
