//! Every trick with a token, and what it is told.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use credvault_domain::{Clock as _, Present, TenantSource, TrustDomain};
use credvault_identity::{
    AudienceClaim, Caller, Error, Fetch, FetchError, Identity, Issuer, IssuerKind, IssuerSettings, Issuers,
    KeySource, PeerCertificate, Policies, PolicyFile, Presented, TokenError, Trust,
};
use credvault_testkit::{Algorithm, Authority, LeafSpec, ManualClock, TokenIssuer};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};

const SERVICE: &str = "spiffe://one.test/sync";
const ISSUER: &str = "https://issuer.test";
const VAULT: &str = "spiffe://one.test/credvault";

struct Fixture {
    identity: Identity,
    peer: PeerCertificate,
    clock: ManualClock,
}

fn settings(kind: IssuerKind) -> IssuerSettings {
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

/// A source of keys that counts how often it is asked and can be switched.
fn source(documents: Vec<Result<String, FetchError>>) -> (Fetch, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let fetch: Fetch = Arc::new(move |_| {
        let index = counter.fetch_add(1, Ordering::SeqCst).min(documents.len() - 1);
        let document = documents[index].clone();
        Box::pin(async move { document.map(String::into_bytes) })
    });
    (fetch, asked)
}

fn fixture_with(settings: IssuerSettings, fetch: Fetch) -> Fixture {
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
    let issuers = Issuers::new(vec![Issuer::new(settings, fetch)]);
    let leaf = authority.issue(&LeafSpec { ends: time::Duration::days(2), ..LeafSpec::service(SERVICE) });
    let peer = PeerCertificate::read(vec![CertificateDer::from(leaf.der)]);
    Fixture { identity: Identity::new(trust, issuers, policies), peer, clock: ManualClock::at_present() }
}

fn fixture(issuer: &TokenIssuer) -> Fixture {
    fixture_with(settings(IssuerKind::User), source(vec![Ok(issuer.jwks())]).0)
}

impl Fixture {
    async fn present(&self, presented: Presented<'_>) -> Result<Caller, Error> {
        self.present_at(presented, self.clock.present()).await
    }

    async fn present_at(&self, presented: Presented<'_>, present: Present) -> Result<Caller, Error> {
        let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
        self.identity.authenticate(&self.peer, &AtomicU64::new(0), source, presented, present).await
    }

    async fn token(&self, token: &str) -> Result<Caller, Error> {
        let authorization = format!("Bearer {token}");
        self.present(Presented { authorization: Some(&authorization), ..Presented::default() }).await
    }

    async fn refused(&self, token: &str) -> TokenError {
        match self.token(token).await {
            Err(Error::Token(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    fn claims(&self) -> Value {
        let now = self.clock.now().seconds();
        json!({ "iss": ISSUER, "aud": VAULT, "iat": now, "exp": now + 600, "sub": "user_1", "org_id": "acme" })
    }

    fn claims_with(&self, name: &str, value: Value) -> Value {
        let mut claims = self.claims();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value;
        }
        claims
    }
}

/// Two clocks disagree, and either may be the wrong one.
#[tokio::test]
async fn a_token_counts_only_if_it_is_valid_by_both_clocks() {
    let issuer = TokenIssuer::new(Algorithm::EdDsa, "k");
    let fixture = fixture(&issuer);
    let authorization = format!("Bearer {}", issuer.token(&fixture.claims()));
    let (now, twenty) = (fixture.clock.now(), Duration::from_secs(20 * 60));
    let told = async |earliest, latest| {
        let presented = Presented { authorization: Some(&authorization), ..Presented::default() };
        fixture.present_at(presented, Present { earliest, now, latest }).await
    };
    assert!(told(now, now).await.is_ok());
    let ended = told(now, now.after(twenty)).await;
    assert!(matches!(ended, Err(Error::Token(TokenError::Expired))), "ended by the later: {ended:?}");
    let early = told(now.before(twenty), now).await;
    assert!(
        matches!(early, Err(Error::Token(TokenError::NotYetValid))),
        "not begun by the earlier: {early:?}"
    );
}

#[tokio::test]
async fn tokens_of_each_algorithm_name_tenant_and_user() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let issuer = TokenIssuer::new(algorithm, "k1");
        let fixture = fixture(&issuer);
        let tenant = fixture.token(&issuer.token(&fixture.claims())).await.unwrap().tenant.unwrap();
        assert_eq!((tenant.tenant.as_str(), tenant.source), ("acme", TenantSource::Token));
        assert_eq!(tenant.user.unwrap().as_str(), "user_1");
    }
}

#[tokio::test]
async fn algorithms_come_from_the_key_and_never_from_the_token() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let issuer = TokenIssuer::new(algorithm, "k1");
        let fixture = fixture(&issuer);
        let claims = fixture.claims();
        assert_eq!(fixture.refused(&TokenIssuer::unsigned(&claims)).await, TokenError::Algorithm, "none");
        assert_eq!(
            fixture.refused(&issuer.confused(&claims)).await,
            TokenError::Algorithm,
            "HS256 with the public key"
        );
        for name in
            ["RS256", "RS384", "PS256", "ES256", "ES384", "EdDSA", "HS512", "none", "None", "nOnE", ""]
        {
            let forged = issuer.token_with_header(&json!({ "alg": name, "kid": "k1" }), &claims);
            let own = matches!(
                (algorithm, name),
                (Algorithm::Rs256, "RS256") | (Algorithm::Es256, "ES256") | (Algorithm::EdDsa, "EdDSA")
            );
            assert_eq!(fixture.token(&forged).await.is_ok(), own, "{algorithm:?} {name}");
        }
    }
}

