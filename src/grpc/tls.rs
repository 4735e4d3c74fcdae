//! The TLS configuration: 1.3 only, client certificate required, no resumption, exchangeable while serving.

use std::sync::Arc;

use arc_swap::ArcSwap;
use credvault_identity::Trust;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, version};

/// The configuration that the next handshake uses.
pub(crate) struct Tls {
    current: ArcSwap<ServerConfig>,
    trust: Arc<Trust>,
}

impl Tls {
    /// Serves with this certificate chain and key, both PEM.
    pub(crate) fn new(trust: Arc<Trust>, chain: &[u8], key: &[u8]) -> Result<Self, String> {
        let current = ArcSwap::from_pointee(build(&trust, chain, key)?);
        Ok(Self { current, trust })
    }

    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// Replaces the certificate for the handshakes to come.
    pub(crate) fn replace(&self, chain: &[u8], key: &[u8]) -> Result<(), String> {
        self.current.store(Arc::new(build(&self.trust, chain, key)?));
        Ok(())
    }
}

/// Checks that a certificate chain and a key, both PEM, can be served with.
pub(crate) fn check_pair(chain: &[u8], key: &[u8]) -> Result<(), String> {
    certified(chain, key).map(|_| ())
}

fn certified(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, String> {
    let chain = certificates(chain)?;
    CertifiedKey::from_der(chain, private_key(key)?, &rustls::crypto::ring::default_provider())
        .map_err(|error| format!("certificate and key do not fit: {error}"))
}

fn build(trust: &Arc<Trust>, chain: &[u8], key: &[u8]) -> Result<ServerConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(Arc::clone(trust) as _)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified(chain, key)?)));
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session shows no certificate, so there is none to check.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// The certificates of a PEM file, at least one. What is wrong with it is not repeated: the parser's error holds bytes of
/// the file, which may be a private key.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|_| "it is not PEM".to_owned())?;
    if certificates.is_empty() { Err("it holds no certificate".to_owned()) } else { Ok(certificates) }
}

/// The private key of a PEM file.
pub(crate) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| "the key file holds no PEM private key".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is broken where, in either file, the message does not repeat what was given, as text or as numbers.
    #[test]
    fn no_message_repeats_a_pem_file() {
        let authority = credvault_testkit::Authority::new("CANARY authority");
        let leaf = authority.service("spiffe://test.local/a");
        check_pair(leaf.certificate.as_bytes(), leaf.key.as_bytes())
            .expect("it is sound before it is broken");
        let mut refused = 0;
        for (text, other) in [(&leaf.certificate, &leaf.key), (&leaf.key, &leaf.certificate)] {
            for place in 0..text.len() {
                let more =
                    ["-", "\n", "=", "CANARY", "\n-----BEGIN CANARY\n", "\n-----BEGIN CANARY-----\nCANARY\n"];
                let mut all = credvault_testkit::broken_at(text, place, &more);
                all.push(format!("{}CANARY", &text[..place]));
                for broken in all {
                    let (broken, other) = (broken.as_bytes(), other.as_bytes());
                    let wrong = [
                        check_pair(broken, other).err(),
                        check_pair(other, broken).err(),
                        certificates(broken).err(),
                    ];
                    for message in wrong.into_iter().flatten() {
                        refused += 1;
                        assert!(!message.contains("CANARY") && !message.contains("67, 65, 78"), "{message}");
                    }
                }
            }
        }
        assert!(refused > 5_000, "{refused}");
    }
}
