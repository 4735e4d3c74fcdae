//! Addresses and names that are not public, as registries list them: RFC 6890 and its successors, which IANA keeps.

use super::network::Network;

/// IANA's registry of special-purpose IPv4 addresses, and multicast. Some of these addresses are reachable from
/// everywhere (the anycast addresses of AS 112 and AMT), but no provider uses them.
pub(super) const SPECIAL_V4: [Network; 18] = [
    Network::v4([0, 0, 0, 0], 8),
    Network::v4([10, 0, 0, 0], 8),
    Network::v4([100, 64, 0, 0], 10),
    Network::v4([127, 0, 0, 0], 8),
    Network::v4([169, 254, 0, 0], 16),
    Network::v4([172, 16, 0, 0], 12),
    Network::v4([192, 0, 0, 0], 24),
    Network::v4([192, 0, 2, 0], 24),
    Network::v4([192, 31, 196, 0], 24),
    Network::v4([192, 52, 193, 0], 24),
    Network::v4([192, 88, 99, 0], 24),
    Network::v4([192, 168, 0, 0], 16),
    Network::v4([192, 175, 48, 0], 24),
    Network::v4([198, 18, 0, 0], 15),
    Network::v4([198, 51, 100, 0], 24),
    Network::v4([203, 0, 113, 0], 24),
    Network::v4([224, 0, 0, 0], 4),
    Network::v4([240, 0, 0, 0], 4),
];

/// The addresses that IANA assigns as global unicast. All others are reserved, local, mapped or translated.
pub(super) const GLOBAL_V6: Network = Network::v6([0x2000, 0, 0], 3);

/// IANA's registry of special-purpose IPv6 addresses, as far as they lie within [`GLOBAL_V6`].
pub(super) const SPECIAL_V6: [Network; 5] = [
    // Teredo, benchmarking, ORCHID and future uses of the block for protocols.
    Network::v6([0x2001, 0, 0], 23),
    Network::v6([0x2001, 0xdb8, 0], 32),
    // 6to4, which contains an IPv4 address.
    Network::v6([0x2002, 0, 0], 16),
    // The anycast addresses of AS 112.
    Network::v6([0x2620, 0x4f, 0x8000], 48),
    Network::v6([0x3fff, 0, 0], 20),
];

/// The ends of names that lead into a local network, or to no address (RFC 6761, RFC 6762, RFC 8375, RFC 7686, ICANN's
/// `internal`, Kubernetes' `svc`, and names that home routers and offices use).
pub(super) const SPECIAL_NAMES: [&str; 14] = [
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
