//! Ranges of addresses, as an operator writes them in `broker.allowed_networks` and as IANA lists them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A range of addresses, written `10.0.0.0/8` or as a single address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network(pub(super) IpNet);

/// The text is not a range of addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("must be addresses or ranges such as 10.1.0.0/16")]
pub struct NetworkError;

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let range = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        range.map(Self).map_err(|_| NetworkError)
    }
}

impl Network {
    /// The IPv4 range `a.b.c.d/bits`.
    pub(super) const fn v4(address: [u8; 4], bits: u8) -> Self {
        let [a, b, c, d] = address;
        Self(IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)))
    }

    /// The IPv6 range whose first 48 bits are `start`.
    pub(super) const fn v6(start: [u16; 3], bits: u8) -> Self {
        let [first, second, third] = start;
        let address = Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0);
        Self(IpNet::V6(Ipv6Net::new_assert(address, bits)))
    }

    /// Whether an address of the same family lies in the range.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}
