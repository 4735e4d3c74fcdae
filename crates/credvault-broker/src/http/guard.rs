//! Which addresses the vault calls: public ones, and those that the operator allows. Tenants choose hosts (a shop's, a
//! site's), and a name can lead to any address. OWASP's cheat sheet on server-side request forgery has the attacks.

use std::net::IpAddr;

use super::network::Network;
use super::special::{GLOBAL_V6, SPECIAL_NAMES, SPECIAL_V4, SPECIAL_V6};

/// Decides whether an address or name may be called. Cheap to clone.
#[derive(Clone, Default, Debug)]
pub struct Guard {
    allowed: Vec<Network>,
}

impl Guard {
    /// Permits public addresses, and those in `allowed`.
    pub fn new(allowed: Vec<Network>) -> Self {
        Self { allowed }
    }

    /// Whether the vault may call this address.
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let within = |networks: &[Network]| networks.iter().any(|network| network.contains(address));
        let public = match address {
            IpAddr::V4(_) => !within(&SPECIAL_V4),
            IpAddr::V6(_) => GLOBAL_V6.contains(address) && !within(&SPECIAL_V6),
        };
        public || self.is_allowed(address)
    }

    /// Whether a name, in lower case, may be stored as a destination. Names of local networks may if the operator has
    /// allowed any network; the address is checked each time the name is resolved.
    pub fn permits_name(&self, name: &str) -> bool {
        let ends =
            |end: &str| name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        let special = !name.contains('.') || SPECIAL_NAMES.into_iter().any(ends);
        !special || !self.allowed.is_empty()
    }

    /// Whether the operator has named this address. Plain http is for these addresses only.
    pub fn is_allowed(&self, address: IpAddr) -> bool {
        self.allowed.iter().any(|network| network.contains(address.to_canonical()))
    }
}

#[cfg(test)]
mod tests;
