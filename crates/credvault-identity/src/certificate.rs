//! Reads the calling service from a client certificate by the rules of the SPIFFE X509-SVID standard. Does not verify the
//! chain: `trust.rs` does.

use credvault_domain::{ServiceId, ServiceIdError, Timestamp, TrustDomain};
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The reason why a certificate names no acceptable service.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The certificate cannot be parsed.
    #[error("it cannot be parsed")]
    Malformed,
    /// The certificate has no URI name.
    #[error("it has no URI SAN; it must have exactly one, the service's SPIFFE ID")]
    NoUri,
    /// The certificate has more than one URI name.
    #[error("it has several URI SANs; it must have exactly one, the service's SPIFFE ID")]
    SeveralUris,
    /// The URI name is not a SPIFFE ID.
    #[error("its URI SAN is not a SPIFFE ID: {0}")]
    NotSpiffe(#[from] ServiceIdError),
    /// The trust domain of the name is not configured.
    #[error("its trust domain {0} is not one that this vault is configured to trust")]
    ForeignTrustDomain(TrustDomain),
    /// The certificate is an authority's and can sign others.
    #[error("it is a certificate authority's, not a service's")]
    Authority,
    /// The key usage does not include signatures.
    #[error("its key usage must be critical and include digitalSignature")]
    KeyUsage,
    /// The certificate has expired.
    #[error("it has expired; connect again with the renewed one")]
    Expired,
    /// The bundle of its trust domain does not verify it, or no longer.
    #[error("the trust bundle of its trust domain does not vouch for it; connect again with a current one")]
    Untrusted,
}

/// A client certificate that was presented in a handshake, read once for each connection.
#[derive(Clone, Debug)]
pub struct PeerCertificate {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) service: Result<ServiceId, CertificateError>,
    not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    /// The end of each other certificate in the chain.
    chain_ends: Vec<Timestamp>,
}

impl PeerCertificate {
    /// Reads the leaf of a chain that TLS has accepted.
    pub fn read(chain: Vec<CertificateDer<'static>>) -> Self {
        let time = |seconds| Timestamp::from_seconds(seconds, 0).unwrap_or_default();
        let ends = |certificate: &X509Certificate<'_>| time(certificate.validity().not_after.timestamp());
        let parsed = chain.first().and_then(|leaf| X509Certificate::from_der(leaf).ok());
        let (service, not_before, not_after) = match parsed {
            Some((_, certificate)) => {
                let begin = time(certificate.validity().not_before.timestamp());
                (service(&certificate), begin, ends(&certificate))
            }
            None => (Err(CertificateError::Malformed), Timestamp::default(), Timestamp::default()),
        };
        let others = chain.iter().skip(1).filter_map(|other| X509Certificate::from_der(other).ok());
        let chain_ends = others.map(|(_, certificate)| ends(&certificate)).collect();
        Self { chain, service, not_before, not_after, chain_ends }
    }

    /// The number of the chain's other certificates that have ended. When it changes, verify the chain again.
    pub(crate) fn ended(&self, now: Timestamp) -> usize {
        self.chain_ends.iter().filter(|end| **end <= now).count()
    }

    /// The service that the certificate names, or the rule that it breaks. It is not verified by this.
    pub fn named(&self) -> Result<&ServiceId, &CertificateError> {
        self.service.as_ref()
    }

    /// When the certificate begins and ceases to be valid.
    pub fn validity(&self) -> (Timestamp, Timestamp) {
        (self.not_before, self.not_after)
    }

    /// The service that the certificate names, if it follows the rules. It is not verified by this.
    pub fn service(&self) -> Option<&ServiceId> {
        self.service.as_ref().ok()
    }
}

/// The SPIFFE ID that a leaf certificate names.
pub(crate) fn service_of(leaf: &CertificateDer<'_>) -> Result<ServiceId, CertificateError> {
    let (_, certificate) = X509Certificate::from_der(leaf).map_err(|_| CertificateError::Malformed)?;
    service(&certificate)
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "another crate's enum: extensions and names of all other kinds do not matter"
)]
fn service(certificate: &X509Certificate<'_>) -> Result<ServiceId, CertificateError> {
    let mut uris = Vec::new();
    let mut digital_signature = false;
    // x509-parser's finders report duplicates as errors; looking at all of them sees a second SAN extension too.
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                uris.extend(names.general_names.iter().filter_map(|name| match name {
                    GeneralName::URI(uri) => Some(*uri),
                    _ => None,
                }));
            }
            ParsedExtension::BasicConstraints(constraints) if constraints.ca => {
                return Err(CertificateError::Authority);
            }
            ParsedExtension::KeyUsage(usage) => {
                if usage.key_cert_sign() || usage.crl_sign() {
                    return Err(CertificateError::Authority);
                }
                digital_signature = usage.digital_signature() && extension.critical;
            }
            ParsedExtension::ParseError { .. } => return Err(CertificateError::Malformed),
            _ => {}
        }
    }
    let uri = match uris.as_slice() {
        [uri] => uri,
        [] => return Err(CertificateError::NoUri),
        _ => return Err(CertificateError::SeveralUris),
    };
    let service = ServiceId::parse(uri)?;
    if digital_signature { Ok(service) } else { Err(CertificateError::KeyUsage) }
}
