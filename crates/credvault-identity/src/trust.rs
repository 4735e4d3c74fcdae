//! The authorities of each trust domain, which can be replaced while connections are open. Also rustls' verifier of
//! client certificates.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use credvault_domain::{Present, ServiceId, Timestamp, TrustDomain};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};

use crate::certificate::service_of;
use crate::{CertificateError, PeerCertificate};

/// The reason why a set of bundles cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// No bundle is configured.
    #[error("at least one trust domain with a bundle of authorities must be configured")]
    Empty,
    /// A bundle holds no certificate.
    #[error("the bundle of the trust domain {0} holds no certificate")]
    EmptyBundle(TrustDomain),
    /// A certificate of a bundle cannot be used.
    #[error("the bundle of the trust domain {domain} has an unusable certificate: {problem}")]
    Certificate {
        /// The trust domain of the bundle.
        domain: TrustDomain,
        /// The problem with the certificate.
        problem: String,
    },
}

/// The configured trust domains with their bundles.
#[derive(Debug)]
pub struct Trust {
    bundles: ArcSwap<Bundles>,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
struct Bundles {
    generation: u64,
    domains: BTreeMap<TrustDomain, Arc<dyn ClientCertVerifier>>,
    /// All authorities together, for a certificate of an unknown domain: the handshake succeeds, so that the call can
    /// return the reason of its refusal.
    any: Arc<dyn ClientCertVerifier>,
}

impl Trust {
    /// Trusts each domain's bundle for that domain only.
    ///
    /// # Errors
    /// No bundle is configured, or one cannot be used.
    pub fn new(bundles: &BTreeMap<TrustDomain, Vec<CertificateDer<'static>>>) -> Result<Self, TrustError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let bundles = build(bundles, &provider, 1)?;
        Ok(Self { bundles: ArcSwap::from_pointee(bundles), provider })
    }

    /// Replaces all bundles. Open connections are checked against the new ones at their next call.
    ///
    /// # Errors
    /// The new bundles are unusable; the old ones stay.
    pub fn replace(
        &self,
        bundles: &BTreeMap<TrustDomain, Vec<CertificateDer<'static>>>,
    ) -> Result<(), TrustError> {
        let next = self.bundles.load().generation + 1;
        self.bundles.store(Arc::new(build(bundles, &self.provider, next)?));
        Ok(())
    }

    /// The trust domains whose certificates count.
    pub fn domains(&self) -> Vec<TrustDomain> {
        self.bundles.load().domains.keys().cloned().collect()
    }

    /// The service of a connection, if its certificate is still valid. `checked` records the last verification of the
    /// chain, so that it is verified again only after the bundles change or a certificate of the chain ends.
    ///
    /// # Errors
    /// The certificate breaks a rule or has expired, or its trust domain's bundle no longer verifies it.
    pub fn service<'p>(
        &self,
        peer: &'p PeerCertificate,
        checked: &AtomicU64,
        present: Present,
    ) -> Result<&'p ServiceId, CertificateError> {
        let service = peer.service.as_ref().map_err(Clone::clone)?;
        if peer.not_after <= present.latest {
            return Err(CertificateError::Expired);
        }
        let bundles = self.bundles.load();
        // Chains are short: the lower bits count the certificates that have ended.
        let ended = u64::try_from(peer.ended(present.latest)).unwrap_or(u64::MAX).min(0xff);
        let current = bundles.generation << 8 | ended;
        if checked.load(Ordering::Relaxed) != current {
            let domain = service.trust_domain();
            let Some(verifier) = bundles.domains.get(&domain) else {
                return Err(CertificateError::ForeignTrustDomain(domain));
            };
            let (leaf, intermediates) = peer.chain.split_first().ok_or(CertificateError::Malformed)?;
            // Valid at both ends of the uncertain present: begun at the earlier, not ended at the later.
            for time in [present.earliest, present.latest] {
                let time = UnixTime::since_unix_epoch(Timestamp::default().until(time));
                let verified = verifier.verify_client_cert(leaf, intermediates, time);
                verified.map_err(|_| CertificateError::Untrusted)?;
            }
            checked.store(current, Ordering::Relaxed);
        }
        Ok(service)
    }
}

fn build(
    bundles: &BTreeMap<TrustDomain, Vec<CertificateDer<'static>>>,
    provider: &Arc<CryptoProvider>,
    generation: u64,
) -> Result<Bundles, TrustError> {
    let mut all = RootCertStore::empty();
    let mut domains = BTreeMap::new();
    for (domain, certificates) in bundles {
        if certificates.is_empty() {
            return Err(TrustError::EmptyBundle(domain.clone()));
        }
        let unusable = |problem: String| TrustError::Certificate { domain: domain.clone(), problem };
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots.add(certificate.clone()).map_err(|error| unusable(error.to_string()))?;
            all.add(certificate.clone()).map_err(|error| unusable(error.to_string()))?;
        }
        domains.insert(domain.clone(), verifier(roots, provider).map_err(unusable)?);
    }
    if domains.is_empty() {
        return Err(TrustError::Empty);
    }
    Ok(Bundles { generation, domains, any: verifier(all, provider).map_err(|_| TrustError::Empty)? })
}

fn verifier(
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    builder.build().map_err(|error| error.to_string())
}

impl ClientCertVerifier for Trust {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // No hints: they would reveal the trusted authorities to strangers, and could not change with the bundles.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let bundles = self.bundles.load();
        let domain = service_of(end_entity).ok().map(|service| service.trust_domain());
        let verifier = domain.and_then(|domain| bundles.domains.get(&domain)).unwrap_or(&bundles.any);
        verifier.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
