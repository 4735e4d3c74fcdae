//! Which client certificates get in, and what the others are told.

use credvault_testkit::{Authority, Leaf, LeafSpec};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use time::Duration;

use crate::harness::{Client, TestVault, VaultBuilder, by_provider, refusal};

const SERVICE: &str = "spiffe://test.local/app";

async fn call(client: &Client) -> tonic::Status {
    client.acting_for("acme", None).fetch(by_provider("generic")).await.unwrap_err()
}

/// The answer to a client with this certificate; `None` if the handshake fails.
async fn told(vault: &TestVault, leaf: Option<&Leaf>) -> Option<String> {
    // In TLS 1.3 the client learns of the server's refusal with its first call.
    let client = Client::connect(vault.address(), vault.authority.pem(), leaf).await.ok()?;
    let status = call(&client).await;
    (!status.details().is_empty()).then(|| refusal(&status))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_one_uri_of_a_trusted_domain_by_a_trusted_authority_gets_in() {
    let vault = VaultBuilder::sqlite().start().await;
    vault.tenant("acme").await;
    let issue = |spec: LeafSpec| vault.authority.issue(&spec);
    let good = issue(LeafSpec::service(SERVICE));
    assert_eq!(told(&vault, Some(&good)).await.as_deref(), Some("NotFound CREDENTIAL_NOT_CONFIGURED"));

    // No handshake without a certificate, with an expired one, a future one, or one of an authority that is not trusted.
    let expired =
        LeafSpec { begins: Duration::hours(-2), ends: Duration::hours(-1), ..LeafSpec::service(SERVICE) };
    let future =
        LeafSpec { begins: Duration::hours(1), ends: Duration::hours(2), ..LeafSpec::service(SERVICE) };
    let stranger = Authority::new("stranger").service(SERVICE);
    let own = Leaf::self_signed(&LeafSpec::service(SERVICE));
    for leaf in [None, Some(&issue(expired)), Some(&issue(future)), Some(&stranger), Some(&own)] {
        assert_eq!(told(&vault, leaf).await, None);
    }

    // A trusted certificate that names no service of a trust domain gets an answer that says so.
    let two =
        LeafSpec { uris: vec![SERVICE.into(), "spiffe://test.local/other".into()], ..LeafSpec::default() };
    let named = LeafSpec { names: vec!["app.test.local".into()], ..LeafSpec::default() };
    for spec in [
        two,
        named,
        LeafSpec::service("spiffe://elsewhere.local/app"),
        LeafSpec::service("https://test.local/app"),
        LeafSpec::service("spiffe://test.local"),
        LeafSpec { digital_signature: false, ..LeafSpec::service(SERVICE) },
    ] {
        let answer = told(&vault, Some(&issue(spec))).await;
        assert!(
            answer.is_none() || answer.as_deref() == Some("Unauthenticated CLIENT_CERTIFICATE_INVALID"),
            "{answer:?}"
        );
    }
    let two =
        LeafSpec { uris: vec![SERVICE.into(), "spiffe://test.local/other".into()], ..LeafSpec::default() };
    assert_eq!(
        told(&vault, Some(&issue(two))).await.as_deref(),
        Some("Unauthenticated CLIENT_CERTIFICATE_INVALID")
    );
    let platform = vault.client("operator").await.events().await;
    assert!(
        platform.iter().any(|event| event.reason == "CLIENT_CERTIFICATE_INVALID" && event.service.is_empty())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_expires_under_an_open_connection_stops_to_count() {
    let vault = VaultBuilder::sqlite().start().await;
    vault.tenant("acme").await;
    let client = vault.client("app").await;
    assert_eq!(refusal(&call(&client).await), "NotFound CREDENTIAL_NOT_CONFIGURED");
    vault.clock.advance(std::time::Duration::from_secs(2 * 3600));
    assert_eq!(refusal(&call(&client).await), "Unauthenticated CLIENT_CERTIFICATE_INVALID");
}

/// A client of our own, to look at TLS itself.
async fn handshake(
    vault: &TestVault,
    config: rustls::ClientConfig,
) -> Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>, std::io::Error> {
    let socket = tokio::net::TcpStream::connect(vault.address()).await?;
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    connector.connect(ServerName::try_from("localhost").unwrap(), socket).await
}

fn client_config(vault: &TestVault) -> rustls::ClientConfig {
    let leaf = vault.authority.service(SERVICE);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(vault.authority.der().to_vec())).unwrap();
    let mut config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from(leaf.der)],
            PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_1_3_with_h2_and_is_never_resumed() {
    use tokio::io::AsyncReadExt as _;
    let vault = VaultBuilder::sqlite().start().await;
    // The same configuration, so that the client would resume if it were given a ticket.
    let config = client_config(&vault);
    for _ in 0..2 {
        let mut stream = handshake(&vault, config.clone()).await.unwrap();
        // The server's first frame follows its tickets, if it sends any.
        stream.read_u8().await.unwrap();
        let connection = stream.get_ref().1;
        assert_eq!(connection.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        assert_eq!(connection.alpn_protocol(), Some(b"h2".as_slice()));
        assert_eq!(connection.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(connection.tls13_tickets_received(), 0);
    }
    let mut other = client_config(&vault);
    other.alpn_protocols = vec![b"http/1.1".to_vec()];
    assert!(handshake(&vault, other).await.is_err());
}
