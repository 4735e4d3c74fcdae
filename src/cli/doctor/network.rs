//! The way to the vault: its port, TLS, its answer, its clock, and what policy says about the caller.

use std::io;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use credvault_domain::Timestamp;
use http::Uri;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use super::finding::Finding;
use crate::cli::client::Client;
use crate::cli::distrust::{CLOSED, Cause, cause};
use crate::cli::failure::Failure;
use crate::cli::profile::Profile;
use crate::grpc::{certificates, private_key, reason_of};
use credvault_domain::chain;
use credvault_proto::v1;

/// How long each step on the way may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// By how much two clocks may differ. Certificates and tokens that were issued just now fail beyond that.
const CLOCK_DIFFERENCE_SECONDS: u64 = 60;

/// How long the vault may take to refuse a certificate before the caller sends anything.
const REFUSAL_WAIT: Duration = Duration::from_millis(300);
/// How a client begins HTTP/2 (RFC 9113, section 3.4), with an empty frame of settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
/// What to do where the handshake fails on this side.
const COMPARE: &str = "compare the host in the address with the names in the vault's certificate (server.certificate), and the \
                       profile's authority with the one that has issued it";

/// Where the vault is.
pub(super) struct Place {
    host: String,
    port: u16,
}

impl Place {
    /// The host and the port of the profile's address.
    pub(super) fn of(profile: &Profile) -> Result<Self, Finding> {
        let uri: Option<Uri> = profile.address.parse().ok();
        let uri = uri.filter(|uri| uri.scheme_str() == Some("https"));
        let place = uri.and_then(|uri| {
            let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
            Some(Self { host, port: uri.port_u16().unwrap_or(443) })
        });
        place.ok_or_else(|| {
            let rule = "the address must begin with https:// and name a host";
            Finding::wrong(
                "address",
                rule,
                "name the vault, such as https://localhost:7443, with --address or in the profile",
            )
        })
    }
}

/// Connects to the port, if it is open.
pub(super) async fn port(place: &Place) -> Result<(TcpStream, Finding), Finding> {
    const CHECK: &str = "port";
    let Place { host, port } = place;
    let wrong = |why: String, advice: &str| Finding::wrong(CHECK, format!("{host}:{port}: {why}"), advice);
    match timeout(PATIENCE, TcpStream::connect((host.as_str(), *port))).await {
        Ok(Ok(stream)) => Ok((stream, Finding::good(CHECK, format!("{host}:{port} is open")))),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Err(wrong(
            "nothing listens there".to_owned(),
            "start the vault, or correct the port in the address: gRPC is served at server.address, by default port 7443",
        )),
        Ok(Err(error)) => {
            Err(wrong(chain(&error), "correct the host in the address, or the name server's record of it"))
        }
        Err(_) => {
            let advice = "look for a firewall or a network policy between this machine and the vault";
            Err(wrong(format!("no answer within {} seconds", PATIENCE.as_secs()), advice))
        }
    }
}

/// Shakes hands as the commands do, and waits for the vault's first bytes: with TLS 1.3 the vault looks at the caller's certificate
/// after the handshake has ended for the caller.
pub(super) async fn tls(profile: &Profile, place: &Place, stream: TcpStream) -> Finding {
    const CHECK: &str = "TLS";
    let config = match config(profile) {
        Ok(config) => config,
        Err(why) => {
            return Finding::skipped(CHECK, format!("the files of the profile cannot be used: {why}"));
        }
    };
    let Ok(name) = ServerName::try_from(place.host.clone()) else {
        return Finding::wrong(CHECK, "the host is no DNS name and no IP address", "correct the address");
    };
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let (ended, advice) = match timeout(PATIENCE, connecting).await {
        Ok(Ok(stream)) => match greeting(stream).await {
            Ok(()) => return Finding::good(CHECK, format!("the authority vouches for {}", place.host)),
            Err(error) => (chain(&error), CLOSED),
        },
        Ok(Err(error)) => (chain(&error), COMPARE),
        Err(_) => {
            ("no answer to the handshake".to_owned(), "look whether it is the vault that listens there")
        }
    };
    match cause(&ended) {
        Some(cause) => Finding::wrong(CHECK, cause.text, cause.advice),
        None => Finding::wrong(CHECK, ended, advice),
    }
}

/// Begins HTTP/2 and waits for the vault's first byte, or for why it closes the connection. A vault that says nothing for a while
/// has refused nothing.
async fn greeting(mut stream: TlsStream<TcpStream>) -> io::Result<()> {
    // A refusal is on its way by now. What is sent before it is read could make the system drop it.
    let mut first = [0];
    let refused = timeout(REFUSAL_WAIT, stream.read(&mut first)).await;
    let read = match refused {
        Ok(read) => read?,
        Err(_) => {
            // A refusal that is on its way says more than a write that fails.
            let _ = stream.write_all(PREFACE).await;
            let _ = stream.flush().await;
            match timeout(PATIENCE, stream.read(&mut first)).await {
                Ok(read) => read?,
                Err(_) => return Ok(()),
            }
        }
    };
    if read == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the vault closes the connection at once"));
    }
    Ok(())
}

/// What the vault says about the caller's certificate, if that is why a connection broke.
pub(in crate::cli) async fn distrust(profile: &Profile) -> Option<Cause> {
    let place = Place::of(profile).ok()?;
    let (stream, _) = port(&place).await.ok()?;
    let name = ServerName::try_from(place.host.clone()).ok()?;
    let connector = TlsConnector::from(Arc::new(config(profile).ok()?));
    let ended = match timeout(PATIENCE, connector.connect(name, stream)).await.ok()? {
        Ok(stream) => greeting(stream).await.err()?,
        Err(error) => error,
    };
    cause(&chain(&ended)).filter(|cause| cause.is_distrust)
}