#[tokio::test]
async fn a_signature_of_somebody_else_or_over_something_else_is_refused() {
    let (issuer, other) =
        (TokenIssuer::new(Algorithm::EdDsa, "k1"), TokenIssuer::new(Algorithm::EdDsa, "k1"));
    let fixture = fixture(&issuer);
    assert_eq!(fixture.refused(&other.token(&fixture.claims())).await, TokenError::Signature);
    let token = issuer.token(&fixture.claims());
    let (input, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = input.split_once('.').unwrap();
    let foreign = issuer.token(&fixture.claims_with("org_id", json!("other")));
    let payload = foreign.split('.').nth(1).unwrap();
    assert_eq!(fixture.refused(&format!("{header}.{payload}.{signature}")).await, TokenError::Signature);
    assert_eq!(fixture.refused(&format!("{input}.")).await, TokenError::Signature);
    for garbage in ["", "a", "a.b", "a.b.c", "a.b.c.d", &"x".repeat(9000)] {
        assert!(fixture.token(garbage).await.is_err(), "{garbage}");
    }
}

#[tokio::test]
async fn headers_that_point_elsewhere_change_nothing() {
    let (issuer, attacker) =
        (TokenIssuer::new(Algorithm::EdDsa, "k1"), TokenIssuer::new(Algorithm::EdDsa, "k1"));
    let (fetch, asked) = source(vec![Ok(issuer.jwks())]);
    let fixture = fixture_with(settings(IssuerKind::User), fetch);
    let header = json!({ "alg": "EdDSA", "kid": "k1", "jku": "https://evil.test/jwks", "jwk": attacker.jwk(), "x5u": "https://evil.test" });
    let forged = attacker.token_with_header(&header, &fixture.claims());
    assert_eq!(fixture.refused(&forged).await, TokenError::Signature);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "only the configured URL was asked");
    let critical = json!({ "alg": "EdDSA", "kid": "k1", "crit": ["exp"] });
    assert_eq!(
        fixture.refused(&issuer.token_with_header(&critical, &fixture.claims())).await,
        TokenError::Critical
    );
}

