//! The rules of X509-SVID, one refusal each.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use credvault_domain::{Clock as _, Present, Timestamp, TrustDomain};
use credvault_identity::{CertificateError, PeerCertificate, Trust, TrustError};
use credvault_testkit::{Authority, Leaf, LeafSpec, ManualClock};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier as _;
use time::Duration;

const SYNC: &str = "spiffe://one.test/sync";

fn der(bytes: &[u8]) -> CertificateDer<'static> {
    CertificateDer::from(bytes.to_vec())
}

fn bundles(authorities: &[(&str, &Authority)]) -> BTreeMap<TrustDomain, Vec<CertificateDer<'static>>> {
    let bundle = |(domain, authority): &(&str, &Authority)| {
        (TrustDomain::parse(domain).unwrap(), vec![der(authority.der())])
    };
    authorities.iter().map(bundle).collect()
}

struct Fixture {
    one: Authority,
    two: Authority,
    trust: Trust,
    clock: ManualClock,
}

fn fixture() -> Fixture {
    let one = Authority::new("one");
    let two = Authority::new("two");
    let trust = Trust::new(&bundles(&[("one.test", &one), ("two.test", &two)])).unwrap();
    Fixture { one, two, trust, clock: ManualClock::at_present() }
}

impl Fixture {
    /// Whether TLS would accept the certificate.
    fn handshake(&self, leaf: &Leaf) -> bool {
        let now = UnixTime::since_unix_epoch(Timestamp::default().until(self.clock.now()));
        self.trust.verify_client_cert(&der(&leaf.der), &[], now).is_ok()
    }

    /// The service or the refusal that a call over a connection with the certificate gets.
    fn call(&self, leaf: &Leaf) -> Result<String, CertificateError> {
        let peer = PeerCertificate::read(vec![der(&leaf.der)]);
        self.trust.service(&peer, &AtomicU64::new(0), self.clock.present()).map(ToString::to_string)
    }

    fn issued(&self, spec: LeafSpec) -> Result<String, CertificateError> {
        let leaf = self.one.issue(&spec);
        let called = self.call(&leaf);
        // A certificate of a trusted authority passes the handshake, so that the call can return the reason.
        assert!(self.handshake(&leaf) || called == Err(CertificateError::Untrusted), "{called:?}");
        called
    }
}

#[test]
fn a_service_is_its_uri_whatever_other_names_the_certificate_has() {
    let fixture = fixture();
    let spec =
        LeafSpec { names: vec!["admin.one.test".into(), "127.0.0.1".into()], ..LeafSpec::service(SYNC) };
    assert_eq!(fixture.issued(spec).as_deref(), Ok(SYNC));
}

#[test]
fn certificates_that_break_a_rule_are_refused_with_its_name() {
    let fixture = fixture();
    let with = |uris: &[&str]| LeafSpec {
        uris: uris.iter().map(ToString::to_string).collect(),
        ..LeafSpec::default()
    };
    assert_eq!(fixture.issued(with(&[])), Err(CertificateError::NoUri));
    let names = LeafSpec { names: vec!["spiffe.one.test".into()], ..LeafSpec::default() };
    assert_eq!(fixture.issued(names), Err(CertificateError::NoUri), "a DNS name is no identity");
    assert_eq!(fixture.issued(with(&[SYNC, "spiffe://one.test/other"])), Err(CertificateError::SeveralUris));
    assert_eq!(fixture.issued(with(&[SYNC, "https://one.test/sync"])), Err(CertificateError::SeveralUris));
    assert!(matches!(fixture.issued(with(&["https://one.test/sync"])), Err(CertificateError::NotSpiffe(_))));
    assert!(
        matches!(fixture.issued(with(&["spiffe://one.test"])), Err(CertificateError::NotSpiffe(_))),
        "no path"
    );
    let foreign = fixture.issued(with(&["spiffe://three.test/sync"]));
    assert!(matches!(foreign, Err(CertificateError::ForeignTrustDomain(_))), "{foreign:?}");
    assert_eq!(
        fixture.issued(LeafSpec { digital_signature: false, ..LeafSpec::service(SYNC) }),
        Err(CertificateError::KeyUsage)
    );
}

#[test]
fn an_authority_is_no_service() {
    let fixture = fixture();
    let leaf = fixture.one.issue(&LeafSpec { authority: true, ..LeafSpec::service(SYNC) });
    assert_eq!(fixture.call(&leaf), Err(CertificateError::Authority));
    assert!(!fixture.handshake(&leaf));
}

#[test]
fn an_authority_vouches_for_its_own_trust_domain_only() {
    let fixture = fixture();
    let forged = fixture.two.service(SYNC);
    assert!(!fixture.handshake(&forged));
    assert_eq!(fixture.call(&forged), Err(CertificateError::Untrusted));
}

