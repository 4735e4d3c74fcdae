//! The dev folder's own certificate authority.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Context as _;
use credvault_domain::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

/// A certificate and its private key, PEM.
pub(super) struct Issued {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// An authority that is new, or was read from its files.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    begins: OffsetDateTime,
}

/// How long certificates of a dev folder last: it is for a laptop, where no job renews them.
const LIFETIME: Duration = Duration::days(3650);

fn begins(now: Timestamp) -> anyhow::Result<OffsetDateTime> {
    // An hour of leeway for a clock that was set meanwhile.
    Ok(OffsetDateTime::from_unix_timestamp(now.micros() / 1_000_000)? - Duration::hours(1))
}

impl Authority {
    /// Generates a new authority.
    pub(super) fn generate(now: Timestamp) -> anyhow::Result<Issued> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "credvault dev");
        params.not_before = begins(now)?;
        params.not_after = params.not_before + LIFETIME;
        Ok(Issued { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
    }

    /// The authority of these files.
    pub(super) fn read(certificate: &str, key: &str, now: Timestamp) -> anyhow::Result<Self> {
        let key = KeyPair::from_pem(key).context("ca.key is no private key")?;
        let issuer = Issuer::from_ca_cert_pem(certificate, key).context("ca.pem is no certificate")?;
        Ok(Self { issuer, begins: begins(now)? })
    }

    /// Issues a certificate for a service, with names of this machine if it serves.
    pub(super) fn issue(&self, id: &str, serves_at: Option<IpAddr>) -> anyhow::Result<Issued> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.subject_alt_names.push(SanType::URI(id.try_into()?));
        if let Some(address) = serves_at {
            params.subject_alt_names.push(SanType::DnsName("localhost".try_into()?));
            let mut addresses =
                vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST), address];
            addresses.dedup();
            params.subject_alt_names.extend(addresses.into_iter().map(SanType::IpAddress));
        }
        params.distinguished_name.push(DnType::CommonName, id.rsplit('/').next().unwrap_or(id));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = self.begins;
        params.not_after = self.begins + LIFETIME;
        Ok(Issued { certificate: params.signed_by(&key, &self.issuer)?.pem(), key: key.serialize_pem() })
    }
}