#[tokio::test]
async fn claims_that_are_missing_wrong_or_out_of_time_are_refused() {
    let issuer = TokenIssuer::new(Algorithm::Es256, "k1");
    let fixture = fixture(&issuer);
    let now = fixture.clock.now().seconds();
    let refused = async |name: &str, value: Value| {
        fixture.refused(&issuer.token(&fixture.claims_with(name, value))).await
    };
    for name in ["exp", "iat", "iss"] {
        assert_eq!(refused(name, Value::Null).await, TokenError::ClaimMissing(name.into()));
        let other_type = refused(name, json!(["x"])).await;
        assert!(matches!(other_type, TokenError::ClaimMissing(_) | TokenError::Malformed), "{other_type:?}");
    }
    assert_eq!(refused("exp", json!(now - 31)).await, TokenError::Expired);
    assert_eq!(refused("iat", json!(now + 31)).await, TokenError::NotYetValid);
    assert_eq!(refused("nbf", json!(now + 31)).await, TokenError::NotYetValid);
    assert_eq!(refused("exp", json!(now + 3601)).await, TokenError::TooLong { seconds: 3601, allowed: 3600 });
    assert!(matches!(refused("exp", json!(i64::MAX)).await, TokenError::TooLong { .. }), "no overflow");
    assert_eq!(refused("aud", json!("somebody else")).await, TokenError::Audience("aud".into()));
    assert_eq!(refused("aud", Value::Null).await, TokenError::Audience("aud".into()));
    assert_eq!(refused("iss", json!("https://evil.test")).await, TokenError::UnknownIssuer);
    assert_eq!(refused("sub", Value::Null).await, TokenError::ClaimMissing("sub".into()));
    assert!(matches!(refused("org_id", json!("not/an/id")).await, TokenError::Claim { .. }));
    let without = fixture.token(&issuer.token(&fixture.claims_with("org_id", Value::Null))).await;
    assert!(matches!(without, Err(Error::TenantMissing)), "{without:?}");
}

#[tokio::test]
async fn what_a_token_is_refused_for_never_repeats_it() {
    let issuer = TokenIssuer::new(Algorithm::Es256, "k1");
    let fixture = fixture(&issuer);
    for (name, value) in [("org_id", json!("CANARY/")), ("sub", json!("CANARY\n")), ("aud", json!("CANARY"))]
    {
        let error = fixture.token(&issuer.token(&fixture.claims_with(name, value))).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("CANARY"), "{error:?}");
    }
}

/// Absence means something (an assertion without a user), so what is there in another form must not read as absence.
#[tokio::test]
async fn a_claim_of_another_type_is_an_error_and_never_absence() {
    let issuer = TokenIssuer::new(Algorithm::EdDsa, "k1");
    for kind in [IssuerKind::User, IssuerKind::Assertion] {
        for (tenant_claim, user_claim) in [("org_id", "sub"), ("o.id", "u.id")] {
            let settings = IssuerSettings {
                tenant_claim: tenant_claim.into(),
                user_claim: user_claim.into(),
                ..settings(kind)
            };
            let fixture = fixture_with(settings, source(vec![Ok(issuer.jwks())]).0);
            let mut sound = fixture.claims();
            sound["act"] = json!({ "sub": SERVICE });
            (sound["o"], sound["u"]) = (json!({ "id": "acme" }), json!({ "id": "user_1" }));
            assert!(fixture.token(&issuer.token(&sound)).await.is_ok(), "{kind:?} {tenant_claim}");
            let others =
                [json!(null), json!(42), json!(true), json!(["acme"]), json!({ "id": "acme" }), json!({})];
            for (claim, value) in [tenant_claim, user_claim]
                .iter()
                .flat_map(|claim| others.iter().map(move |value| (*claim, value)))
            {
                let mut claims = sound.clone();
                match claim.split_once('.') {
                    Some((outer, inner)) => claims[outer][inner] = value.clone(),
                    None => claims[claim] = value.clone(),
                }
                let refused = fixture.refused(&issuer.token(&claims)).await;
                assert!(
                    matches!(&refused, TokenError::Claim { claim: named, .. } if named == claim),
                    "{refused:?}"
                );
            }
            // Where the path leads through something that is no object.
            if let Some((outer, _)) = user_claim.split_once('.') {
                let mut claims = sound;
                claims[outer] = json!("user_1");
                assert!(matches!(fixture.refused(&issuer.token(&claims)).await, TokenError::Claim { .. }));
            }
        }
    }
}

