//! The addresses that the vault may call: public ones, and those that the operator allows. Tenants choose hosts (a
//! shop's, a site's), and a name can lead anywhere (server-side request forgery, OWASP). The ranges are those of IANA's
//! registries of special-purpose addresses (RFC 6890 and its updates).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A range of addresses, written `10.0.0.0/8` or as a single address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network(IpNet);

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

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Network {
    Network(IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)))
}

const fn v6(first: u16, second: u16, third: u16, bits: u8) -> Network {
    Network(IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0), bits)))
}

/// The special-purpose IPv4 addresses of IANA's registry, and multicast. Some of them are reachable from everywhere
/// (the anycast addresses of AS 112 and AMT), but no provider uses them.
const SPECIAL_V4: [Network; 18] = [
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 31, 196, 0, 24),
    v4(192, 52, 193, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(192, 175, 48, 0, 24),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
];

/// The addresses that IANA gives out as global unicast. All others are reserved, local, mapped or translated.
const GLOBAL_V6: Network = v6(0x2000, 0, 0, 3);

/// The special-purpose IPv6 addresses within [`GLOBAL_V6`], from IANA's registry.
const SPECIAL_V6: [Network; 5] = [
    // Teredo, benchmarking, ORCHID and later assignments of the block for protocols.
    v6(0x2001, 0, 0, 23),
    v6(0x2001, 0xdb8, 0, 32),
    // 6to4, which holds an IPv4 address.
    v6(0x2002, 0, 0, 16),
    // Anycast of AS 112.
    v6(0x2620, 0x4f, 0x8000, 48),
    v6(0x3fff, 0, 0, 20),
];

/// The ends of names that lead into a local network, or to no address (RFC 6761, RFC 6762, RFC 8375, RFC 7686, ICANN's
/// `internal`, Kubernetes' `svc`, and what home routers and offices use).
const SPECIAL_NAMES: [&str; 14] = [
    "localhost",
    "local",
    "localdomain",
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "svc",
    "home.arpa",
    "in-addr.arpa",
    "ip6.arpa",
    "onion",
];

/// Decides which addresses and names the vault may call.
#[derive(Clone, Default, Debug)]
pub struct Guard {
    allowed: Vec<Network>,
}

impl Guard {
    /// Lets public addresses pass, and `allowed` ones.
    pub fn new(allowed: Vec<Network>) -> Self {
        Self { allowed }
    }

    /// Whether this address may be called.
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let within = |networks: &[Network]| networks.iter().any(|network| network.0.contains(&address));
        let public = match address {
            IpAddr::V4(_) => !within(&SPECIAL_V4),
            IpAddr::V6(_) => GLOBAL_V6.0.contains(&address) && !within(&SPECIAL_V6),
        };
        public || self.is_allowed(address)
    }

    /// Whether a name, in lower case, may be stored as a place to call. A name of the local network may if the operator has
    /// allowed any: whether it leads there shows when it is resolved.
    pub fn permits_name(&self, name: &str) -> bool {
        let ends =
            |end: &str| name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        let special = !name.contains('.') || SPECIAL_NAMES.into_iter().any(ends);
        !special || !self.allowed.is_empty()
    }

    /// Whether the operator has allowed this address. The vault calls only such addresses over plain http.
    pub fn is_allowed(&self, address: IpAddr) -> bool {
        self.allowed.iter().any(|network| network.0.contains(&address.to_canonical()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(guard: &Guard, address: &str) -> bool {
        guard.permits(address.parse().expect("an address"))
    }

    /// The first and the last address of every block of both registries, and of everything outside of 2000::/3.
    const REFUSED: &[&str] = &[
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "255.255.255.255",
        // Everything below and above global unicast, and what in it is well known.
        "::/3",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:0:7f00:1",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "100:0:0:1::/64",
        "4000::/3",
        "5f00::/16",
        "6000::/3",
        "8000::/3",
        "a000::/3",
        "c000::/3",
        "e000::/3",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
        "2001::/23",
        "2001::/32",
        "2001:1::1",
        "2001:2::/48",
        "2001:3::/32",
        "2001:4:112::/48",
        "2001:10::/28",
        "2001:20::/28",
        "2001:30::/28",
        "2001:db8::/32",
        "2002::/16",
        "2620:4f:8000::/48",
        "3fff::/20",
    ];

    /// The neighbours of the blocks that have public neighbours, and addresses in use.
    const PERMITTED: &[&str] = &[
        "1.0.0.0",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.0.3.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "2001:200::",
        "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:db9::",
        "2003::",
        "2606:4700::1111",
        "2620:4f:7fff::",
        "2a00:1450::8a",
    ];

    #[test]
    fn only_public_unicast_passes() {
        let guard = Guard::default();
        for block in REFUSED {
            let Network(network) = block.parse().expect("a range");
            let (first, last) = (network.network(), network.broadcast());
            // The upper end of ::/3 is mapped addresses' neighbour; a mapped address is judged as what it maps.
            assert!(!guard.permits(first) && !guard.permits(last), "{block}");
        }
        for mapped in ["::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:127.0.0.1"] {
            assert!(!permits(&guard, mapped), "{mapped}");
        }
        for address in PERMITTED {
            assert!(permits(&guard, address), "{address}");
        }
    }

    #[test]
    fn names_of_local_networks_are_refused_unless_one_is_allowed() {
        let (strict, lenient) = (Guard::default(), Guard::new(vec!["10.0.0.0/8".parse().expect("a range")]));
        for name in [
            "localhost",
            "a.localhost",
            "router",
            "printer.local",
            "metadata.google.internal",
            "api.default.svc",
            "api.default.svc.cluster.local",
            "nas.home.arpa",
            "wiki.corp",
        ] {
            assert!(!strict.permits_name(name) && lenient.permits_name(name), "{name}");
        }
        for name in ["shop.example", "local.shop.example", "mylocalhost.example", "svc.example.com"] {
            assert!(strict.permits_name(name), "{name}");
        }
    }

    #[test]
    fn what_the_operator_names_passes_and_nothing_beside_it() {
        let guard =
            Guard::new(vec!["10.1.0.0/16".parse().expect("a range"), "fd00::5".parse().expect("one")]);
        assert!(
            permits(&guard, "10.1.2.3") && permits(&guard, "::ffff:10.1.2.3") && permits(&guard, "fd00::5")
        );
        assert!(!permits(&guard, "10.2.0.1") && !permits(&guard, "fd00::6"));
        for wrong in ["", "10.0.0.0/33", "fd00::/129", "10.0.0", "x/8", "10.0.0.0/-1"] {
            assert_eq!(wrong.parse::<Network>(), Err(NetworkError), "{wrong}");
        }
    }
}