#[test]
fn certificates_that_are_not_trusted_or_not_valid_now_do_not_pass_the_handshake() {
    let fixture = fixture();
    assert!(!fixture.handshake(&Leaf::self_signed(&LeafSpec::service(SYNC))));
    assert!(!fixture.handshake(&Authority::new("three").service(SYNC)));
    let expired =
        LeafSpec { begins: Duration::hours(-2), ends: Duration::hours(-1), ..LeafSpec::service(SYNC) };
    assert!(!fixture.handshake(&fixture.one.issue(&expired)));
    let early = LeafSpec { begins: Duration::hours(1), ends: Duration::hours(2), ..LeafSpec::service(SYNC) };
    assert!(!fixture.handshake(&fixture.one.issue(&early)));
}

#[test]
fn a_certificate_that_expires_on_an_open_connection_ends_its_calls() {
    let fixture = fixture();
    let leaf = fixture.one.service(SYNC);
    let peer = PeerCertificate::read(vec![der(&leaf.der)]);
    let checked = AtomicU64::new(0);
    assert!(fixture.trust.service(&peer, &checked, fixture.clock.present()).is_ok());
    fixture.clock.advance(std::time::Duration::from_secs(2 * 3600));
    let late = fixture.trust.service(&peer, &checked, fixture.clock.present());
    assert_eq!(late, Err(CertificateError::Expired));
}

/// Two clocks disagree, and either may be the wrong one.
#[test]
fn a_certificate_counts_only_if_it_is_valid_by_both_clocks() {
    let fixture = fixture();
    // One that is valid now, for an hour more and since an hour.
    let leaf = fixture.one.service(SYNC);
    let now = fixture.clock.now();
    let hours = std::time::Duration::from_secs(2 * 3600);
    let peer = PeerCertificate::read(vec![der(&leaf.der)]);
    let told = |earliest, latest| {
        let present = Present { earliest, now, latest };
        fixture.trust.service(&peer, &AtomicU64::new(0), present).map(ToString::to_string)
    };
    assert_eq!(told(now, now).as_deref(), Ok(SYNC));
    assert_eq!(told(now, now.after(hours)), Err(CertificateError::Expired), "ended by the later");
    assert_eq!(told(now.before(hours), now), Err(CertificateError::Untrusted), "not begun by the earlier");
}

/// With any certificate of the chain that it needs, and with none that it does not.
#[test]
fn an_intermediate_that_expires_on_an_open_connection_ends_its_calls() {
    let fixture = fixture();
    let second = std::time::Duration::from_secs(1);
    for ends in [10, 20, 30] {
        let intermediate = fixture.one.intermediate("team", Duration::minutes(ends));
        let needless = fixture.two.intermediate("needless", Duration::minutes(5));
        let leaf = intermediate.service(SYNC);
        let chain = [&leaf.der[..], intermediate.der(), needless.der()].map(der);
        let peer = PeerCertificate::read(chain.to_vec());
        let checked = AtomicU64::new(0);
        let clock = ManualClock::at_present();
        for minute in 0..40 {
            let answer = fixture.trust.service(&peer, &checked, clock.present()).map(ToString::to_string);
            // The margin is for the seconds that certificates leave out.
            if minute < ends {
                assert_eq!(answer.as_deref(), Ok(SYNC), "minute {minute} of {ends}");
            } else {
                assert_eq!(answer, Err(CertificateError::Untrusted), "minute {minute} of {ends}");
            }
            clock.advance(if minute + 1 == ends { 61 * second } else { 60 * second });
        }
    }
}

#[test]
fn a_withdrawn_authority_ends_the_calls_of_open_connections_and_a_broken_bundle_changes_nothing() {
    let fixture = fixture();
    let leaf = fixture.one.service(SYNC);
    let peer = PeerCertificate::read(vec![der(&leaf.der)]);
    let checked = AtomicU64::new(0);
    let call = || fixture.trust.service(&peer, &checked, fixture.clock.present()).map(ToString::to_string);
    assert!(call().is_ok());

    assert!(matches!(fixture.trust.replace(&BTreeMap::new()), Err(TrustError::Empty)));
    let broken = [(TrustDomain::parse("one.test").unwrap(), vec![der(b"not a certificate")])].into();
    assert!(matches!(fixture.trust.replace(&broken), Err(TrustError::Certificate { .. })));
    assert!(call().is_ok(), "the old bundles stay");

    let renewed = Authority::new("one, renewed");
    fixture.trust.replace(&bundles(&[("one.test", &renewed)])).unwrap();
    assert_eq!(call(), Err(CertificateError::Untrusted));
    assert!(fixture.call(&renewed.service(SYNC)).is_ok());
    fixture.trust.replace(&bundles(&[("two.test", &fixture.two)])).unwrap();
    assert!(matches!(call(), Err(CertificateError::ForeignTrustDomain(_))));
}

#[test]
fn bytes_that_are_no_certificate_are_refused_without_a_panic() {
    let fixture = fixture();
    let leaf = fixture.one.service(SYNC);
    for length in 0..leaf.der.len() {
        let cut = Leaf { der: leaf.der[..length].to_vec(), ..leaf.clone() };
        assert!(fixture.call(&cut).is_err(), "{length}");
    }
    for index in 0..leaf.der.len() {
        let mut altered = leaf.clone();
        altered.der[index] ^= 0x55;
        assert!(!fixture.handshake(&altered), "{index}");
    }
}
