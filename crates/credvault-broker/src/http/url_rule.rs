//! Which URLs the vault calls or stores as a destination: the rules about scheme, port and host beside those about
//! addresses, which [`Guard`] knows.

use url::{Host, Url};

use super::guard::Guard;

/// Why the vault does not call a URL.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum UrlError {
    #[error("its URL has no host")]
    Host,
    #[error("its address is not public, and broker.allowed_networks does not name it")]
    Address,
    #[error("its URL must begin with https://")]
    Scheme,
    #[error("its port is neither 443 nor above 1023")]
    Port,
    #[error("its name is one of a local network")]
    Name,
}

impl UrlError {
    /// The rule that the URL broke, as the end of a sentence whose subject is the URL.
    pub(crate) fn rule(self) -> &'static str {
        match self {
            Self::Host => "must name a host",
            Self::Address => {
                "must lead to a public address; an operator can allow others in broker.allowed_networks"
            }
            Self::Scheme => {
                "must begin with https://; http:// needs an IP address of broker.allowed_networks as the host"
            }
            Self::Port => "must have the port 443 or one above 1023",
            Self::Name => {
                "must have a public name; local names are accepted if broker.allowed_networks lists any network"
            }
        }
    }
}

impl Guard {
    /// Checks a URL that will be stored as a destination. Beside the rules of [`Guard::check_url`], it must not have a
    /// name of a local network, because other resolvers may find another address for it.
    pub(crate) fn check_stored_url(&self, url: &Url) -> Result<(), UrlError> {
        match url.domain() {
            Some(name) if !self.permits_name(name.trim_end_matches('.')) => Err(UrlError::Name),
            _ => self.check_url(url),
        }
    }

    /// Checks a URL that the operator's own settings name.
    ///
    /// # Errors
    /// The rule that the URL breaks.
    pub fn check_configured_url(&self, url: &Url) -> Result<(), &'static str> {
        self.check_stored_url(url).map_err(UrlError::rule)
    }

    /// Checks scheme, port and literal address of a URL. Names are checked when they are resolved. Ports other than 443
    /// and those above 1023 belong to services that do not speak HTTP, such as SSH and mail.
    pub(crate) fn check_url(&self, url: &Url) -> Result<(), UrlError> {
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) => None,
            None => return Err(UrlError::Host),
        };
        if literal.is_some_and(|address| !self.permits(address)) {
            return Err(UrlError::Address);
        }
        let allowed = literal.is_some_and(|address| self.is_allowed(address));
        if !allowed && !matches!(url.port_or_known_default(), Some(443 | 1024..)) && url.scheme() == "https" {
            return Err(UrlError::Port);
        }
        match url.scheme() {
            "https" => Ok(()),
            "http" if allowed => Ok(()),
            _ => Err(UrlError::Scheme),
        }
    }
}
