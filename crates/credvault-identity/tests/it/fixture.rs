//! A vault's identity with one issuer whose keys and claims a test decides, and a service that calls it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use credvault_domain::{Clock as _, Present, TrustDomain};
use credvault_identity::{
    AudienceClaim, Caller, Error, Fetch, FetchError, Identity, Issuer, IssuerKind, IssuerSettings, Issuers,
    KeySource, PeerCertificate, Policies, PolicyFile, Presented, TokenError, Trust,
};
use credvault_testkit::{Authority, LeafSpec, ManualClock, TokenIssuer};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};

pub(crate) const SERVICE: &str = "spiffe://one.test/sync";
pub(crate) const ISSUER: &str = "https://issuer.test";
pub(crate) const VAULT: &str = "spiffe://one.test/credvault";

/// An identity with one trust domain, one issuer and a delegate, and a service that calls.
pub(crate) struct Fixture {
    pub(crate) identity: Identity,
    pub(crate) peer: PeerCertificate,
    pub(crate) clock: ManualClock,
}

pub(crate) fn settings(kind: IssuerKind) -> IssuerSettings {
    IssuerSettings {
        name: "test".into(),
        kind,
        issuer: ISSUER.into(),
        keys: KeySource::Url("https://issuer.test/jwks".into()),
        audience: AudienceClaim { claim: "aud".into(), accepted: vec![VAULT.into()] },
        tenant_claim: "org_id".into(),
        user_claim: "sub".into(),
        max_lifetime: Duration::from_secs(3600),
    }
}

/// A source that returns these documents one after the other and repeats the last; and the number of its fetches.
pub(crate) fn source(documents: Vec<Result<String, FetchError>>) -> (Fetch, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let fetch: Fetch = Arc::new(move |_| {
        let index = counter.fetch_add(1, Ordering::SeqCst).min(documents.len() - 1);
        let document = documents[index].clone();
        Box::pin(async move { document.map(String::into_bytes) })
    });
    (fetch, asked)
}

pub(crate) fn fixture_with(settings: IssuerSettings, fetch: Fetch) -> Fixture {
    fixture_of(vec![Issuer::new(settings, fetch)])
}

pub(crate) fn fixture_of(issuers: Vec<Issuer>) -> Fixture {
    let authority = Authority::new("one");
    let bundle = BTreeMap::from([(
        TrustDomain::parse("one.test").unwrap(),
        vec![CertificateDer::from(authority.der().to_vec())],
    )]);
    let trust = Arc::new(Trust::new(&bundle).unwrap());
    let delegate = format!(
        "permit (principal == Service::\"{SERVICE}\", action == Action::\"AssertTenant\", resource == Tenant::\"acme\");"
    );
    let policies = Policies::parse(&[PolicyFile { name: "p".into(), text: delegate }]).unwrap();
    let leaf = authority.issue(&LeafSpec { ends: time::Duration::days(2), ..LeafSpec::service(SERVICE) });
    let peer = PeerCertificate::read(vec![CertificateDer::from(leaf.der)]);
    Fixture {
        identity: Identity::new(trust, Issuers::new(issuers), policies),
        peer,
        clock: ManualClock::at_present(),
    }
}

pub(crate) fn fixture(issuer: &TokenIssuer) -> Fixture {
    fixture_with(settings(IssuerKind::User), source(vec![Ok(issuer.jwks())]).0)
}

impl Fixture {
    pub(crate) async fn present(&self, presented: Presented<'_>) -> Result<Caller, Error> {
        self.present_at(presented, self.clock.present()).await
    }

    pub(crate) async fn present_at(
        &self,
        presented: Presented<'_>,
        present: Present,
    ) -> Result<Caller, Error> {
        let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
        self.identity.authenticate(&self.peer, &AtomicU64::new(0), source, presented, present).await
    }

    pub(crate) async fn token(&self, token: &str) -> Result<Caller, Error> {
        let authorization = format!("Bearer {token}");
        self.present(Presented { authorization: Some(&authorization), ..Presented::default() }).await
    }

    pub(crate) async fn refused(&self, token: &str) -> TokenError {
        match self.token(token).await {
            Err(Error::Token(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn claims(&self) -> Value {
        let now = self.clock.now().seconds();
        json!({ "iss": ISSUER, "aud": VAULT, "iat": now, "exp": now + 600, "sub": "user_1", "org_id": "acme" })
    }

    pub(crate) fn claims_with(&self, name: &str, value: Value) -> Value {
        let mut claims = self.claims();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value;
        }
        claims
    }
}
