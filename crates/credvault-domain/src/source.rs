//! Source rules of a tenant: from which addresses services may call for it. Data of the tenant beside the policies of
//! the platform, which know the address, too.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{NameError, ServiceId};

/// The bits before the IPv4 address in an IPv6 address that stands for one, `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2).
const MAPPED_BITS: u8 = 96;

/// A range of addresses, written `10.0.0.0/8` or as a single address. An IPv4 address that is written as an IPv6 one
/// (`::ffff:10.0.0.0/104`) is the IPv4 address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct AddressRange {
    first: IpAddr,
    bits: u8,
}

impl AddressRange {
    /// Parses a range.
    ///
    /// # Errors
    /// The text is no address and no range, or its address has bits behind its prefix: `10.0.0.7/8` may be meant as
    /// `10.0.0.7` or as `10.0.0.0/8`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        const RULE: NameError =
            NameError("must be an address or a range such as 10.1.0.0/16 or 2001:db8::/32");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(prefix(bits).ok_or(RULE)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| RULE)?;
        let longest = longest(address);
        let bits = bits.unwrap_or(longest);
        if bits > longest {
            return Err(RULE);
        }
        if masked(address, bits) != address {
            return Err(NameError(
                "must have no bits behind its prefix, as 10.1.0.0/16 has none behind the 16th",
            ));
        }
        Ok(match (address, address.to_canonical()) {
            // The mask has left the prefix of mapped addresses as it is, so it has 96 bits or more.
            (IpAddr::V6(_), first @ IpAddr::V4(_)) => Self { first, bits: bits.saturating_sub(MAPPED_BITS) },
            _ => Self { first: address, bits },
        })
    }

    /// Whether an address lies in the range. An IPv4 address lies in no IPv6 range.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && masked(address, self.bits) == self.first
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

/// The bits of an address of this family.
fn longest(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The length of a prefix: one to three digits.
fn prefix(text: &str) -> Option<u8> {
    let digits = (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// An address with zeros behind the first `bits`.
fn masked(address: IpAddr, bits: u8) -> IpAddr {
    let bits = u32::from(bits);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

/// From where one service, or any, may call.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SourceRule {
    /// The service that the rule is about; `None` for the services that no rule names.
    pub service: Option<ServiceId>,
    /// The addresses that are allowed.
    pub range: AddressRange,
}

/// The source rules of a tenant, each once and in their own order. Without any, every address is allowed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct SourceRules(Vec<SourceRule>);

impl SourceRules {
    /// The most rules of a tenant.
    pub const MAX: usize = 100;

    /// These rules.
    ///
    /// # Errors
    /// There are more than [`SourceRules::MAX`].
    pub fn new(mut rules: Vec<SourceRule>) -> Result<Self, NameError> {
        if rules.len() > Self::MAX {
            return Err(NameError("must be at most 100 rules"));
        }
        rules.sort();
        rules.dedup();
        Ok(Self(rules))
    }

    /// The rules in their order.
    pub fn iter(&self) -> impl Iterator<Item = &SourceRule> {
        self.0.iter()
    }

    /// Whether a service may call from an address. The rules that name the service decide. If none names it, those decide
    /// that name no service; if there are none of those either, it may call from everywhere.
    pub fn allow(&self, service: &ServiceId, address: IpAddr) -> bool {
        let of = |service: Option<&ServiceId>| {
            let mut rules = self.0.iter().filter(|rule| rule.service.as_ref() == service).peekable();
            rules.peek().is_some().then(|| rules.any(|rule| rule.range.contains(address)))
        };
        of(Some(service)).or_else(|| of(None)).unwrap_or(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(service: &str, range: &str) -> SourceRule {
        let service = (!service.is_empty()).then(|| id(service));
        SourceRule { service, range: AddressRange::parse(range).expect("range") }
    }

    fn id(name: &str) -> ServiceId {
        ServiceId::parse(&format!("spiffe://test.local/{name}")).expect("id")
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("address")
    }

    #[test]
    fn ranges_have_one_spelling() {
        for (text, normal) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:DB8:0::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::/0", "::/0"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.1.2.3", "10.1.2.3/32"),
            ("::ffff:0.0.0.0/96", "0.0.0.0/0"),
        ] {
            assert_eq!(AddressRange::parse(text).expect(text).to_string(), normal);
        }
        for text in [
            "",
            "/",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/08x",
            "10.0.0/8",
            "10.0.0.7/8",
            "::/129",
            "::1/64",
            "::ffff:10.0.0.0/40",
            "localhost",
            "10.0.0.0/8 ",
            "010.0.0.1",
            "fe80::1%eth0",
            "10.0.0.0/256",
        ] {
            assert!(AddressRange::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn mapped_addresses_are_the_addresses_that_they_map() {
        let range = AddressRange::parse("10.0.0.0/8").expect("range");
        for (text, within) in
            [("10.255.0.1", true), ("::ffff:10.1.2.3", true), ("11.0.0.0", false), ("::ffff:11.0.0.0", false)]
        {
            assert_eq!(range.contains(address(text)), within, "{text}");
        }
        let all = AddressRange::parse("::/0").expect("range");
        assert!(all.contains(address("2001:db8::1")));
        assert!(!all.contains(address("10.0.0.1")) && !all.contains(address("::ffff:10.0.0.1")));
        let single = AddressRange::parse("2001:db8::7").expect("range");
        assert!(single.contains(address("2001:db8::7")) && !single.contains(address("2001:db8::8")));
    }

    #[test]
    fn the_rules_that_name_a_service_decide_about_it() {
        assert!(SourceRules::default().allow(&id("app"), address("1.2.3.4")));
        let rules = vec![rule("", "10.0.0.0/8"), rule("", "192.0.2.1"), rule("batch", "172.16.0.0/12")];
        let rules = SourceRules::new(rules).expect("rules");
        for (service, from, allowed) in [
            ("app", "10.1.1.1", true),
            ("app", "192.0.2.1", true),
            ("app", "172.16.0.1", false),
            ("batch", "172.16.0.1", true),
            ("batch", "10.1.1.1", false),
        ] {
            assert_eq!(rules.allow(&id(service), address(from)), allowed, "{service} {from}");
        }
        // Where all rules name services, they are about those alone.
        let rules = SourceRules::new(vec![rule("batch", "172.16.0.0/12")]).expect("rules");
        assert!(
            rules.allow(&id("app"), address("1.2.3.4")) && !rules.allow(&id("batch"), address("1.2.3.4"))
        );
    }

    #[test]
    fn a_rule_counts_once_and_there_are_a_hundred_at_most() {
        let twice = vec![rule("", "10.0.0.0/8"), rule("", "::ffff:10.0.0.0/104")];
        assert_eq!(SourceRules::new(twice).expect("rules").iter().count(), 1);
        let many =
            |count: u8| SourceRules::new((0..count).map(|i| rule("", &format!("10.0.0.{i}"))).collect());
        assert!(many(100).is_ok() && many(101).is_err());
    }
}