#[tokio::test]
async fn a_token_that_says_two_things_is_refused() {
    let issuer = TokenIssuer::new(Algorithm::EdDsa, "k1");
    let fixture = fixture(&issuer);
    let sound = fixture.claims();
    for (name, value) in sound.as_object().unwrap() {
        // The same again, and something else: before and after the sound one.
        for other in [value.clone(), json!("other")] {
            let (pair, rest) = (format!("{}:{other}", json!(name)), sound.to_string());
            let inner = rest.trim_start_matches('{').trim_end_matches('}');
            for text in [format!("{{{pair},{inner}}}"), format!("{{{inner},{pair}}}")] {
                assert_eq!(
                    fixture.refused(&issuer.token_of_text(&text)).await,
                    TokenError::Repeated,
                    "{text}"
                );
            }
        }
    }
    let nested = sound.to_string().replace('}', r#","o":{"id":"a","id":"b"}}"#);
    assert_eq!(fixture.refused(&issuer.token_of_text(&nested)).await, TokenError::Repeated);
    assert!(fixture.token(&issuer.token_of_text(&sound.to_string())).await.is_ok());
}

#[tokio::test]
async fn times_are_numbers_in_their_order() {
    let issuer = TokenIssuer::new(Algorithm::Es256, "k1");
    let fixture = fixture(&issuer);
    let now = fixture.clock.now().seconds();
    for name in ["exp", "iat", "nbf"] {
        for value in [json!("1"), json!(now.to_string()), json!([now]), json!({}), json!(true), json!(1e300)]
        {
            let refused = fixture.refused(&issuer.token(&fixture.claims_with(name, value))).await;
            assert_eq!(refused, TokenError::ClaimMissing(name.into()));
        }
    }
    let mut null = fixture.claims();
    null["nbf"] = json!(null);
    assert_eq!(fixture.refused(&issuer.token(&null)).await, TokenError::ClaimMissing("nbf".into()));
    let mut backwards = fixture.claims();
    (backwards["iat"], backwards["exp"]) = (json!(now + 20), json!(now + 10));
    assert_eq!(fixture.refused(&issuer.token(&backwards)).await, TokenError::Backwards);
    let mixed = fixture.refused(&issuer.token(&fixture.claims_with("aud", json!([VAULT, 42])))).await;
    assert_eq!(mixed, TokenError::Audience("aud".into()));
}

#[tokio::test]
async fn clerks_claims_are_configuration() {
    let issuer = TokenIssuer::new(Algorithm::Rs256, "ins_1");
    let clerk = IssuerSettings {
        audience: AudienceClaim { claim: "azp".into(), accepted: vec!["https://app.acme.test".into()] },
        tenant_claim: "o.id".into(),
        ..settings(IssuerKind::User)
    };
    let fixture = fixture_with(clerk, source(vec![Ok(issuer.jwks())]).0);
    let now = fixture.clock.now().seconds();
    let claims = |azp: &str| {
        json!({
            "azp": azp, "exp": now + 60, "iat": now, "nbf": now - 10, "iss": ISSUER, "sid": "sess_1", "sub": "user_1",
            "v": 2, "o": { "id": "org_acme", "rol": "admin", "slg": "acme" },
        })
    };
    let caller = fixture.token(&issuer.token(&claims("https://app.acme.test"))).await.unwrap();
    assert_eq!(caller.tenant.unwrap().tenant.as_str(), "org_acme");
    assert_eq!(
        fixture.refused(&issuer.token(&claims("https://evil.test"))).await,
        TokenError::Audience("azp".into())
    );
}

#[tokio::test]
async fn an_assertion_is_bound_to_the_calling_service_and_to_this_vault_alone() {
    let issuer = TokenIssuer::new(Algorithm::EdDsa, "k1");
    let assertion =
        IssuerSettings { max_lifetime: Duration::from_secs(300), ..settings(IssuerKind::Assertion) };
    let fixture = fixture_with(assertion, source(vec![Ok(issuer.jwks())]).0);
    let now = fixture.clock.now().seconds();
    let claims = |actor: Value, audience: Value| json!({ "iss": ISSUER, "aud": audience, "iat": now, "exp": now + 300, "org_id": "acme", "act": { "sub": actor } });
    let caller = fixture.token(&issuer.token(&claims(json!(SERVICE), json!(VAULT)))).await.unwrap();
    assert_eq!(caller.tenant_source(), TenantSource::Assertion);
    assert_eq!(caller.user(), None, "a job has no user");
    for actor in [json!("spiffe://one.test/other"), json!(null), json!({}), json!([SERVICE])] {
        assert_eq!(fixture.refused(&issuer.token(&claims(actor, json!(VAULT)))).await, TokenError::Actor);
    }
    let several = fixture.refused(&issuer.token(&claims(json!(SERVICE), json!([VAULT, "other"])))).await;
    assert_eq!(several, TokenError::Audience("aud".into()));
    let mut long = claims(json!(SERVICE), json!(VAULT));
    long["exp"] = json!(now + 301);
    assert!(matches!(fixture.refused(&issuer.token(&long)).await, TokenError::TooLong { .. }));
}

#[tokio::test]
async fn an_unknown_key_is_looked_for_once_a_minute_and_a_new_key_is_found() {
    let (old, new) = (TokenIssuer::new(Algorithm::EdDsa, "old"), TokenIssuer::new(Algorithm::EdDsa, "new"));
    let (fetch, asked) = source(vec![Ok(old.jwks()), Ok(old.jwks()), Ok(new.jwks())]);
    let fixture = fixture_with(settings(IssuerKind::User), fetch);
    assert!(fixture.token(&old.token(&fixture.claims())).await.is_ok());
    for _ in 0..50 {
        assert_eq!(fixture.refused(&new.token(&fixture.claims())).await, TokenError::UnknownKey);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1, "the first fetch was a moment ago");
    fixture.clock.advance(Duration::from_secs(61));
    assert_eq!(fixture.refused(&new.token(&fixture.claims())).await, TokenError::UnknownKey);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    fixture.clock.advance(Duration::from_secs(61));
    assert!(fixture.token(&new.token(&fixture.claims())).await.is_ok());
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_again_stay_good_for_a_day() {
    let issuer = TokenIssuer::new(Algorithm::EdDsa, "k1");
    let (fetch, _) = source(vec![Ok(issuer.jwks()), Err(FetchError("down".into()))]);
    let fixture = fixture_with(settings(IssuerKind::User), fetch);
    let refresh = async || {
        let now = fixture.clock.now();
        fixture.identity.issuers().iter().next().unwrap().refresh(now).await;
    };
    refresh().await;
    fixture.clock.advance(Duration::from_secs(23 * 3600));
    refresh().await;
    assert!(fixture.token(&issuer.token(&fixture.claims())).await.is_ok());
    fixture.clock.advance(Duration::from_secs(2 * 3600));
    refresh().await;
    let refused = fixture.token(&issuer.token(&fixture.claims())).await;
    assert!(matches!(refused, Err(Error::KeysUnavailable { .. })), "{refused:?}");
}

/// An issuer that was away at the start is asked again soon, ever less often, and callers are told when.
#[tokio::test]
async fn without_any_keys_they_are_asked_for_again_soon() {
    let issuer = TokenIssuer::new(Algorithm::EdDsa, "k1");
    let mut answers: Vec<_> = (0..9).map(|_| Err(FetchError("down".into()))).collect();
    answers.push(Ok(issuer.jwks()));
    let (fetch, asked) = source(answers);
    let fixture = fixture_with(settings(IssuerKind::User), fetch);
    let subject = fixture.identity.issuers();
    for (count, pause) in (1..).zip([1, 2, 4, 8, 16, 32, 60, 60, 60]) {
        // The first one asks; those that come before its time are told how long it is.
        for past in [0, pause / 2] {
            fixture.clock.advance(Duration::from_secs(past));
            let refused = fixture.token(&issuer.token(&fixture.claims())).await;
            let left = Duration::from_secs(pause - past);
            assert!(
                matches!(&refused, Err(Error::KeysUnavailable { retry, .. }) if *retry == left),
                "{count} {past}: {refused:?}"
            );
            subject.iter().next().unwrap().refresh(fixture.clock.now()).await;
            assert_eq!(asked.load(Ordering::SeqCst), count);
        }
        assert_eq!(subject.without_keys().count(), 1);
        fixture.clock.advance(Duration::from_secs(pause - pause / 2));
    }
    assert!(fixture.token(&issuer.token(&fixture.claims())).await.is_ok());
    assert_eq!(subject.without_keys().count(), 0);
}

#[tokio::test]
async fn ambiguous_and_useless_key_sets_are_refused() {
    let issuer = TokenIssuer::new(Algorithm::EdDsa, "k1");
    let rsa = TokenIssuer::new(Algorithm::Rs256, "r");
    let mut weak = rsa.jwk();
    weak["n"] = json!("AQAB".repeat(40));
    let mut encryption = issuer.jwk();
    encryption["use"] = json!("enc");
    let mut other_algorithm = rsa.jwk();
    other_algorithm["alg"] = json!("RS512");
    let many: Vec<_> = (0..65).map(|_| issuer.jwk()).collect();
    for (keys, sound) in [
        (json!([issuer.jwk()]), true),
        (json!([issuer.jwk(), { "kty": "unheard-of" }, encryption]), true),
        (json!([issuer.jwk(), issuer.jwk()]), false),
        (json!([]), false),
        (json!([weak]), false),
        (json!([encryption]), false),
        (json!([other_algorithm]), false),
        (json!([{ "kty": "oct", "k": "c2VjcmV0", "kid": "k1", "alg": "HS256" }]), false),
        (json!(many), false),
        (json!("keys"), false),
    ] {
        let (fetch, _) = source(vec![Err(FetchError("unused".into()))]);
        let subject = Issuer::new(settings(IssuerKind::User), fetch);
        let document = json!({ "keys": keys }).to_string();
        assert_eq!(subject.use_document(document.as_bytes()).is_ok(), sound, "{document}");
    }
}

#[tokio::test]
async fn a_bare_header_counts_for_a_delegate_only() {
    let issuer = TokenIssuer::new(Algorithm::EdDsa, "k1");
    let fixture = fixture(&issuer);
    let caller = fixture
        .present(Presented { tenant: Some("acme"), user: Some("u1"), ..Presented::default() })
        .await
        .unwrap();
    assert_eq!(caller.tenant_source(), TenantSource::Header);
    assert_eq!(caller.user().unwrap().as_str(), "u1");
    let foreign = fixture.present(Presented { tenant: Some("other"), ..Presented::default() }).await;
    assert!(matches!(foreign, Err(Error::Denied(_))), "{foreign:?}");
    let malformed = fixture.present(Presented { tenant: Some("a/b"), ..Presented::default() }).await;
    assert!(matches!(malformed, Err(Error::Header { header: "x-tenant-id", .. })), "{malformed:?}");
    let user_alone = fixture.present(Presented { user: Some("u1"), ..Presented::default() }).await;
    assert!(matches!(user_alone, Err(Error::TenantMissing)), "{user_alone:?}");
}

#[tokio::test]
async fn token_and_headers_must_agree() {
    let issuer = TokenIssuer::new(Algorithm::EdDsa, "k1");
    let fixture = fixture(&issuer);
    let authorization = format!("Bearer {}", issuer.token(&fixture.claims()));
    let present = async |tenant, user| {
        fixture.present(Presented { authorization: Some(&authorization), tenant, user }).await
    };
    assert!(present(Some("acme"), Some("user_1")).await.is_ok());
    assert!(matches!(present(Some("other"), None).await, Err(Error::Mismatch("x-tenant-id"))));
    assert!(matches!(present(Some("acme"), Some("user_2")).await, Err(Error::Mismatch("x-user-id"))));
    for header in ["Bearer", "Bearer ", "Basic abc", "Bearer a b", "Bearer a,b", "token"] {
        let refused =
            fixture.present(Presented { authorization: Some(header), ..Presented::default() }).await;
        assert!(
            matches!(refused, Err(Error::Token(TokenError::Scheme | TokenError::Malformed))),
            "{header}: {refused:?}"
        );
    }
}