fn config(profile: &Profile) -> Result<ClientConfig, String> {
    let read = |path| std::fs::read(path).map_err(|error| error.to_string());
    let mut roots = RootCertStore::empty();
    for authority in certificates(&read(&profile.authority)?)? {
        roots.add(authority).map_err(|error| error.to_string())?;
    }
    let chain = certificates(&read(&profile.certificate)?)?;
    let key = private_key(&read(&profile.key)?)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|error| error.to_string())?;
    let mut config = builder
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Makes the least call that there is for this caller, and says what the answer tells: about the caller, the clock and the
/// policy.
pub(super) async fn answer(profile: &Profile, now: Timestamp) -> Vec<Finding> {
    let client = match Client::connect(profile).await {
        Ok(client) => client,
        Err(failure) => return vec![Finding::wrong("answer", failure.to_string(), CLOSED)],
    };
    // Administrators call for no tenant.
    let for_tenant = profile.tenant.is_some() || profile.token_file.is_some();
    let (command, answered) = if for_tenant {
        let request = v1::ListConnectionsRequest { page_size: 1, ..Default::default() };
        let answered = client.connections().list_connections(request).await;
        ("connections list", answered.map(|answer| answer.metadata().clone()))
    } else {
        let request = v1::ListTenantsRequest { page_size: 1, ..Default::default() };
        let answered = client.admin().list_tenants(request).await;
        ("tenants list", answered.map(|answer| answer.metadata().clone()))
    };
    match answered {
        Ok(headers) => vec![
            Finding::good("answer", "the vault knows the caller"),
            clock(&headers, now),
            Finding::good("policy", format!("it allows `credvault {command}`")),
        ],
        Err(status) => {
            let clock = clock(status.metadata(), now);
            let [answer, policy] = refused(status, command);
            vec![answer, clock, policy]
        }
    }
}

/// What a refusal tells: about the caller, and about the policy.
fn refused(status: Status, command: &str) -> [Finding; 2] {
    let (code, reason) = (status.code(), reason_of(&status).unwrap_or_default());
    let text = Failure::from(status).to_string();
    if code == Code::PermissionDenied {
        let advice = format!(
            "let the policies permit what this service needs, or use the profile of another one: docs/policies.md; `credvault \
             {command}` was tried"
        );
        let known = Finding::good("answer", "the vault knows the caller");
        return [known, Finding::wrong("policy", text, advice)];
    }
    let advice = match reason.as_str() {
        "CLIENT_CERTIFICATE_INVALID" => {
            "have the certificate issued for a trust domain that the vault's identity.trust_domains names"
        }
        "TOKEN_INVALID" => "get a new token from an issuer that the vault's identity.issuers names",
        "TENANT_MISSING" => "name the tenant, with --tenant or in the profile",
        "TENANT_NOT_FOUND" => "correct the tenant: ids distinguish capital and small letters",
        _ if code == Code::Unavailable => CLOSED,
        _ => "docs/errors.md says what the reason means",
    };
    let asked = Finding::skipped("policy", "the call was refused before policy was asked");
    [Finding::wrong("answer", text, advice), asked]
}

/// Compares this machine's clock with the vault's, which stands in every answer.
fn clock(headers: &MetadataMap, now: Timestamp) -> Finding {
    const CHECK: &str = "clock";
    let date = headers.get("date").and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    let theirs = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok()).map(|since| since.as_secs());
    let Some(theirs) = theirs else {
        return Finding::skipped(CHECK, "the answer does not say the vault's time");
    };
    let difference = theirs.abs_diff(u64::try_from(now.seconds()).unwrap_or_default());
    if difference > CLOCK_DIFFERENCE_SECONDS {
        let text = format!("this machine's clock and the vault's differ by {difference} seconds");
        return Finding::wrong(CHECK, text, "set both by a time server");
    }
    Finding::good(CHECK, "it agrees with the vault's within a minute")
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds, 0).expect("a time")
    }

    #[test]
    fn a_clock_that_goes_wrong_is_found() {
        let mut headers = MetadataMap::new();
        assert_eq!(clock(&headers, at(0)).state, State::Skipped);
        headers.insert("date", "Sun, 06 Nov 1994 08:49:37 GMT".parse().expect("a date"));
        for (seconds, state) in
            [(784_111_777, State::Good), (784_111_837, State::Good), (784_111_716, State::Wrong)]
        {
            assert_eq!(clock(&headers, at(seconds)).state, state, "{seconds}");
        }
    }

    #[test]
    fn a_refusal_by_policy_knows_the_caller() {
        let [answer, policy] =
            refused(Status::permission_denied("no policy permits this"), "connections list");
        assert_eq!((answer.state, policy.state), (State::Good, State::Wrong));
        assert!(policy.text.contains("no policy permits this"), "{policy:?}");
        let [answer, policy] = refused(Status::unauthenticated("who is it"), "connections list");
        assert_eq!((answer.state, policy.state), (State::Wrong, State::Skipped));
    }

    #[test]
    fn an_address_in_the_clear_is_no_place() {
        let place = |address: &str| {
            let profile = Profile {
                address: address.to_owned(),
                authority: "ca.pem".into(),
                certificate: "app.pem".into(),
                key: "app.key".into(),
                tenant: None,
                user: None,
                token_file: None,
                environment: None,
                file: None,
            };
            Place::of(&profile).ok().map(|place| (place.host, place.port))
        };
        assert_eq!(place("https://vault.test:7443"), Some(("vault.test".to_owned(), 7443)));
        assert_eq!(place("https://[::1]"), Some(("::1".to_owned(), 443)));
        assert_eq!(place("http://vault.test:7443"), None);
        assert_eq!(place("CANARY"), None);
    }
}
