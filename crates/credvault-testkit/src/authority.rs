//! Certificate authorities and the certificates that they issue, valid and invalid ones. Verifies nothing.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

/// A certificate authority with its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: Vec<u8>,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Leaf {
    /// The certificate in PEM form.
    pub certificate: String,
    /// The certificate in DER form.
    pub der: Vec<u8>,
    /// The private key in PEM form.
    pub key: String,
}

/// The content of a leaf certificate. The default is a valid service certificate without a name.
#[derive(Clone)]
pub struct LeafSpec {
    /// The URI names in the certificate.
    pub uris: Vec<String>,
    /// The DNS names and IP addresses in the certificate.
    pub names: Vec<String>,
    /// The beginning of its validity, relative to now.
    pub begins: Duration,
    /// The end of its validity, relative to now.
    pub ends: Duration,
    /// Whether it is the certificate of an authority.
    pub authority: bool,
    /// Whether its key usage includes signatures.
    pub digital_signature: bool,
}

impl Default for LeafSpec {
    fn default() -> Self {
        Self {
            uris: Vec::new(),
            names: Vec::new(),
            begins: Duration::hours(-1),
            ends: Duration::hours(1),
            authority: false,
            digital_signature: true,
        }
    }
}

impl LeafSpec {
    /// The content of a service's certificate.
    pub fn service(id: &str) -> Self {
        Self { uris: vec![id.to_owned()], ..Self::default() }
    }

    fn params(&self) -> CertificateParams {
        let now = OffsetDateTime::now_utc();
        let mut params = CertificateParams::new(self.names.clone()).unwrap();
        for uri in &self.uris {
            params.subject_alt_names.push(SanType::URI(uri.as_str().try_into().unwrap()));
        }
        params.distinguished_name.push(DnType::CommonName, "test");
        params.not_before = now + self.begins;
        params.not_after = now + self.ends;
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = if self.digital_signature {
            vec![KeyUsagePurpose::DigitalSignature]
        } else {
            vec![KeyUsagePurpose::KeyAgreement]
        };
        if self.authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params
    }
}

impl Authority {
    /// A new self-signed authority.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().to_vec());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    /// An authority under this one; its certificate ends after this time.
    pub fn intermediate(&self, name: &str, ends: Duration) -> Self {
        let key = KeyPair::generate().unwrap();
        let spec = LeafSpec { ends, authority: true, ..LeafSpec::default() };
        let mut params = spec.params();
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().to_vec());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    /// The authority's certificate, in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The authority's certificate, in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Issues a certificate with this content.
    pub fn issue(&self, spec: &LeafSpec) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let certificate = spec.params().signed_by(&key, &self.issuer).unwrap();
        Leaf { certificate: certificate.pem(), der: certificate.der().to_vec(), key: key.serialize_pem() }
    }

    /// Issues a service's certificate.
    pub fn service(&self, id: &str) -> Leaf {
        self.issue(&LeafSpec::service(id))
    }
}

impl Leaf {
    /// A self-signed certificate, which no authority has issued.
    pub fn self_signed(spec: &LeafSpec) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = spec.params().self_signed(&key).unwrap();
        Self { certificate: certificate.pem(), der: certificate.der().to_vec(), key: key.serialize_pem() }
    }
}
