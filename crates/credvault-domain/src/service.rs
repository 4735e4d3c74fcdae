//! The calling service: a SPIFFE ID (<https://spiffe.io>, SPIFFE-ID and X509-SVID standards).

use std::fmt;

/// The longest SPIFFE ID, in bytes (SPIFFE-ID section 2.3).
const MAX_SPIFFE_ID_BYTES: usize = 2048;
/// The longest trust domain, in bytes (SPIFFE-ID section 2.3).
const MAX_TRUST_DOMAIN_BYTES: usize = 255;

/// The trust domain of a SPIFFE ID: 1 to 255 of `a-z 0-9 . - _`, lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TrustDomain(String);

impl TrustDomain {
    /// Parses a trust domain name, without `spiffe://`.
    ///
    /// # Errors
    /// The text is empty, too long or has other characters.
    pub fn parse(text: &str) -> Result<Self, ServiceIdError> {
        let in_alphabet = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b);
        if (1..=MAX_TRUST_DOMAIN_BYTES).contains(&text.len()) && text.bytes().all(in_alphabet) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ServiceIdError::TrustDomain)
        }
    }

    /// The domain as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A service's identity, `spiffe://trust-domain/path`. Scheme and domain are lower case, so ids compare byte by byte.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId {
    id: String,
    path_start: usize,
}

/// Why a text is not the SPIFFE ID of a workload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ServiceIdError {
    /// The scheme is not `spiffe`.
    #[error("the URI must begin with spiffe://")]
    Scheme,
    /// The trust domain breaks its rule.
    #[error("the trust domain must be 1 to 255 of a-z 0-9 . - _")]
    TrustDomain,
    /// The path breaks its rule.
    #[error("the path must have segments of a-z A-Z 0-9 . - _ that are neither empty nor . nor ..")]
    Path,
    /// The id has more than 2048 bytes.
    #[error("a SPIFFE ID has at most 2048 bytes")]
    TooLong,
}

impl ServiceId {
    /// The vault's own name in audit records of background work.
    pub const VAULT: &'static str = "vault";

    /// The vault itself. No caller can have this id: it is not a SPIFFE ID, so no certificate can name it.
    pub fn vault() -> Self {
        Self { id: Self::VAULT.to_owned(), path_start: Self::VAULT.len() }
    }

    /// Parses the SPIFFE ID of a workload, which has a path.
    ///
    /// The standard compares scheme and trust domain without regard to case, so this turns them into lower case.
    ///
    /// # Errors
    /// The rule of SPIFFE-ID section 2 that the text breaks.
    pub fn parse(text: &str) -> Result<Self, ServiceIdError> {
        if text.len() > MAX_SPIFFE_ID_BYTES {
            return Err(ServiceIdError::TooLong);
        }
        let scheme = text.get(..9).ok_or(ServiceIdError::Scheme)?;
        if !scheme.eq_ignore_ascii_case("spiffe://") {
            return Err(ServiceIdError::Scheme);
        }
        let rest = text.get(9..).unwrap_or_default();
        let (domain, path) = rest.split_once('/').ok_or(ServiceIdError::Path)?;
        let domain = TrustDomain::parse(&domain.to_ascii_lowercase())?;
        for segment in path.split('/') {
            let in_alphabet = segment.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
            if segment.is_empty() || segment == "." || segment == ".." || !in_alphabet {
                return Err(ServiceIdError::Path);
            }
        }
        Ok(Self { id: format!("spiffe://{domain}/{path}"), path_start: 9 + domain.as_str().len() })
    }

    /// The id as a URI.
    pub fn as_str(&self) -> &str {
        &self.id
    }

    /// The trust domain, without scheme.
    pub fn trust_domain(&self) -> TrustDomain {
        TrustDomain(self.id.get(9..self.path_start).unwrap_or_default().to_owned())
    }

    /// The path, beginning with `/`.
    pub fn path(&self) -> &str {
        self.id.get(self.path_start..).unwrap_or_default()
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

impl fmt::Debug for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_id_has_a_domain_and_a_path() {
        let id = ServiceId::parse("SPIFFE://Prod.Example/ns/etl/sa/Sync").expect("valid");
        assert_eq!(id.as_str(), "spiffe://prod.example/ns/etl/sa/Sync");
        assert_eq!(id.trust_domain().as_str(), "prod.example");
        assert_eq!(id.path(), "/ns/etl/sa/Sync");
    }

    #[test]
    fn what_the_standard_forbids_is_refused() {
        for text in [
            "",
            "spiffe",
            "http://d/p",
            "spiffe://",
            "spiffe:///p",
            "spiffe://d",
            "spiffe://d/",
            "spiffe://d/a/",
            "spiffe://d//a",
            "spiffe://d/./a",
            "spiffe://d/../a",
            "spiffe://d/a%20b",
            "spiffe://d/a?b",
            "spiffe://d/a#b",
            "spiffe://u@d/a",
            "spiffe://d:1/a",
            "spiffe://d/ä",
            "spiffe://ä/a",
            "spiffe://d /a",
            "\u{e9}piffe://d/a",
        ] {
            assert!(ServiceId::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(
            ServiceId::parse(&format!("spiffe://d/{}", "a".repeat(2048))),
            Err(ServiceIdError::TooLong)
        );
    }
}
