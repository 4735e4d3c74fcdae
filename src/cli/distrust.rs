//! Why TLS with the vault has ended, in words for the caller. The library says it in its own words only.

/// What was found, and what to do about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cause {
    pub(super) text: &'static str,
    pub(super) advice: &'static str,
    /// Whether the vault has refused the caller's certificate.
    pub(super) is_distrust: bool,
}

/// The vault has ended the connection without a word, as it may when it does not trust a certificate.
pub(super) const CLOSED: &str = "the vault closes a connection whose certificate it does not trust: compare the certificate's trust \
                                 domain and authority with the vault's identity.trust_domains; otherwise try again";

/// The certificate is not one that the vault takes from a service.
const UNUSABLE: Cause = Cause {
    text: "the vault cannot use your certificate",
    advice: "have one issued for the service's SPIFFE ID; docs/identity.md says how",
    is_distrust: true,
};

/// The alerts and faults of TLS that say what is wrong, each as the library prints it.
const CAUSES: [(&str, Cause); 7] = [
    (
        "fatal alert: UnknownCA",
        Cause {
            text: "the vault does not trust your certificate's issuer",
            advice: "use a certificate from an authority of the vault's identity.trust_domains, or have the vault's operator add \
                     the issuer there",
            is_distrust: true,
        },
    ),
    (
        "fatal alert: CertificateExpired",
        Cause {
            text: "the vault says that your certificate has expired",
            advice: "renew it; if it is valid, compare the clock of this machine with the vault's",
            is_distrust: true,
        },
    ),
    (
        "fatal alert: CertificateRequired",
        Cause {
            text: "the vault got no certificate",
            advice: "name the caller's certificate, with --certificate or in the profile",
            is_distrust: true,
        },
    ),
    ("fatal alert: BadCertificate", UNUSABLE),
    // Such as that of an authority in the place of a service's.
    ("fatal alert: CertificateUnknown", UNUSABLE),
    ("fatal alert: UnsupportedCertificate", UNUSABLE),
    (
        "InvalidContentType",
        Cause {
            text: "no TLS is spoken there; wrong port?",
            advice: "correct the port in the address: gRPC is served at server.address, by default port 7443",
            is_distrust: false,
        },
    ),
];

/// The cause that an error of the library names, if it names one.
pub(super) fn cause(error: &str) -> Option<Cause> {
    CAUSES.iter().find(|(said, _)| error.contains(said)).map(|(_, cause)| *cause)
}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, Error, InvalidMessage};

    use super::*;

    #[test]
    fn what_the_library_prints_is_understood() {
        let said = |error: Error| cause(&error.to_string());
        let distrust = said(Error::AlertReceived(AlertDescription::UnknownCA)).expect("a cause");
        assert_eq!(distrust.text, "the vault does not trust your certificate's issuer");
        for alert in [
            AlertDescription::CertificateExpired,
            AlertDescription::CertificateRequired,
            AlertDescription::BadCertificate,
            AlertDescription::CertificateUnknown,
            AlertDescription::UnsupportedCertificate,
        ] {
            assert!(said(Error::AlertReceived(alert)).is_some_and(|cause| cause.is_distrust), "{alert:?}");
        }
        let plain = said(Error::InvalidMessage(InvalidMessage::InvalidContentType)).expect("a cause");
        assert!(plain.text.contains("wrong port?") && !plain.is_distrust);
        assert_eq!(said(Error::AlertReceived(AlertDescription::InternalError)), None);
    }
}
