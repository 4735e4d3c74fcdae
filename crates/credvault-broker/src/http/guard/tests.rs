//! Every block of the registries of special-purpose addresses, at both ends, and the public addresses beside them.

use super::super::network::NetworkError;
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
    let guard = Guard::new(vec!["10.1.0.0/16".parse().expect("a range"), "fd00::5".parse().expect("one")]);
    assert!(permits(&guard, "10.1.2.3") && permits(&guard, "::ffff:10.1.2.3") && permits(&guard, "fd00::5"));
    assert!(!permits(&guard, "10.2.0.1") && !permits(&guard, "fd00::6"));
    for wrong in ["", "10.0.0.0/33", "fd00::/129", "10.0.0", "x/8", "10.0.0.0/-1"] {
        assert_eq!(wrong.parse::<Network>(), Err(NetworkError), "{wrong}");
    }
}
